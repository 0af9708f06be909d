"""Habits of the text: names, lengths, no addresses of package registries, documents that point at what is there."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = {"__pycache__", "dist", "build", "node_modules"}
# A longer file holds two nouns; a list of tests may be longer than that.
MOST_LINES = {"warmupd": 280, "scripts": 280, "tests": 500}
MOST_FUNCTION_LINES = 50
NAMELESS = {"utils", "util", "common", "helpers", "helper", "types", "manager", "misc"}
REGISTRIES = [  # in parts, so that this file does not hold them
    ("py", "pi.org"),
    ("python", "hosted.org"),
    ("npm", "js.org"),
    ("npm", "js.com"),
    ("crates", ".io"),
    ("ruby", "gems.org"),
    ("golang", ".org"),
    ("anaconda", ".org"),
]


def files() -> Iterator[Path]:
    """Every file of the tree that is not made by a tool."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name == ".ci" or not (name.startswith(".") or name in GENERATED)]
        yield from (Path(folder) / name for name in names)


def programs() -> list[Path]:
    found = [file for file in files() if file.suffix == ".py"]
    assert len(found) > 20
    return found


def documents() -> list[Path]:
    return [file for file in files() if file.suffix == ".md"]


def test_files_are_named_by_a_noun() -> None:
    assert [str(file) for file in programs() if NAMELESS & {file.stem, file.parent.name}] == []


def test_files_are_short() -> None:
    lengths = {file.relative_to(ROOT): len(file.read_text("utf-8").splitlines()) for file in programs()}
    assert {str(file): lines for file, lines in lengths.items() if lines > MOST_LINES[file.parts[0]]} == {}


def test_functions_are_short() -> None:
    long = {}
    for file in programs():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    long[f"{file.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile("|".join(re.escape("".join(parts)) for parts in REGISTRIES).encode(), re.IGNORECASE)
    assert [str(file.relative_to(ROOT)) for file in files() if hosts.search(file.read_bytes())] == []


def test_constraints_hold_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []


def test_documents_link_to_what_is_there() -> None:
    links = [
        (document, target)
        for document in documents()
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", document.read_text("utf-8"))
    ]
    assert [(str(document), target) for document, target in links if not (document.parent / target).exists()] == []


def test_documents_name_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for document in documents()
        for word in re.findall(r"(?:^ {4}|`)make ([a-z][a-z-]*)", document.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "test"} <= targets
    assert named - targets == set()


def test_documents_hold_no_leftovers() -> None:
    """Neither places that a figure was to be put into, nor headings of notes: a word in capitals by itself."""
    left = re.compile(r"\b[A-Z]+_(?:TABLE|FIGURES)\b|^[ #*-]*[A-Z][A-Z_ ]{2,}[:.*]?$", re.MULTILINE)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    assert [(page.name, found[0]) for page in pages for found in left.finditer(page.read_text("utf-8"))] == []
