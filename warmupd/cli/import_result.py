"""What `mailbox import` tells: notes on the file, the rows, the sums, and what cannot carry the new quotas."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from warmupd.cli.output import count, print_json, print_table, print_wrapped

if TYPE_CHECKING:
    from warmupd.core.capacity import Shortfall
    from warmupd.daemon.importing import Import, OnProgress, Row

EVERY = 10.0  # seconds between lines where there is no terminal


def untried_passwords(importing: "Import") -> list[str]:
    """What speaks against the passwords of the good rows, provider by provider, where no login is tried."""
    advice = Counter(row.candidate.advice for row in importing.good if row.candidate)
    return [
        f"{count(number, 'row')} with a password: {one.text}, and it is not tried; {one.remedy}"
        for one, number in advice.items()
        if one is not None
    ]


def print_notes(notes: Sequence[str]) -> None:
    """What the owner should know, beside the result."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def print_rows(rows: "Sequence[Row]", *, verbose: bool) -> None:
    """Row by row those that were rejected, and good ones of which there is something to say; all if `verbose`."""
    told = [row for row in rows if verbose or row.state.value == "rejected" or (row.state.value == "good" and row.told)]
    if not told:
        return
    print_table(("row", "address", "result", "reason"), map(_cells, told), right=("row",))


def print_sums(importing: "Import", *, to: TextIO | None = None) -> None:
    """How many rows came to what."""
    told = [f"{number:,} {state}" for state, number in importing.counts().items() if number]
    print(f"{count(len(importing.rows), 'row')}: {', '.join(told) or 'none'}", file=to)


def print_capacity(today: "Sequence[Shortfall] | None", ramped: "Sequence[Shortfall] | None") -> None:
    """What cannot carry the quotas of today and of a ramped day, and what to do; nothing if all can, or not known."""
    for when, shortfalls in (("today", today), ("once all are ramped", ramped)):
        for one in shortfalls or ():
            print_wrapped(f"{when}: {one.text}; {one.remedy}", first="capacity ")


def print_result(
    importing: "Import",
    *,
    file: Path,
    notes: Sequence[str],
    capacity: "tuple[Sequence[Shortfall] | None, Sequence[Shortfall] | None]",
    rejected: Path | None,
) -> None:
    """All of it, with every row, as one JSON document."""
    from warmupd.daemon.import_report import rows_of

    print_json(
        {
            "file": str(file),
            "counts": importing.counts(),
            "notes": notes,
            "rejected_file": str(rejected) if rejected else None,
            "capacity": {"today": capacity[0], "ramped": capacity[1]},
            "rows": rows_of(importing),
        }
    )


@contextmanager
def progress(what: str) -> "Iterator[OnProgress]":
    """A bar on stderr, or a line now and then where that is no terminal."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _lines(what: str) -> "OnProgress":
    import time

    last = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(f"{what}: {done:,} of {of:,}", file=sys.stderr)

    return tell


def _cells(row: "Row") -> tuple[object, ...]:
    address = row.address if row.address.isprintable() else repr(row.address)
    return row.row.number, address, row.state.value, row.told
