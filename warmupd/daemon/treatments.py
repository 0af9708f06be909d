"""What is due on the messages of one mailbox, done together in one visit and written down together."""

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from warmupd.clock import Clock
from warmupd.daemon.events import Events
from warmupd.daemon.treatment import Treatment
from warmupd.errors import DatabaseUnavailable, LeaseLost
from warmupd.mail.imap import ImapBroken, ImapBusy, ImapError
from warmupd.mail.visit import Found, Visit
from warmupd.store.database import Database
from warmupd.store.engagements import DueEngagement, Engaged, due_engagements, note_engaged

LEEWAY = dt.timedelta(minutes=1)  # between the database's clock and ours: what was planned "now" is due now
LAST_WORDS = 2.0  # real seconds in which a visit that is broken off writes down what it has done

Key = tuple[dt.date, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Treated:
    """What a visit has done, and what it leaves to be done."""

    engaged: int = 0  # messages on which something was due
    follow_up: dt.datetime | None = None  # when a message must be opened because it is to be answered

    def plus(self, later: "Treated") -> "Treated":
        """Both together; what is left is as the later one saw it."""
        return Treated(engaged=self.engaged + later.engaged, follow_up=later.follow_up or self.follow_up)


async def treat(  # noqa: PLR0913  one caller, that has them all
    db: Database,
    visit: Visit,
    mailbox_id: int,
    found: Mapping[Key, Found],
    *,
    epoch: int,
    trusted: Callable[[], bool],
    clock: Clock,
    events: Events,
    failed_before: bool = False,
) -> Treated:
    """Do what is due on the messages of this mailbox.

    `found` is what this visit has just seen, by job: there may be a message that is not any more where it was. What
    was done is written down in one statement, also when something goes wrong on the way. A worker that is killed
    before that does nothing twice: a flag is set already, and a message that was moved is known where it is found.
    `failed_before`: so did the last visit. Raises LeaseLost, before it touches another message, when the mailbox is
    not surely this worker's by `epoch` any more.
    """
    now = clock.now()
    known = await due_engagements(db, mailbox_id, at=now + LEEWAY)
    due = [one for one in known if one.next_at <= now + LEEWAY]

    def ensure() -> None:
        if not trusted():
            raise LeaseLost(f"the lease of mailbox {mailbox_id} is in doubt")

    async def note(told: Sequence[Engaged]) -> None:
        if told:
            await note_engaged(db, mailbox_id, told, epoch=epoch, at=clock.now())

    batch = _Batch(visit, ensure, clock, failed_before=failed_before)
    try:
        await batch.carry_out(due, found, events)
    except asyncio.CancelledError:
        await _in_time(note(batch.broken_off()))
        raise
    except BaseException:
        with suppress(DatabaseUnavailable, LeaseLost):  # what went wrong first says more
            await note(batch.broken_off())
        raise
    await note(batch.told)
    return Treated(engaged=len(due), follow_up=known[len(due)].next_at if len(known) > len(due) else None)


class _Batch:
    """The treatments of one visit: `told` of those that have ended."""

    def __init__(self, visit: Visit, ensure: Callable[[], None], clock: Clock, *, failed_before: bool) -> None:
        self.told: list[Engaged] = []
        self._visit = visit
        self._ensure = ensure
        self._clock = clock
        self._failed_before = failed_before
        self._open: list[Treatment] = []  # of which nothing has been told yet

    async def carry_out(self, due: Sequence[DueEngagement], found: Mapping[Key, Found], events: Events) -> None:
        """One after the other, what can be done with several at once ahead of all."""
        for one in due:
            self._ensure()
            self._open.append(await Treatment.begin(self._visit, one, found.get((one.job_day, one.job_id)), events))
        await self._go_ahead()
        while self._open:
            self._ensure()
            treatment = self._open[0]
            try:
                await treatment.carry_out(self._clock.now() + LEEWAY)
            except ImapError:
                # Put off, so that a message by which the server is troubled every time does not hold up the others.
                self._put_off(1, alone=True)
                raise
            self.told.append(treatment.told(self._clock.now() + LEEWAY))
            del self._open[0]

    def broken_off(self) -> list[Engaged]:
        """What is to be told when the visit has ended early: what was done ahead, too."""
        for treatment in self._open:
            treatment.recall(self._visit.done_ahead)
        return self.told + [told for one in self._open if (told := one.broken_off()) is not None]

    async def _go_ahead(self) -> None:
        """Do what can be done with several at once; carrying out each then finds it done.

        Where that troubles the server half of them are put off, and so on, until what it cannot bear is alone. A
        connection may be lost by chance: then nothing is put off unless the last visit failed as well.
        """
        if len(self._open) < 2:
            return
        try:
            await self._visit.ahead([one.wish(self._clock.now() + LEEWAY) for one in self._open], self._ensure)
        except ImapError as error:
            if isinstance(error, ImapBusy) or (isinstance(error, ImapBroken) and self._failed_before):
                self._put_off((len(self._open) + 1) // 2, alone=False)
            raise

    def _put_off(self, count: int, *, alone: bool) -> None:
        """The first of those that are left."""
        for treatment in self._open[:count]:
            treatment.recall(self._visit.done_ahead)
            self.told.append(treatment.put_off(self._clock.now(), alone=alone))
        del self._open[:count]


async def _in_time(writing: Coroutine[Any, Any, None]) -> None:
    """Wait for what is written a little, whatever becomes of it: a stop, or a hand-over, waits for this."""
    task = asyncio.create_task(writing, name="treatments write at last")
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # it is nobody's any more
    try:
        await asyncio.wait([task], timeout=LAST_WORDS)
    finally:
        task.cancel()
