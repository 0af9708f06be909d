"""Texts send nobody to a command that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import typer

from warmupd.cli.main import app

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", ROOT / "config.toml.example", *sorted((ROOT / "warmupd").rglob("*.py"))]
# Quoted, in an example, or a line of its own in a document. Labels of derived keys ("warmupd seal") are no commands.
NAMED = re.compile(r"(?:[`']|Example: |^ {4}|\"  )warmupd\s+([a-z][a-z-]+)(?: ([a-z][a-z-]+))?", re.MULTILINE)


def named(text: str) -> Iterator[tuple[str, str]]:
    yield from NAMED.findall(text)


def exists(first: str, second: str) -> bool:
    commands = getattr(typer.main.get_command(app), "commands", {})
    group = getattr(commands.get(first), "commands", None)
    return first in commands and (group is None or not second or second in group)


def test_named_commands_exist() -> None:
    missing = {
        f"{file.relative_to(ROOT)}: warmupd {' '.join(words)}"
        for file in TEXTS
        for words in named(file.read_text("utf-8"))
        if not exists(*words)
    }
    assert missing == set()


def test_missing_commands_would_be_found() -> None:
    quoted = "see `warmupd key burn`, 'warmupd plan burn'\n    warmupd burn\n"
    text = quoted + 'print("  warmupd user burn")'
    assert list(named(text)) == [("key", "burn"), ("plan", "burn"), ("burn", ""), ("user", "burn")]
    assert not any(exists(*words) for words in named(text))
    assert exists("fleet", "resize")
    assert len(list(named((ROOT / "README.md").read_text("utf-8")))) > 10
