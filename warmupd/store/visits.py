"""When mailboxes are visited by IMAP, and how far each folder has been read."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from warmupd.core.placement import FolderMark
from warmupd.core.providers import PROVIDERS
from warmupd.errors import LeaseLost
from warmupd.store.accounts import SealedAccount, load_accounts
from warmupd.store.database import Database

EVERYWHERE_EVERY = dt.timedelta(hours=8)  # tabs and filters file mail into other folders than INBOX and Junk
POLL_GAPS = {word: dt.timedelta(minutes=one.poll_minutes) for word, one in PROVIDERS.items() if one.poll_minutes}


class VisitEnd(Enum):
    """How a visit went."""

    GOOD = "good"
    FAILED = "failed"  # one more in a row
    EXCUSED = "excused"  # nothing that the mailbox or its server has done


@dataclass(frozen=True, kw_only=True, slots=True)
class DueVisit:
    """A mailbox whose visit is due."""

    mailbox_id: int
    everywhere: bool  # look into all folders: a message is missed, or it was not done for long
    last_visit_at: dt.datetime | None
    imap_host: str
    round_began: dt.datetime | None  # of a look into all folders that has not ended yet
    failures: int  # visits in a row that have failed
    lost: bool  # the outcome of a send of its own is not known: look into its folder of sent mail
    treats: bool = True  # there is something to be done with messages that were found before, or will be soon
    account: SealedAccount | None = None  # None: it was removed this moment
    marks: list[FolderMark] = field(default_factory=list)  # how far each of its folders has been read


async def due_visits(
    db: Database,
    *,
    slots: Sequence[int],
    skip: Sequence[int],
    limit: int,
    at: dt.datetime,
    skip_hosts: Sequence[str] = (),
) -> list[DueVisit]:
    """Visits that are due in these slots, the longest due first, without those in `skip` and at `skip_hosts`.

    With them comes what they need to begin, for all of them at once.

    A mailbox is not due before as long after its last visit as its provider wants, unless a message waits to prove
    whose the address is; nor, whatever is asked for, before its server wants to see us again.
    """
    rows = await db.fetch(
        "SELECT * FROM due_visits($1, $2, $3, $4, $5, $6, $7, $8)",
        at,
        slots,
        skip,
        limit,
        EVERYWHERE_EVERY,
        list(POLL_GAPS.keys()),
        list(POLL_GAPS.values()),
        skip_hosts,
    )
    ids = [row["mailbox_id"] for row in rows]
    accounts, marks = (await load_accounts(db, ids), await _marks_of(db, ids)) if ids else ({}, {})
    return [
        DueVisit(**dict(row), account=accounts.get(row["mailbox_id"]), marks=marks.get(row["mailbox_id"], []))
        for row in rows
    ]


async def unplanned_visits(db: Database, slots: Sequence[int]) -> list[int]:
    """Mailboxes in these slots that have no next visit yet."""
    rows = await db.fetch("SELECT * FROM unplanned_visits($1::integer[]) AS mailbox_id", slots)
    return [row["mailbox_id"] for row in rows]


async def plan_visits(db: Database, visits: Mapping[int, dt.datetime], *, epochs: Collection[int]) -> None:
    """Set the next visits of mailboxes that have none, where `epochs` still holds that of the mailbox's slot."""
    await db.execute(
        "UPDATE mailbox_visits v SET next_visit_at = a.at "
        " FROM unnest($1::bigint[], $2::timestamptz[]) AS a(mailbox_id, at)"
        " WHERE v.mailbox_id = a.mailbox_id AND v.next_visit_at IS NULL"
        " AND EXISTS (SELECT FROM slots s JOIN settings c USING (worker_count)"
        "  WHERE s.slot = mailbox_hash(a.mailbox_id) % c.worker_count AND s.epoch = ANY ($3::bigint[]))",
        list(visits.keys()),
        list(visits.values()),
        list(epochs),
    )


async def end_visit(
    db: Database,
    mailbox_id: int,
    *,
    epoch: int,
    next_visit_at: dt.datetime,
    began: dt.datetime,
    marks: Sequence[FolderMark] = (),
    end: VisitEnd = VisitEnd.GOOD,
    saw_all: bool = False,
) -> int:
    """Write down how far the folders were read and when the next visit is. How many visits in a row have failed now.

    `saw_all` says that all folders were looked into, by now, and nothing was cut short: what is absent then is missing.
    Until then the marks of folders that were looked into hold the round open.
    A visit that was asked for while this one went on is not put off. Raises LeaseLost, and writes nothing, when
    `epoch` is not that of the mailbox's slot any more: whoever holds it now may have read further.
    """
    failures: int | None = await db.fetchval(
        _END_VISIT,
        mailbox_id,
        next_visit_at,
        began,
        *([getattr(mark, name) for mark in marks] for name in ("folder", "uidvalidity", "last_uid")),
        end is not VisitEnd.GOOD,
        saw_all and end is VisitEnd.GOOD,
        epoch,
        [mark.refusals for mark in marks],
        [mark.looked for mark in marks],
        int(end is VisitEnd.FAILED),
    )
    return _ours(failures, mailbox_id, epoch)


