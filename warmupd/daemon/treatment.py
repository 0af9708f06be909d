"""Treating found messages as their reader would: open, star, rescue, file away, delete; each only when it is due."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from warmupd.clock import Clock
from warmupd.core.placement import FolderRole, Placement
from warmupd.daemon.events import Events
from warmupd.errors import LeaseLost
from warmupd.mail.imap import ImapDenied, ImapError
from warmupd.mail.message_id import MessageToken
from warmupd.mail.visit import Found, Visit
from warmupd.store.database import Database
from warmupd.store.engagements import DueEngagement, Engaged, due_engagements, note_engaged

LEEWAY = dt.timedelta(minutes=1)  # between the database's clock and ours: what was planned "now" is due now
AGAIN = dt.timedelta(hours=3)  # until what could not be done is tried again
ANSWER_AGAIN = dt.timedelta(hours=1)  # until an answer that is late is looked for again, by the visit after that
ANSWER_LATE = dt.timedelta(hours=18)  # after its time it will hardly be sent: retries end with the window
LET_GO = dt.timedelta(days=2)  # after its retention a message that cannot be deleted is let be

Key = tuple[dt.date, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Treated:
    """What a visit has done, and what it leaves to be done."""

    engaged: int = 0  # messages on which something was due
    follow_up: dt.datetime | None = None  # when a message must be opened because it is to be answered

    def plus(self, later: "Treated") -> "Treated":
        """Both together; what is left is as the later one saw it."""
        return Treated(engaged=self.engaged + later.engaged, follow_up=later.follow_up or self.follow_up)


async def treat(
    db: Database,
    visit: Visit,
    mailbox_id: int,
    found: Mapping[Key, Found],
    *,
    epoch: int,
    trusted: Callable[[], bool],
    clock: Clock,
    events: Events,
) -> Treated:
    """Do what is due on the messages of this mailbox.

    `found` is what this visit has just seen, by job: there may be a message that is not any more where it was. What
    was done is written down after each message, so that a visit that breaks off does nothing twice. Raises LeaseLost,
    before it touches another message, when the mailbox is not surely this worker's by `epoch` any more.
    """
    now = clock.now()
    known = await due_engagements(db, mailbox_id, at=now + LEEWAY)
    due = [one for one in known if one.next_at <= now + LEEWAY]
    for one in due:
        if not trusted():
            raise LeaseLost(f"the lease of mailbox {mailbox_id} is in doubt")
        place = await _place(visit, one, found.get((one.job_day, one.job_id)))
        treatment = _Treatment(visit, one, place, events)
        try:
            await treatment.carry_out(clock.now() + LEEWAY)
        except ImapError:
            # Put off, so that a message by which the server is troubled every time does not hold up the others.
            await note_engaged(db, mailbox_id, [treatment.put_off(clock.now())], epoch=epoch, at=clock.now())
            raise
        await note_engaged(db, mailbox_id, [treatment.told(clock.now() + LEEWAY)], epoch=epoch, at=clock.now())
    return Treated(engaged=len(due), follow_up=known[len(due)].next_at if len(known) > len(due) else None)


class _Treatment:
    """Of one message. `here` is where it lies; None once its owner has moved or deleted it: then it is let be."""

    def __init__(self, visit: Visit, due: DueEngagement, place: Found, events: Events) -> None:
        self._visit = visit
        self._due = due
        self._events = events
        self._last = place
        self.here: Found | None = place
        self.opened, self.starred, self.rescued, self.answered = due.opened, due.starred, due.rescued, due.answered
        self.filed = due.filed or place.role is FolderRole.WARMUP
        self.deleted = False

    async def carry_out(self, now: dt.datetime) -> None:
        """Everything that is due by `now`, in the order in which a reader would do it.

        What was opened or rescued just now is not filed or deleted yet: nobody reads that fast.
        """
        due = self._due
        unread = not self.opened
        if unread:
            self.opened = await self._open()
        if due.rescue and not self.rescued and self.here and self.here.role is FolderRole.JUNK:
            self.rescued = await self._move("rescue", self._visit.rescue)
        if due.star and not self.starred and self.here:
            self.starred = self._done("star", await self._visit.star(self.here))
        if due.replied and not self.answered and self.opened and self.here:
            self.answered = self._done("answer", await self._visit.mark_answered(self.here))
        if unread and self.opened:
            return
        if due.file_at <= now and not self.filed and self.here:
            self.filed = await self._move("file", self._visit.file_away)
        if due.delete_at <= now and self.here:
            self.deleted = await self._delete(self.here)

    def told(self, now: dt.datetime) -> Engaged:
        """What was done, and when something is due again."""
        return self._engaged(None if self.here is None or self.deleted else self._next(now))

    def put_off(self, now: dt.datetime) -> Engaged:
        """What was done before the server made trouble; the rest is left for some hours."""
        return self._engaged(now + AGAIN if now < self._due.delete_at + LET_GO else None)

    def _engaged(self, next_at: dt.datetime | None) -> Engaged:
        due, last = self._due, self.here or self._last
        return Engaged(
            job_day=due.job_day,
            job_id=due.job_id,
            folder=last.folder,
            uidvalidity=last.uidvalidity,
            uid=last.uid,
            opened=self.opened,
            starred=self.starred,
            rescued=self.rescued,
            answered=self.answered,
            filed=self.filed,
            deleted=self.deleted,
            next_at=next_at,
        )

    def _next(self, now: dt.datetime) -> dt.datetime | None:
        """The next date; what is overdue could not be done, and is tried again for a while."""
        upcoming = self._due.delete_at if self.filed else self._due.file_at
        if (answer_at := self._awaited_answer(now)) is not None:
            upcoming = min(upcoming, max(answer_at, now + ANSWER_AGAIN))
        just_opened = self.opened and not self._due.opened  # what is overdue then is for the next visit
        if self.opened and not self._owes_rescue() and (upcoming > now or just_opened):
            return max(upcoming, now)
        return now + AGAIN if now < self._due.delete_at + LET_GO else None

    def _awaited_answer(self, now: dt.datetime) -> dt.datetime | None:
        """When its answer is to be sent, if it is not marked as answered yet. That a server refuses it is let be."""
        due = self._due
        at = None if self.answered or due.replied else due.answer_at
        return at if at is not None and now < at + ANSWER_LATE else None

    def _owes_rescue(self) -> bool:
        return self._due.rescue and not self.rescued and self.here is not None and self.here.role is FolderRole.JUNK

    async def _open(self) -> bool:
        """Mark it as read, where it lies or where it is found again."""
        place = self._last
        opened = await self._visit.mark_read(place)
        if not opened and (there := await self._find_again(place)):
            opened = await self._visit.mark_read(there)
        return self._done("open", opened)

    async def _move(self, action: str, verb: Callable[[Found], Awaitable[Found | None]]) -> bool:
        """Whether it was moved. One that is where it was, in a full mailbox perhaps, is tried again another time."""
        here = self._last = self.here or self._last
        moved = await verb(here)
        if moved is None and (there := await self._find_again(here)):
            moved = await verb(there)
        if moved is None:
            return False
        self.here = moved
        return self._done(action, done=True)

    async def _delete(self, here: Found) -> bool:
        deleted = await self._visit.delete(here)
        if not deleted and (there := await self._find_again(here)):
            deleted = await self._visit.delete(there)
        return self._done("delete", deleted)

    async def _find_again(self, place: Found) -> Found | None:
        """Look for it in its folder, since nothing could be done with it. Where it has another number there now, as
        after a change of UIDVALIDITY, its place; else None. `here` is None only when it is gone."""
        try:
            there = await self._visit.find(self._due.message_id, place.folder, self._due.senders)
            if there is not None and there.uidvalidity == place.uidvalidity and await self._visit.has(place):
                there = place  # what was found may be a copy, which is let be
        except ImapDenied:
            there = place
        self.here = there
        return there if there is not place else None

    def _done(self, action: str, done: bool) -> bool:
        if done:
            self._events.engaged(action)
        return done


async def _place(visit: Visit, due: DueEngagement, seen: Found | None) -> Found:
    """Where the message lies. Copies of it, its owner's or a stranger's, are let be, and so is one that its owner has
    moved to where nothing comes by itself."""
    remembered = _remembered(due)
    if seen is None or not seen.is_from(due.senders):
        return remembered
    if (seen.folder, seen.uidvalidity, seen.uid) == (due.folder, due.uidvalidity, due.uid):
        return seen
    return seen if seen.role in _MOVED_BY_SERVERS and not await visit.has(remembered) else remembered


def _remembered(due: DueEngagement) -> Found:
    """Where the message lay when it was last seen. The visit's verbs make sure that it still does."""
    role = FolderRole.INBOX
    if due.filed:
        role = FolderRole.WARMUP
    elif due.placement is Placement.SPAM and not due.rescued:
        role = FolderRole.JUNK
    elif due.placement is Placement.OTHER:
        role = FolderRole.OTHER
    return Found(
        folder=due.folder,
        role=role,
        uidvalidity=due.uidvalidity,
        uid=due.uid,
        token=MessageToken(due.job_day, due.job_id),
        message_id=due.message_id,
        in_reply_to="",
        references=(),
        subject="",
        sender="",
        flags=frozenset(),
    )


_MOVED_BY_SERVERS = frozenset({FolderRole.INBOX, FolderRole.JUNK, FolderRole.WARMUP})
