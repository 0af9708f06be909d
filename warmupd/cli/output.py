"""What commands print: tables and facts for people, plain where there is no terminal, and JSON documents."""

import dataclasses
import datetime as dt
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO
from uuid import UUID

NARROWEST = 40  # columns


def print_json(value: object) -> None:
    """One JSON document on stdout; instants in ISO 8601, UTC."""
    print(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table; `right` names the columns of numbers. Piped, it is plain columns that nothing is cut off from."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, texts, right)
        return
    widths = [max([len(name), *(len(row[n]) for row in texts)]) for n, name in enumerate(columns)]
    for line in [list(columns), *texts]:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def print_facts(facts: Iterable[tuple[str, str]], *, indent: int = 0) -> None:
    """Lines of a name and what is said of it, wrapped beside the name; one without text is left out."""
    told = [(name, text) for name, text in facts if text]
    margin = max([len(name) for name, _ in told], default=0) + 2
    for name, text in told:
        print_wrapped(text, first=" " * indent + name.ljust(margin))


def print_wrapped(text: str, *, first: str = "", to: TextIO | None = None) -> None:
    """`text` after `first`, wrapped to the terminal under its own beginning; unwrapped where there is none."""
    stream = to or sys.stdout
    if not stream.isatty():
        print(f"{first}{text}".rstrip(), file=stream)
        return
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    print(
        textwrap.fill(
            text,
            width=width,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_on_hyphens=False,
            break_long_words=False,
        ),
        file=stream,
    )


def ago(seconds: float) -> str:
    """A length of time as people say it: `3 s`, `14 min`, `2 h`, `5 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length or (unit == "min" and seconds >= length):
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def count(number: int, noun: str) -> str:
    """`1 mailbox`, `2 mailboxes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}es" if noun.endswith(("x", "s")) else f"{number:,} {noun}s"


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name in right)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _plain(value: Any) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date | UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
