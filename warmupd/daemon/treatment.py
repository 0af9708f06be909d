"""Treating found messages as their reader would: open, star, rescue, file away, delete; each only when it is due."""

import datetime as dt
from collections.abc import Mapping

from warmupd.clock import Clock
from warmupd.core.placement import FolderRole, Placement
from warmupd.daemon.events import Events
from warmupd.mail.message_id import MessageToken
from warmupd.mail.visit import Found, Visit
from warmupd.store.database import Database
from warmupd.store.sightings import DueEngagement, Engaged, due_engagements, note_engaged

LEEWAY = dt.timedelta(minutes=1)  # between the database's clock and ours: what was planned "now" is due now

Key = tuple[dt.date, int]


async def treat(
    db: Database, visit: Visit, mailbox_id: int, found: Mapping[Key, Found], *, clock: Clock, events: Events
) -> int:
    """Do what is due on the messages of this mailbox; on how many something was done.

    `found` is what this visit has just seen, by job: it knows best where those lie. What was done is written down
    after each message, so that a visit that breaks off does nothing twice.
    """
    due = await due_engagements(db, mailbox_id, at=clock.now() + LEEWAY)
    for one in due:
        place = found.get((one.job_day, one.job_id)) or _remembered(one)
        engaged = await _treat_one(visit, one, place, clock.now() + LEEWAY, events)
        await note_engaged(db, mailbox_id, [engaged], at=clock.now())
    return len(due)


async def _treat_one(visit: Visit, due: DueEngagement, place: Found, now: dt.datetime, events: Events) -> Engaged:
    here: Found | None = place
    opened, starred, rescued, filed, deleted = due.opened, due.starred, due.rescued, due.filed, False
    if not opened:
        opened = await visit.mark_read(place)
        here = place if opened else await visit.find(due.message_id, place.folder)
        _tell(events, "open", opened)
    if here is not None and due.rescue and not rescued and here.role is FolderRole.JUNK:
        here = await visit.rescue(here)
        rescued = here is not None
        _tell(events, "rescue", rescued)
    if here is not None and due.star and not starred:
        starred = await visit.star(here)
        _tell(events, "star", starred)
    if here is not None and due.file_at <= now and not filed and here.role is not FolderRole.WARMUP:
        here = await visit.file_away(here)
        filed = here is not None
        _tell(events, "file", filed)
    if here is not None and due.delete_at <= now:
        deleted = await visit.delete(here)
        _tell(events, "delete", deleted)
    last = here or place
    gone = here is None
    return Engaged(
        job_day=due.job_day,
        job_id=due.job_id,
        folder=last.folder,
        uidvalidity=last.uidvalidity,
        uid=last.uid,
        opened=opened,
        starred=starred,
        rescued=rescued,
        filed=filed,
        deleted=deleted,
        next_at=None if gone or deleted else due.delete_at if filed else max(due.file_at, now),
    )


def _tell(events: Events, action: str, done: bool) -> None:
    if done:
        events.engaged(action)


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