def _ours(failures: int | None, mailbox_id: int, epoch: int) -> int:
    if failures is None:
        raise LeaseLost(f"epoch {epoch} is over for mailbox {mailbox_id}, or it is gone")
    return failures


async def _marks_of(db: Database, ids: Sequence[int]) -> dict[int, list[FolderMark]]:
    rows = await db.fetch(
        "SELECT f.mailbox_id, f.folder, f.uidvalidity, f.last_uid, f.refusals,"
        " coalesce(f.looked_at >= v.round_began, false) AS looked"
        " FROM unnest($1::bigint[]) AS a(id)"  # few: no plan then reads the visits of all
        " JOIN mailbox_visits v ON v.mailbox_id = a.id JOIN folder_marks f ON f.mailbox_id = a.id",
        ids,
    )
    marks: dict[int, list[FolderMark]] = {}
    for mailbox_id, folder, uidvalidity, last_uid, refusals, looked in rows:
        mark = FolderMark(folder=folder, uidvalidity=uidvalidity, last_uid=last_uid, refusals=refusals, looked=looked)
        marks.setdefault(mailbox_id, []).append(mark)
    return marks


async def put_off_visits(db: Database, mailbox_id: int, *, until: dt.datetime) -> None:
    """The mailbox's server asked for patience: no visit before that, whoever asks for one."""
    await db.execute("UPDATE mailbox_visits SET not_before = $2 WHERE mailbox_id = $1", mailbox_id, until)


async def hasten_visit(db: Database, mailbox_id: int, *, before: dt.datetime) -> None:
    """Have the mailbox visited no later than `before`."""
    await db.execute("SELECT hasten_visits(ARRAY[$1::bigint], '{}', $2)", mailbox_id, before)


_END_VISIT = """
WITH ours AS MATERIALIZED (
    SELECT s.slot FROM slots s JOIN settings c USING (worker_count)
    WHERE s.slot = mailbox_hash($1) % c.worker_count AND s.epoch = $9 FOR KEY SHARE OF s
), read AS (
    INSERT INTO folder_marks AS m (mailbox_id, folder, uidvalidity, last_uid, refusals, looked_at)
    SELECT $1, a.folder, a.uidvalidity, a.last_uid, a.refusals,
           CASE WHEN a.looked AND NOT $8 THEN $3::timestamptz END
    FROM unnest($4::text[], $5::bigint[], $6::bigint[], $10::smallint[], $11::boolean[])
        AS a(folder, uidvalidity, last_uid, refusals, looked), ours
    WHERE EXISTS (SELECT FROM mailboxes b WHERE b.id = $1)  -- it may have been erased meanwhile
    ON CONFLICT (mailbox_id, folder) DO UPDATE
        SET uidvalidity = excluded.uidvalidity, last_uid = excluded.last_uid, refusals = excluded.refusals,
            looked_at = coalesce(excluded.looked_at, m.looked_at)
        WHERE (m.uidvalidity, m.last_uid, m.refusals)
              <> (excluded.uidvalidity, excluded.last_uid, excluded.refusals)
           OR excluded.looked_at IS NOT NULL
)
UPDATE mailbox_visits
SET next_visit_at = CASE WHEN asked_by > $3 THEN least(asked_by, $2) ELSE $2 END,
    asked_by = CASE WHEN asked_by > $3 THEN asked_by END,
    last_visit_at = CASE WHEN $7 THEN last_visit_at ELSE greatest(last_visit_at, $3) END,
    everywhere_at = CASE WHEN $8 THEN greatest(everywhere_at, coalesce(round_began, $3)) ELSE everywhere_at END,
    round_began = CASE WHEN $8 THEN NULL
                       WHEN true = ANY ($11) THEN coalesce(round_began, $3) ELSE round_began END,
    everywhere = everywhere AND (NOT $8 OR coalesce(asked_by > $3, false)),
    failures = CASE WHEN $7 THEN least(failures + $12::integer, 1000) ELSE 0 END
FROM ours WHERE mailbox_id = $1 RETURNING failures
"""
