"""What `mailbox list --removed` shows: mailboxes that have left, and until when they can be brought back."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from warmupd.cli.output import count, print_table, print_wrapped

if TYPE_CHECKING:
    from warmupd.store.removals import Removal


def print_removed(removals: "Sequence[Removal]") -> None:
    """Those that go for good the soonest come first; times are UTC, since a removed mailbox has no day any more."""
    if not removals:
        print_wrapped("No removed mailbox can be brought back: none was removed in the last 7 days.")
        return
    rows = sorted(removals, key=lambda one: (one.undo_until, one.address))
    print_table(
        ("mailbox", "user", "removed (UTC)", "undo until (UTC)", "comes back as", "warmup folder"), map(_cells, rows)
    )
    print()
    print_wrapped(f"{count(len(rows), 'mailbox')}; `warmupd mailbox remove --undo ADDRESS` brings one back as it was.")


def _cells(one: "Removal") -> tuple[str, ...]:
    back = "its address is enrolled again" if one.in_use else str(one.state)
    return one.address, one.user, _minute(one.removed_at), _minute(one.undo_until), back, _folder(one)


def _folder(one: "Removal") -> str:
    """What becomes of it."""
    if not one.clean:
        return "left as it is"
    taken = f"{count(one.cleaned, 'message')} taken out"
    if one.clean_at is None:
        return f"cleared: {taken}"
    return f"not cleared yet: {one.clean_error}" if one.clean_error else f"being cleared: {taken}"


def _minute(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
