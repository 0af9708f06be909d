"""Every command explains itself, with an example."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from warmupd import __version__
from warmupd.cli.main import app


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = sorted(commands(typer.main.get_command(app)))


def test_commands_of_this_program_are_all_there() -> None:
    names = {" ".join(command) for command in COMMANDS}
    assert {"init", "migrate", "run", "status", "explain", "doctor", "user add", "user list"} <= names
    assert {"fleet show", "fleet stop", "fleet start", "fleet resize", "fleet trigger"} <= names
    verbs = ("add", "import", "set", "list", "show", "check", "pause", "stop", "resume")
    assert {f"mailbox {verb}" for verb in verbs} <= names


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 0
    assert "Example:" in done.output
    assert f"warmupd {' '.join(command)}" in " ".join(done.output.split())


def test_the_program_says_its_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"warmupd {__version__}\n")
    told = CliRunner().invoke(app, ["--help"]).output
    assert "--version" in told
    assert "Warm up e-mail mailboxes" in told


@pytest.mark.acceptance
def test_help_is_quick_to_import() -> None:
    heavy = ("asyncpg", "pydantic", "fastapi", "uvicorn", "aiosmtplib", "cryptography", "structlog", "jinja2")
    program = "import sys, warmupd.cli.main; print(*sorted(name for name in sys.argv[1:] if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
