"""Treating a found message as its reader would: open, star, rescue, file away, delete; each only when it is due."""

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Self

from warmupd.core.placement import FolderRole, Placement
from warmupd.daemon.events import Events
from warmupd.mail.found import Found, place_of
from warmupd.mail.imap import ImapDenied
from warmupd.mail.message_id import MessageToken
from warmupd.mail.visit import Visit, Wish
from warmupd.mail.visit_ahead import Done
from warmupd.store.engagements import DueEngagement, Engaged

AGAIN = dt.timedelta(hours=3)  # until what could not be done is tried again
ANSWER_AGAIN = dt.timedelta(hours=1)  # until an answer that is late is looked for again, by the visit after that
ANSWER_LATE = dt.timedelta(hours=18)  # after its time it will hardly be sent: retries end with the window
LET_GO = dt.timedelta(days=2)  # after its retention a message that cannot be deleted is let be


class Treatment:
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
        if self._was_rescued(place):
            self.rescued = self._done("rescue", done=True)

    @classmethod
    async def begin(cls, visit: Visit, due: DueEngagement, seen: Found | None, events: Events) -> Self:
        """Of a message, and where it was `seen` by this visit, if it was."""
        return cls(visit, due, await _place(visit, due, seen), events)

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

    def wish(self, now: dt.datetime) -> Wish:
        """What `carry_out` will do, as far as it can be told before."""
        due, unread = self._due, not self.opened
        wished = {"\\Seen": unread, "\\Flagged": due.star and not self.starred}
        wished["\\Answered"] = due.replied and not self.answered
        return Wish(
            found=self._last,
            flags=frozenset(flag for flag, is_wished in wished.items() if is_wished),
            rescue=due.rescue and not self.rescued and self._last.role is FolderRole.JUNK,
            file=due.file_at <= now and not (unread or self.filed),
            delete=due.delete_at <= now and self.filed and not unread,
        )

    def told(self, now: dt.datetime) -> Engaged:
        """What was done, and when something is due again."""
        return self._engaged(None if self.here is None or self.deleted else self._next(now))

    def put_off(self, now: dt.datetime, *, alone: bool) -> Engaged:
        """What was done before the server made trouble; the rest is left for some hours.

        One that makes trouble `alone` is let be in the end.
        """
        let_be = self.deleted or (alone and now >= self._due.delete_at + LET_GO)
        return self._engaged(None if let_be else now + AGAIN)

    def broken_off(self) -> Engaged | None:
        """What was done before the visit ended; the rest stays due. None: nothing was done."""
        due = self._due
        done = (self.opened, self.starred, self.rescued, self.answered, self.filed, self.deleted)
        if done == (due.opened, due.starred, due.rescued, due.answered, due.filed, False):
            return None
        return self._engaged(None if self.deleted else due.next_at)

    def recall(self, done: Done) -> None:
        """Take up what was done ahead with several at once, for which nothing has been asked since."""
        place: Found | None = self.here or self._last
        while place is not None:
            self._last, flags = place, done.flags.get(place_of(place), set())
            self.opened = self.opened or self._done("open", "\\seen" in flags)
            self.starred = self.starred or self._done("star", "\\flagged" in flags)
            self.answered = self.answered or self._done("answer", "\\answered" in flags)
            self.deleted = self.deleted or self._done("delete", place_of(place) in done.removed)
            if place_of(place) not in done.moved:
                return
            if place.role is FolderRole.JUNK:
                self.rescued = self._done("rescue", done=True)
            else:
                self.filed = self._done("file", done=True)
            self.here = place = done.moved.pop(place_of(place))

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

    def _was_rescued(self, place: Found) -> bool:
        """By a visit that ended before that was written down: it has been opened, as is done before."""
        due = self._due
        owed = due.rescue and not due.rescued and due.placement is Placement.SPAM
        return owed and place.role is FolderRole.INBOX and (due.opened or "\\seen" in place.flags)

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
