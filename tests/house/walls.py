"""The walls of the house, read from its syntax trees: who may import what, and where time and chance are arguments."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

BELOW = {  # a room, and those it may import from
    "errors": set(),
    "clock": {"errors"},
    "config": {"errors"},
    "core": {"errors", "clock"},
    "store": {"errors", "clock", "core"},
    "mail": {"errors", "clock", "core"},
    "daemon": {"errors", "clock", "core", "store", "mail", "config"},
    "sandbox": {"errors", "clock", "core", "store", "mail", "daemon", "config"},
    "http": {"errors", "clock", "core", "store", "mail", "daemon", "config"},
    "__main__": {"cli"},
    "cli": {"errors", "clock", "core", "store", "mail", "daemon", "config", "http", "sandbox"},
}
LIBRARIES = {  # a library, and the rooms that know of it
    "asyncpg": {"store"},
    "aiosmtplib": {"mail"},
    "aioimaplib": {"mail"},
    "aiosmtpd": {"sandbox"},  # of the extra `demo`, as is pymap: nothing else may need them
    "pymap": {"sandbox"},
    "fastapi": {"http"},
    "starlette": {"http"},
    "uvicorn": {"http"},
    "typer": {"cli"},
}
OUTSIDE_CORE = {"asyncio", "os", "pathlib", "socket", "subprocess", "threading", "time"}
CLOCKWORK = {"core", "store", "daemon"}  # they ask the Clock and the Random that they are handed
OWN_TIME = {
    "asyncio.sleep",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "time.sleep",
    "time.time",
    "time.time_ns",
}
OWN_DICE = {"random.Random"}  # what may be had from `random`: the rest is the global generator


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file of the package. `module` is its dotted name without the package's."""

    module: tuple[str, ...]
    tree: ast.Module
    name: str

    @property
    def room(self) -> str:
        return self.module[0] if self.module else ""


def breaches(package: Path) -> list[str]:
    """Every import through a wall, every own clock or dice and every await in `core`: `file:line: what`."""
    found = []
    for source in _sources(package):
        found += list(_imports_through_walls(source))
        if source.room in CLOCKWORK:
            found += list(_own_time_and_chance(source))
        if source.room == "core":
            found += list(_impure(source))
    return found


def _sources(package: Path) -> Iterator[Source]:
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        tree = ast.parse(file.read_text("utf-8"))
        yield Source(module=parts, tree=tree, name=str(file.relative_to(package.parent)))


def _imports_through_walls(source: Source) -> Iterator[str]:
    for line, target in _imports(source):
        top, _, rest = target.partition(".")
        room = rest.partition(".")[0]
        if top in LIBRARIES and source.room not in LIBRARIES[top]:
            yield f"{source.name}:{line}: {target} is for {' and '.join(LIBRARIES[top])} alone"
        elif top == "warmupd" and room in BELOW and room != source.room and room not in BELOW.get(source.room, ()):
            yield f"{source.name}:{line}: {source.room or 'the package'} may not import {room}"
    if source.room not in BELOW and source.room != "__init__":
        yield f"{source.name}:1: the house has no such room"


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, by whichever form."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield node.lineno, ast.literal_eval(node.args[0]) if isinstance(node.args[0], ast.Constant) else ""


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    above = ("warmupd", *source.module)[: -node.level] if node.level else ()
    return ".".join([*above, *([node.module] if node.module else [])])


def _own_time_and_chance(source: Source) -> Iterator[str]:
    names = dict(_names(source.tree))
    breaths = {id(call.func) for call in ast.walk(source.tree) if isinstance(call, ast.Call) and _is_breath(call)}
    for node in ast.walk(source.tree):
        if id(node) in breaths or not _is_dotted_name(node):
            continue
        first, *rest = ast.unparse(node).split(".")
        meant = ".".join([names.get(first, ""), *rest])
        if meant in OWN_TIME or (meant.startswith("random.") and ".".join(meant.split(".")[:2]) not in OWN_DICE):
            yield f"{source.name}:{node.lineno}: {meant} is not for {source.room}: ask the Clock, the Random at hand"


def _is_dotted_name(node: ast.AST) -> TypeGuard[ast.Attribute | ast.Name]:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted_name(node.value))


def _names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What each imported name stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _is_breath(call: ast.Call) -> bool:
    """`sleep(0)` lets others run and takes no time."""
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def _impure(source: Source) -> Iterator[str]:
    for line, target in _imports(source):
        if target.partition(".")[0] in OUTSIDE_CORE:
            yield f"{source.name}:{line}: core is pure and does without {target}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{source.name}:{node.lineno}: core is pure and never waits"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{source.name}:{node.lineno}: core is pure and opens nothing"
