"""What the house says to who sits at a terminal is said anew to who looks at a page or calls the API."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import warmupd
from warmupd.http.wording import for_api, for_page

HOUSE = Path(warmupd.__file__).parent
TERMINAL = re.compile(r"`(?:warmupd )?[a-z]+[^`]*`|(?<![\w-])--[a-z]{2}|(?<![\w-])[a-z]+ --[a-z]")


def literals(tree: ast.AST) -> Iterator[str]:
    """What can be said: all text but doc strings and patterns; what is filled in is xx."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    elif isinstance(tree, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "xx" for part in tree.values)  # type: ignore[misc]  # all str
    elif not (isinstance(tree, ast.Call) and ast.unparse(tree.func) == "re.compile"):
        for child in ast.iter_child_nodes(tree):
            if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
                yield from literals(child)


def of_terminals() -> Iterator[str]:
    for part in ("core", "store", "mail", "daemon"):
        for path in sorted((HOUSE / part).glob("*.py")):
            for text in literals(ast.parse(path.read_text())):
                if TERMINAL.search(text) and (" " in text) and "\n" not in text:
                    yield text


TEXTS = list(dict.fromkeys(of_terminals()))


def test_there_is_something_to_be_said_anew() -> None:
    assert len(TEXTS) > 25


@pytest.mark.parametrize("said", [for_page, for_api])
def test_nothing_of_a_terminal_is_left(said: object) -> None:
    assert callable(said)
    assert [(text, said(text)) for text in TEXTS if TERMINAL.search(said(text))] == []
