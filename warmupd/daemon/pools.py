"""The pools as this worker keeps them: who takes part today, and what its mailboxes have sent to whom."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from warmupd.core.directory import DAYS_APART, Directory
from warmupd.core.mailbox import Mailbox
from warmupd.core.tally import Tally
from warmupd.errors import DatabaseUnavailable
from warmupd.store import directories, meetings
from warmupd.store.database import Database


class Pools:
    """A tally for each pool, with its directory. `weigh` tells a mailbox's quota of a day."""

    def __init__(self, db: Database, *, weigh: Callable[[Mailbox, dt.date], int]) -> None:
        self._db = db
        self._weigh = weigh
        self._tallies: dict[int, Tally] = {}
        self._recalled: set[tuple[int, int]] = set()  # slots and epochs whose meetings of the last days are known

    def tally_of(self, pool_id: int) -> Tally | None:
        """None for a pool in which nobody took part yet."""
        return self._tallies.get(pool_id)

    async def agree(self, mailboxes: Mapping[int, Mailbox], now: dt.datetime, only: set[int] | None) -> None:
        """Have the directories of all pools, or of `only` these, for this UTC day, the same as every other worker's.

        What others have written is read first: then only those who are not in it yet have to be weighed and sent.
        """
        day = now.astimezone(dt.UTC).date()
        if unlisted := self._unlisted(mailboxes, day, only):
            self._take_over(await directories.read_directories(self._db, day, list(unlisted)))
            unlisted = self._unlisted(mailboxes, day, set(unlisted))
        wanted = {
            pool: [(one, max(1, self._weigh(mailboxes[one], day))) for one in ids] for pool, ids in unlisted.items()
        }
        if wanted:
            self._take_over(await directories.agree_directories(self._db, day, wanted))

    def _unlisted(self, mailboxes: Mapping[int, Mailbox], day: dt.date, only: set[int] | None) -> dict[int, list[int]]:
        """By pool, who is in no directory of this day yet; who has left one does not fit, and may stay in it."""
        members: dict[int, list[int]] = {}
        for mailbox in mailboxes.values():
            if mailbox.state.receives and (only is None or mailbox.pool_id in only):
                members.setdefault(mailbox.pool_id, []).append(mailbox.id)
        for pool, ids in list(members.items()):
            tally = self._tallies.get(pool)
            if tally is not None and tally.directory.day == day:
                members[pool] = tally.directory.strangers(ids)
        return {pool: ids for pool, ids in members.items() if ids}

    def _take_over(self, found: Mapping[int, Directory]) -> None:
        for pool, directory in found.items():
            self._tallies[pool] = Tally(directory, self._tallies.get(pool))

    async def recall_meetings(
        self,
        mailboxes: Iterable[Mailbox],
        held: Mapping[int, int],
        slot_of: Callable[[Mailbox], int],
        now: dt.datetime,
    ) -> None:
        """Know whom the mailboxes of these slots have written to in the last days: read once for each epoch of a slot.

        Without a database it is done without, and read at the next occasion: who meets again too soon does no harm.
        """
        fresh = dict(held.items() - self._recalled)
        tallies = {
            one.id: tally
            for one in (mailboxes if fresh else ())
            if (tally := self._tallies.get(one.pool_id)) is not None
            and tally.directory.days_to_remember
            and slot_of(one) in fresh
        }
        today = now.astimezone(dt.UTC).date()
        with suppress(DatabaseUnavailable):
            for days_ago in range(DAYS_APART + 1 if tallies else 0):
                day = today - dt.timedelta(days=days_ago)
                for sender, recipients in (await meetings.load_meetings(self._db, list(tallies), day)).items():
                    tally = tallies[sender]
                    tally.recall_meetings(sender, recipients, days_ago=max(0, (tally.directory.day - day).days))
            self._recalled = set(held.items())
