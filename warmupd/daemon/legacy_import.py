"""Taking over from the old system: plans, users, and accounts batch by batch, each with what it has sent."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from warmupd.core.legacy_account import read_account
from warmupd.core.legacy_days import OldDay
from warmupd.daemon.legacy_accounts import AccountTaker, Entry
from warmupd.daemon.legacy_census import Census, take_census
from warmupd.daemon.legacy_people import People
from warmupd.daemon.legacy_report import Problem
from warmupd.errors import WarmupdError
from warmupd.store.legacy_counts import FAILED, OPEN, SENT, log_statuses, old_days
from warmupd.store.users import User

BATCH = 200  # mailboxes of one user that are entered in one transaction

OnProgress = Callable[[int, int], None]


async def take_over(taker: AccountTaker, on_progress: OnProgress) -> None:
    """Take over everything. What is there already is not changed but for counts that grew: so it can be repeated,
    and one that was broken off goes on.
    """
    source, layout, report = taker.source, taker.layout, taker.report
    if (logs := layout.tables.get("logs")) is not None:
        report.statuses = await log_statuses(source, logs)
        known = {*SENT, *FAILED, *OPEN}
        report.unknown_statuses = {word: n for word, n in report.statuses.items() if _plain(word) not in known}
    owners = await People(source, layout, taker.db, taker.clock, report, dry=taker.dry).take()
    census = await take_census(taker, owners)
    of = len(census.senders.ids)
    done, batch, last = 0, list[Entry](), None
    async for owner, entry in _entries(taker, census, owners):
        if batch and (owner is not last or len(batch) >= BATCH):
            await taker.take(last, batch)
            done += len(batch)
            on_progress(done, of)
            batch = []
        last = owner
        batch.append(entry)
    if batch:
        await taker.take(last, batch)
    on_progress(of, of)


async def _entries(
    taker: AccountTaker, census: Census, owners: Mapping[str, User]
) -> AsyncIterator[tuple[User | None, Entry]]:
    """The accounts, each address once, with the days of theirs: two cursors in the same order."""
    days = _Days(old_days(taker.source, taker.layout, census.senders))
    async for cells in taker.source.rows(taker.layout.tables["accounts"], order=("user", "id")):
        old_id = cells["id"] or ""
        if (place := census.first.get(old_id)) is None:
            continue
        its, address = await days.of(place), census.addresses[place]
        try:
            account = read_account(cells, address)
        except WarmupdError as error:
            taker.report.mailboxes["rejected"] += 1
            taker.report.problems.append(Problem.of("accounts", old_id, address, error))
            continue
        yield owners.get(account.user_id, taker.heir), Entry(account=account, days=its, zone=census.zones[place])


class _Days:
    """The stream of counted days, asked for by places that only grow."""

    def __init__(self, stream: AsyncIterator[tuple[int, OldDay]]) -> None:
        self._stream = stream
        self._next: tuple[int, OldDay] | None = (-1, OldDay(day=dt.date.min, sent=0))

    async def of(self, place: int) -> Sequence[OldDay]:
        """The days of the account at this place; those of places before it are passed over."""
        found = []
        while self._next is not None and self._next[0] <= place:
            if self._next[0] == place:
                found.append(self._next[1])
            self._next = await anext(self._stream, None)
        return found


def _plain(word: str) -> str:
    return word.strip().upper()
