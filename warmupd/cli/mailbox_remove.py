"""`warmupd mailbox remove`, and its undoing."""

import datetime as dt
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import Addresses, ConfigPath, OfDomain, OfLabel, OfUser
from warmupd.errors import NotFound, UsageError, WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.mailbox_report import MailboxReport
    from warmupd.store.removals import Removal

EXAMPLE = "Example: warmupd mailbox remove --label client-a --clean --reason 'contract ended'"
NAMED = 5  # mailboxes that a question names

Clean = Annotated[
    bool,
    typer.Option("--clean", help="Have a worker delete our messages from their warmup folders, and empty folders."),
]
Undo = Annotated[bool, typer.Option("--undo", help="Bring removed mailboxes back as they were, within 7 days.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", help="Kept in the history. (default: by its owner)", show_default=False),
]


def remove(  # noqa: PLR0913, PLR0917  one parameter an option
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    clean: Clean = False,
    undo: Undo = False,
    yes: Yes = False,
    reason: Reason = "",
) -> None:
    """Remove mailboxes; can be undone for 7 days.

    At once nothing is sent from them or to them any more.

    For 7 days --undo brings them back, with ramp, labels, passwords and state. Then their passwords and tokens are
    wiped; what they have sent stays in the reports. An address can be enrolled again at any time. --clean takes
    nothing but our own messages out of their warmup folders; a worker does it, and tries again when a server is away.
    """
    from warmupd.cli.session import work

    if undo and clean:
        raise UsageError("--undo and --clean do not go together", remedy="give one of the two")
    chosen = {"user": user, "label": label, "domain": domain}

    async def task(session: "Session") -> None:
        if undo:
            await _undo(session, addresses, chosen)
        else:
            await _remove(session, addresses, chosen, clean=clean, yes=yes, reason=reason)

    work(config, task, name="mailbox remove")


async def offer_undo(session: "Session", address: str, user: str) -> None:
    """Raise UsageError when the same user removed this address and can have it back with its history."""
    from warmupd.store.removals import find_removals, undoable

    for removal in await find_removals(session.db, address=address, user=user):
        raise undoable(removal)


async def _remove(
    session: "Session",
    addresses: Sequence[str] | None,
    fits: dict[str, str | None],
    *,
    clean: bool,
    yes: bool,
    reason: str,
) -> None:
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.output import count, print_wrapped
    from warmupd.daemon import acting
    from warmupd.store.removals import UNDO_FOR

    mailboxes = await choose(session.db, addresses, **fits)
    if not yes and sys.stdin.isatty():
        _confirm(mailboxes)
    at = session.clock.now()
    deeds = await acting.remove(session.db, mailboxes, actor="cli", reason=reason, clean=clean, at=at)
    gone = [deed for deed in deeds if deed.done]
    for deed in deeds:
        print(f"{deed.address}: {deed.text}")
    if clean and gone:
        print_wrapped(
            f"A worker will clear out {'its' if len(gone) == 1 else 'their'} warmup folder{'s'[: len(gone) > 1]} within"
            " minutes."
        )
    print_wrapped(
        f"{count(len(gone), 'mailbox')} removed; `warmupd mailbox remove --undo` brings"
        f" {'it' if len(gone) == 1 else 'them'} back until {_day(at + UNDO_FOR)}."
    )


def _confirm(mailboxes: "Sequence[MailboxReport]") -> None:
    from warmupd.cli.output import count

    named = ", ".join(mailbox.address for mailbox in mailboxes[:NAMED])
    more = f" and {len(mailboxes) - NAMED:,} more" if len(mailboxes) > NAMED else ""
    answer = input(f"Remove {count(len(mailboxes), 'mailbox')} ({named}{more})? [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise WarmupdError("nothing was removed", remedy="answer y, or give --yes")


async def _undo(session: "Session", addresses: Sequence[str] | None, fits: dict[str, str | None]) -> None:
    """Each by itself: that one cannot come back keeps no other away."""
    from warmupd.daemon import acting

    removals = await _removals(session, addresses, fits)
    deeds = await acting.undo(session.db, removals, actor="cli", at=session.clock.now())
    for deed in deeds:
        if deed.done:
            print(f"{deed.address}: {deed.text}")
    failures = [f"{deed.address}: {deed.text}" for deed in deeds if deed.failed]
    if failures:
        raise WarmupdError("\n".join(failures))


async def _removals(
    session: "Session", addresses: Sequence[str] | None, fits: dict[str, str | None]
) -> "list[Removal]":
    from warmupd.store.removals import find_removals

    if addresses and any(fits.values()):
        raise UsageError("addresses and --user, --label, --domain do not go together", remedy="use one or the other")
    if not (addresses or any(fits.values())):
        raise UsageError("no mailbox was named", remedy="give addresses, or choose by --user, --label or --domain")
    if not addresses:
        found = await find_removals(session.db, user=fits["user"], label=fits["label"], domain=fits["domain"])
        missing = [] if found else ["no removed mailbox fits"]
    else:
        each = {address: await find_removals(session.db, address=address) for address in dict.fromkeys(addresses)}
        found = [removal for those in each.values() for removal in those]
        missing = [f"{address} was not removed in the last 7 days" for address, those in each.items() if not those]
    if missing:
        raise NotFound("; ".join(missing), remedy="`warmupd mailbox list` shows those that are enrolled")
    return found


def _day(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
