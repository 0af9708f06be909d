"""docs/logs.md and the code name the same events, with the same levels and fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.test_text import ROOT
from warmupd.daemon.log_limit import ALWAYS, KINDS, MOST

LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
LOGGERS = frozenset({"_log", "get_logger()"})
TEXT = (ROOT / "docs" / "logs.md").read_text()
OF_LIBRARIES = ("library.warned", {"as the library says"}, {"exception", "library", "says"})  # renamed, not called
CONTEXT = frozenset({"event", "level", "at", "shard", "request"})  # of which no event has one of its own

Facts = dict[str, tuple[set[str], set[str]]]


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call of a structlog logger, with the method's name."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value).rpartition(".")[2] in LOGGERS
        ):
            yield node, node.func.attr


def in_code() -> Facts:
    name, levels, fields = OF_LIBRARIES
    facts: Facts = {name: (levels, fields)}
    for file in sorted((ROOT / "warmupd").rglob("*.py")):
        text = file.read_text()
        if "structlog" not in text:
            continue
        for call, level in calls(ast.parse(text)):
            where = f"{file.name}:{call.lineno}"
            assert level in LEVELS, f"{where}: .{level} is none of the levels"
            assert len(call.args) == 1, f"{where}: an event has a name, and fields"
            assert isinstance(call.args[0], ast.Constant), f"{where}: its name is to be found by grep"
            levels, fields = facts.setdefault(str(call.args[0].value), (set(), set()))
            levels.add(level)
            fields.update("exception" if word.arg == "exc_info" else word.arg or "**" for word in call.keywords)
    return facts


def in_table() -> Facts:
    facts: Facts = {}
    for line in TEXT.splitlines():
        if match := re.fullmatch(r"\| `([a-z_.]+\.[a-z_]+)` \| ([a-z, ]+) \| .+ \| (.*) \|", line):
            facts[match[1]] = (set(match[2].split(", ")), set(re.findall(r"`(\w+)`", match[3])))
    return facts


CODE = in_code()


def test_table_and_code_name_the_same_events() -> None:
    assert set(in_table()) == set(CODE)


def test_events_have_the_levels_and_the_fields_that_the_table_says() -> None:
    assert in_table() == CODE


def test_table_is_in_order() -> None:
    assert list(in_table()) == sorted(in_table())


def test_names_are_dotted_and_fields_have_units() -> None:
    for event, (_, fields) in CODE.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event)
        for field in fields:
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", field)
            assert not re.search(r"(^|_)(ms|time|secs?|minutes?|in|after)$", field), f"{field} of {event} has no unit"
            assert field not in CONTEXT, f"{field} of {event} is said of lines of other kinds"


def test_what_limits_go_by_is_there_and_told() -> None:
    assert set(CODE) >= ALWAYS
    fields = set[str]().union(*(fields for _, fields in CODE.values()))
    assert fields >= set(KINDS)
    assert all(f"`{name}`" in TEXT for name in (*KINDS, *ALWAYS - {"log.left_out"}))
    assert f"the first {MOST} lines" in " ".join(TEXT.split())


def test_no_file_logs_by_another_name() -> None:
    """print() and logging are for programs of the sandbox and the terminal."""
    for file in (ROOT / "warmupd").rglob("*.py"):
        if {"cli", "sandbox"}.isdisjoint(Path(file).parts):
            text = file.read_text()
            assert "logging.getLogger(" not in text or file.name == "logs.py", file
