"""`warmupd mailbox list`."""

import datetime as dt
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath, OfDomain, OfLabel, OfUser
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.core.mailbox import MailboxState
    from warmupd.daemon.roster import Listed

EXAMPLE = "Example: warmupd mailbox list --user owner@example.com --state AUTH_FAILED"
LEAST_ROOM = 28  # columns of a terminal in which words can stand beside the rest of a line
ROOM_FOR_LABELS = 50  # columns that labels must leave for those words
LONGEST_ADDRESS = 40  # characters that stand in the line of the rest
_COLUMNS = ("mailbox", "state", "today", "health", "inbox")
_RIGHT = ("today", "inbox")

Removed = Annotated[
    bool, typer.Option("--removed", help="Instead, those that were removed and can be brought back, and until when.")
]
OfState = Annotated[
    str | None, typer.Option("--state", metavar="STATE", help="All in this state, such as PAUSED.", show_default=False)
]


def list_all(
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    state: OfState = None,
    removed: Removed = False,
    as_json: AsJson = False,
) -> None:
    """List mailboxes: state, day, health, and what holds them.

    By user and address. "today" is what was sent of today's quota; "inbox" the share of its messages of the last days
    that was found there, and "-" while there are too few to say (health.smallest_sample). Times are local to the
    mailbox. Everything about one of them: `warmupd explain`.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.daemon.roster import list_mailboxes
    from warmupd.store.selection import Selection, ids_of

    if removed:
        if state:
            raise UsageError("--removed and --state do not go together", remedy="give one of the two")
        work(config, lambda session: _removed(session, user, label, domain, as_json=as_json), name="mailbox list")
        return
    chosen = Selection(user=user, label=label, domain=domain, state=None if state is None else _known_state(state))
    fits = any((user, label, domain, state))

    async def task(session: "Session") -> None:
        now = session.clock.now()
        ids = await ids_of(session.db, chosen, owner=None)
        listed = await list_mailboxes(session.db, session.config, ids, at=now)
        if as_json:
            print_json(listed)
        elif listed:
            _print(listed, now)
        else:
            _print_nothing(fits=fits)

    work(config, task, name="mailbox list")


async def _removed(
    session: "Session", user: str | None, label: str | None, domain: str | None, *, as_json: bool
) -> None:
    from warmupd.cli.mailbox_removed import print_removed
    from warmupd.cli.output import print_json
    from warmupd.store.removals import find_removals

    found = await find_removals(session.db, user=user, label=label, domain=domain)
    if as_json:
        print_json(found)
    else:
        print_removed(found)


def _print_nothing(*, fits: bool) -> None:
    from warmupd.cli.output import print_wrapped

    if fits:
        print_wrapped("No mailbox fits. `warmupd mailbox list` without options shows them all.")
    else:
        print_wrapped("No mailbox is enrolled yet. `warmupd mailbox add ADDRESS --user EMAIL` enrols one; it takes two")
        print_wrapped("to write to each other.")


def _known_state(word: str) -> "MailboxState":
    from warmupd.core.mailbox import MailboxState

    known = [state.value for state in MailboxState if state is not MailboxState.REMOVED]  # which no list shows
    if word.upper() not in known:
        raise UsageError(f"{word} is not a state", remedy=f"one of: {', '.join(known)}")
    return MailboxState(word.upper())


def _print(listed: "Sequence[Listed]", now: dt.datetime) -> None:
    from warmupd.cli.output import count, print_table, print_wrapped

    if sys.stdout.isatty():
        _print_in_terminal(listed, now)
    else:
        columns = [*_COLUMNS, "user", "labels", "what holds it"]
        rows = [[*_cells(one), one.mailbox.user, " ".join(one.mailbox.labels), _held(one, now)] for one in listed]
        print_table(columns, rows, right=_RIGHT)
    print()
    print_wrapped(f"{count(len(listed), 'mailbox')}: {', '.join(_sums(listed))}.")


def _print_in_terminal(listed: "Sequence[Listed]", now: dt.datetime) -> None:
    """Under a line for each user; what holds a mailbox wraps beside the rest, or below it where that leaves no room."""
    from warmupd.cli.output import print_wrapped

    rows = [list(_COLUMNS), *(_cells(one) for one in listed)]
    labels = ["labels", *(" ".join(one.mailbox.labels) for one in listed)]
    columns = shutil.get_terminal_size().columns
    if any(labels[1:]) and columns - sum(_widths(rows)) - max(map(len, labels)) >= ROOM_FOR_LABELS:
        rows = [[*row, label] for row, label in zip(rows, labels, strict=True)]
    widths = _widths(rows)
    beside = columns - sum(widths) >= LEAST_ROOM
    users = ["", *(one.mailbox.user for one in listed)]
    held = ["what holds it", *(_held(one, now) for one in listed)]
    for n, row in enumerate(rows):
        if n and users[n] != users[n - 1] and len(set(users)) > 2:
            print(f"{users[n]}:")
        if len(row[0]) > LONGEST_ADDRESS:
            print(row[0])
            row[0] = ""
        line = "".join(
            (cell.rjust(width - 2) if name in _RIGHT else cell.ljust(width - 2)) + "  "
            for name, cell, width in zip((*_COLUMNS, "labels"), row, widths, strict=False)
        )
        if beside:
            print_wrapped(held[n], first=line)
        else:
            print(line.rstrip())
            print_wrapped(held[n], first="    ")


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Of the columns, with the two spaces after each. An address that is longer than most gets a line of its own."""
    columns = list(zip(*rows, strict=True))
    usual = [address for address in columns[0] if len(address) <= LONGEST_ADDRESS]
    return [max(map(len, column)) + 2 for column in (usual, *columns[1:])]


def _cells(one: "Listed") -> list[str]:
    row, today = one.mailbox, one.today
    return [
        row.address,
        row.state,
        f"{today.sent}/{today.day.quota}" if today else "-",
        row.health.lower(),
        "-" if one.score is None else f"{one.score:.0%}",
    ]


def _held(one: "Listed", now: dt.datetime) -> str:
    """What keeps it from sending this moment, and when it sends next as far as can be told."""
    from warmupd.core.obstacle import Why
    from warmupd.core.window import zone_info

    verdict = one.verdict
    if verdict.next_send_at is None:
        return verdict.text
    local, today = (moment.astimezone(zone_info(one.zone)) for moment in (verdict.next_send_at, now))
    about = f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"
    if verdict.why in {Why.WAITING, Why.SPACING}:
        return "next send due now" if local <= today else f"next send about {about}"
    return f"{verdict.text}; next about {about}"


def _sums(listed: "Sequence[Listed]") -> Iterator[str]:
    for state, number in Counter(one.mailbox.state for one in listed).most_common():
        yield f"{number:,} {state}"
    days = [one.today for one in listed if one.today is not None]
    if days:
        yield f"{sum(day.sent for day in days):,} of {sum(day.day.quota for day in days):,} sent today"
