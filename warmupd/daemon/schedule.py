"""The first half of the path: mailbox rows become heap entries, and due entries become requests."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence

from warmupd.core.heap import SendHeap
from warmupd.core.job import Thread
from warmupd.core.mailbox import DayRow, Mailbox
from warmupd.core.pacing import user_gap
from warmupd.daemon.book import Book
from warmupd.daemon.checkup import Checkup
from warmupd.daemon.ground import Ground
from warmupd.daemon.head_start import HeadStarts
from warmupd.daemon.holds import Holds
from warmupd.daemon.leases import Leases
from warmupd.daemon.long_lived import LongLived
from warmupd.daemon.pace import Pace
from warmupd.errors import DatabaseUnavailable
from warmupd.mail.content import Library
from warmupd.store.jobs import Request

NO_RECIPIENT_WAIT = 600.0  # seconds until a mailbox that found nobody to write to looks again
UNSERVED = 600.0  # real seconds in which nobody was served, after which those who are due begin one by one
STILL_SENDING_WAIT = 30.0  # seconds until a mailbox whose last send goes on yet looks again
NO_ROOM_WAIT = 10.0  # seconds until a mailbox that could not log in yet, since too many do, tries again
AT_ONCE = 1000  # mailboxes that are looked at until somebody else has a turn
NOT_OPENED_WAIT = 60.0  # seconds until a mailbox whose day could not be opened (its row is gone) tries again


class Schedule:
    """When each mailbox of this worker is looked at next, and what it asks for when it is due."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        book: Book,
        checkup: Checkup,
        holds: Holds,
        head_starts: HeadStarts,
        library: Library,
        pace: Pace,
    ) -> None:
        self.book = book
        self.pace = pace
        self.library = library
        self.holds = holds
        self._head_starts = head_starts
        self._clock = ground.clock
        self._events = ground.events
        self._rng = ground.rng
        self._leases = leases
        self._checkup = checkup
        self._heap = SendHeap(self.book.need_of)
        self._served_at = ground.clock.now()  # when it was last looked who is due
        self._long_lived = LongLived()
        self._lonely: set[int] = set()  # mailboxes that found nobody to write to

    def depth(self) -> int:
        """How many entries are due. Those that a gate holds do not count: no worker could serve them."""
        return self._heap.ready_count(self._clock.now())

    def oldest_due(self) -> float:
        """Seconds for which the longest due entry has waited for its turn; 0.0 when none is due."""
        now = self._clock.now()
        oldest = self._heap.oldest_due(now)
        return 0.0 if oldest is None else (now - oldest).total_seconds()

    def next_look(self) -> dt.datetime | None:
        """When there is something to take again; None when nothing is planned."""
        now = self._clock.now()
        if (until := self.holds.everybody_waits(now)) is not None:
            return until
        moments = (now if self._heap.ready_count(now) else self._heap.next_due(), self.holds.next_opening())
        return min((moment for moment in moments if moment is not None), default=None)

    # -- mailbox row -> heap entry ------------------------------------------------------------------------------

    async def rebuild(self, *, afresh: bool = False) -> None:
        """Fill the heap from rows: at the start, when slots come or go, and now and then.

        What was planned before keeps its time, and what waits behind a gate its place: planned anew each time, it
        would be put off each time. With `afresh` what is due when is thought over, too; gates stay shut.
        """
        before = self.book.mailboxes
        with self._long_lived.loading():
            await self.book.load(self._clock.now())
        await self.book.recall_meetings(self._leases.held, self._leases.slot_of, self._clock.now())
        now = self._clock.now()
        if afresh:
            self.holds.empty_queues()
            self._heap = SendHeap(self.book.need_of)
        for entry in self._heap.pop_ready(now, len(self._heap)):
            self.push(entry.mailbox_id, entry.due_at)  # they are ranked anew
        for number, mailbox_id in enumerate([*before.keys() - self.book.mailboxes.keys(), *self.book.mailboxes], 1):
            if number % AT_ONCE == 0:
                await self._clock.pause(0.0)  # others have their turn, and may plan some of these meanwhile
            self._enter(mailbox_id)
        self._long_lived.set_aside(len(self.book.mailboxes))

    def _enter(self, mailbox_id: int) -> None:
        """See to it that the mailbox is in the heap, or behind a gate, if it is this worker's."""
        mailbox = self.book.mailboxes.get(mailbox_id)
        if mailbox is None or not mailbox.state.sends or not self._leases.owns(mailbox):
            self._heap.discard(mailbox_id)
            self.holds.discard(mailbox_id)
        elif mailbox_id in self._heap:
            self._hasten(mailbox_id)
        elif not self.holds.waits(mailbox_id):
            self.plan(mailbox_id, resumes=True)

    async def look_again(self, mailbox_ids: Sequence[int]) -> None:
        """These mailboxes were added or changed: read them anew and plan them."""
        pools = self.book.pools_of(mailbox_ids)
        idle = [one for one in mailbox_ids if one not in self._heap and not self.holds.waits(one)]
        await self.count_again(mailbox_ids)
        for mailbox_id in idle:
            self.plan(mailbox_id, resumes=True)
        await self.book.agree_directories(self._clock.now(), pools | self.book.pools_of(mailbox_ids))
        for mailbox_id in mailbox_ids:
            self.hear_proof(mailbox_id)
        await self.hear_answers(list(self.book.take_up(mailbox_ids)))

    async def count_again(self, mailbox_ids: Sequence[int]) -> None:
        """The copy in memory may be wrong for these mailboxes: read them anew and plan them."""
        await self.book.reload(mailbox_ids, self._clock.now())
        for mailbox_id in mailbox_ids:
            self.holds.discard(mailbox_id)
            self.plan(mailbox_id)

    async def hear_answers(self, mailbox_ids: Sequence[int]) -> None:
        """Visits have planned answers for these mailboxes."""
        await self.book.reload_waiting(mailbox_ids)
        for mailbox_id in mailbox_ids:
            self._hasten(mailbox_id)

    def _hasten(self, mailbox_id: int) -> None:
        """A waiting job that is due before the mailbox's entry brings it forward."""
        waiting = self.book.next_waiting(mailbox_id)  # few have one, and all are asked
        if waiting and (due_at := self._heap.due_of(mailbox_id)) is not None and waiting.scheduled_for < due_at:
            self.push(mailbox_id, waiting.scheduled_for)

    def hear_proof(self, recipient_id: int) -> None:
        """A message was found in this mailbox, or it was changed. Who had nobody to write to may have it now."""
        self.book.welcome(recipient_id)
        pools = self.book.pools_of([recipient_id])
        for mailbox_id in [one for one in self._lonely if self.book.pools_of([one]) == pools]:
            self._lonely.discard(mailbox_id)
            self.plan(mailbox_id)

    def plan(self, mailbox_id: int, *, not_before: dt.datetime | None = None, resumes: bool = False) -> None:
        """Push the mailbox's next heap entry: its next first send, its next waiting job, or its next day's opening."""
        mailbox, now = self.book.mailboxes.get(mailbox_id), self._clock.now()
        if mailbox is None or not mailbox.state.sends or not self._leases.owns(mailbox):
            self._heap.discard(mailbox_id)
            return
        due_at = self.book.due_at(mailbox, now, self.pace.spacing, self._rng, resumes=resumes)
        self.push(mailbox_id, due_at if not_before is None else max(due_at, not_before))

    def push(self, mailbox_id: int, due_at: dt.datetime) -> None:
        """Look at the mailbox at `due_at`, whatever its day says."""
        self._heap.wait(mailbox_id, due_at.timestamp())

    # -- heap entry -> due --------------------------------------------------------------------------------------

    async def take(self, permits: int) -> list[Request]:
        """Requests of the neediest due mailboxes, with head starts at most `permits`; days that begin are opened."""
        now = self._clock.now()
        requests: list[Request] = []
        unopened: list[int] = []
        hosts: Counter[str] = Counter()  # of this batch
        self._resume(now)
        if self.holds.everybody_waits(now) is not None:
            return requests
        most = self._head_starts.begun + (min(permits, 1) if self.holds.by_order else permits)  # one asks for all
        for mailbox_id in self.holds.release(
            now, per_host=self.pace.per_host_concurrent, most=self.pace.max_concurrent
        ):
            self.push(mailbox_id, now)
        while entries := self._heap.pop_ready(now, max(0, most - self._head_starts.begun - len(requests))):
            for entry in entries:
                mailbox = self.book.mailboxes.get(entry.mailbox_id)
                if mailbox is None or not self._leases.owns(mailbox) or not mailbox.state.sends:
                    continue
                if (day := self.book.day_of(mailbox, now)) is None:
                    unopened.append(mailbox.id)
                elif not self._held_back(mailbox, now, hosts):
                    asked = self._request(mailbox, day, now)
                    requests += asked
                    hosts[mailbox.lane] += len(asked)
        try:
            await self._open_days(unopened)
        except DatabaseUnavailable:
            for mailbox_id in (*unopened, *(request.mailbox_id for request in requests)):
                self.push(mailbox_id, now)  # else they would be in no heap
            raise
        return requests

    def _resume(self, now: dt.datetime) -> None:
        """If nobody was served for a while (Postgres was away, sending was stopped), those due do not begin at once."""
        if self.holds.by_order:
            return
        away, self._served_at = (now - self._served_at).total_seconds(), now
        for entry in self._heap.pop_ready(now, len(self._heap)) if away > UNSERVED * self._clock.speed else ():
            late = (now - entry.due_at).total_seconds() > self.pace.spacing.mailbox_min
            self.plan(entry.mailbox_id, resumes=True) if late else self.push(entry.mailbox_id, entry.due_at)

    async def _open_days(self, mailbox_ids: Sequence[int]) -> None:
        if not mailbox_ids:
            return
        now = self._clock.now()
        await self._checkup.judge(mailbox_ids)
        well = [mailbox_id for mailbox_id in mailbox_ids if self.book.mailboxes[mailbox_id].state.sends]
        self._events.days_opened(await self.book.open_days(well, now))
        for mailbox_id in mailbox_ids:
            mailbox = self.book.mailboxes.get(mailbox_id)
            is_open = mailbox is not None and self.book.day_of(mailbox, now) is not None
            self.plan(mailbox_id, not_before=None if is_open else _after(now, NOT_OPENED_WAIT))

    def _held_back(self, mailbox: Mailbox, now: dt.datetime, hosts: Mapping[str, int]) -> bool:
        """Whether a gate or its mail server keeps the mailbox for now; then it is parked, or planned for later.

        `hosts` counts what this batch asks for already.
        """
        if self.holds.park(mailbox, self.book.owed_since(mailbox.id, now), now):
            return True
        if (wait := self.holds.host_wait(mailbox.smtp_server)) is not None:
            self.push(mailbox.id, _after(now, wait * self._rng.uniform(1.0, 1.5)))
            return True
        if self.holds.permits.is_busy(mailbox.id):  # two at once of one mailbox are more than some providers allow
            self.push(mailbox.id, _after(now, STILL_SENDING_WAIT * self._rng.uniform(1.0, 1.5)))
            return True
        room = self.holds.permits.room_at(mailbox.lane, self.pace.per_host_concurrent, self.pace.max_concurrent)
        if room <= hosts[mailbox.lane] and not self._head_starts.under_way(mailbox.id):
            self.holds.queue_for_host(mailbox)
            return True
        return False

    def _request(self, mailbox: Mailbox, day: DayRow, now: dt.datetime) -> list[Request]:
        """What the mailbox asks for now: its waiting job that is due, else a first send; nothing when neither is."""
        if (waiting := self.book.next_waiting(mailbox.id)) and waiting.scheduled_for > now:
            waiting = None
        first = mailbox.state.starts and day.left > self.book.answers_today(day)
        if now >= day.closes_at or not day.has_room or not (waiting or first):
            self.plan(mailbox.id)
            return []
        recipient_id = waiting.recipient_id if waiting else self.book.choose_recipient(mailbox, day.attempts, now)
        if waiting:
            thread = waiting.thread
        else:
            seed = self._rng.getrandbits(62)
            thread = Thread(topic=self.library.choose_topic(seed, mailbox.language), seed=seed)
        if recipient_id is None:
            if mailbox.id not in self._lonely:
                self._events.no_recipient(mailbox.id)
            self._lonely.add(mailbox.id)
            self.push(mailbox.id, _after(now, NO_RECIPIENT_WAIT * self._rng.uniform(0.5, 1.5)))
            self._hasten(mailbox.id)
            return []
        if not self.holds.by_order and self._head_starts.waits(mailbox):  # until it has logged in
            if not self._head_starts.under_way(mailbox.id):
                self.push(mailbox.id, _after(now, NO_ROOM_WAIT * self._rng.uniform(0.5, 1.5)))
            return []
        return [
            Request(
                mailbox_id=mailbox.id,
                day=day.day,
                recipient_id=recipient_id,
                gap=self.pace.spacing.mailbox_min,
                user_gap=user_gap(self.pace.spacing, mailbox.user_gap, self._rng),
                thread=thread,
                waiting=waiting,
            )
        ]


def _after(moment: dt.datetime, seconds: float) -> dt.datetime:
    return moment + dt.timedelta(seconds=seconds)
