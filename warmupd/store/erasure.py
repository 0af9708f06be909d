"""Erasure: everything of a user is wiped in bounded batches, while workers run; it may be broken off and begun anew.

What stays is what belongs to others: the counts of their days, their jobs (without what servers said about the erased
address, and without its Message-IDs), and how often an address was written to before it was proven, as a digest.
"""

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from uuid import UUID

from warmupd.store.database import Database
from warmupd.store.erased_words import Batch, wipe_words
from warmupd.store.user_tables import tables_of_users

MAILBOXES = 200  # that one batch is about: about 10,000 rows of a day
IDS = 50_000  # job ids that one statement looks through
ROWS = 5_000  # that one statement deletes
PAUSES = 600  # at most, for others to end

Pause = Callable[[], Awaitable[None]]


async def claim_erasure(db: Database, *, lasts: dt.timedelta, at: dt.datetime) -> UUID | None:
    """A removed user whose things are to be wiped, claimed for so long: then somebody else goes on. None: nobody."""
    claimed: UUID | None = await db.fetchval(
        """
        UPDATE users SET erase_claimed_until = $1::timestamptz + $2::interval
        WHERE id = (SELECT id FROM users WHERE erase_at IS NOT NULL AND erase_claimed_until <= $1
                    ORDER BY erase_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id
        """,
        at,
        lasts,
    )
    return claimed


async def keep_claim(db: Database, user_id: UUID, *, lasts: dt.timedelta, at: dt.datetime) -> None:
    """It goes on."""
    await db.execute(
        "UPDATE users SET erase_claimed_until = $2::timestamptz + $3::interval WHERE id = $1", user_id, at, lasts
    )


async def wipe_user(db: Database, user_id: UUID, *, pause: Pause, at: dt.datetime) -> AsyncIterator[Batch]:
    """Wipe what `remove_user` has marked, batch by batch; the user's row goes last.

    What is reserved, seen or answered in the moment of the removal is waited for with `pause`: it would be missed.
    Several may do this for the same user.
    """
    if await db.fetchval("SELECT erase_at FROM users WHERE id = $1", user_id) is None:
        return
    await _let_others_end(db, pause)
    boxes = [row["id"] for row in await db.fetch("SELECT id FROM mailboxes WHERE user_id = $1 ORDER BY id", user_id)]
    for chunk in _chunks(boxes):
        yield Batch(table="secrets", rows=await _wipe_secrets(db, chunk))
    parts = [_wipe_days(db, boxes), _wipe_tables(db, user_id), wipe_words(db, user_id), _wipe_boxes(db, boxes)]
    for part in (*parts, _wipe_deeds(db, user_id)):
        async for batch in part:
            yield batch
    yield Batch(table="users", rows=await _wipe_row(db, user_id, at=at))


async def _wipe_tables(db: Database, user_id: UUID) -> AsyncIterator[Batch]:
    for table in await tables_of_users(db):
        while rows := await _delete(db, table, user_id):
            yield Batch(table=table, rows=rows)


async def _wipe_boxes(db: Database, boxes: Sequence[int]) -> AsyncIterator[Batch]:
    """After the words: which those are is read off the mailboxes."""
    for chunk in _chunks(boxes):
        yield Batch(table="mailboxes", rows=await _wipe_mailboxes(db, chunk))


async def _wipe_deeds(db: Database, user_id: UUID) -> AsyncIterator[Batch]:
    for table, statement in (("state_changes", _DEEDS), ("links", _LINKS)):
        while rows := _count(await db.execute(statement, user_id, ROWS)):
            yield Batch(table=table, rows=rows)


async def _let_others_end(db: Database, pause: Pause) -> None:
    """Whoever may still see the mailboxes as they were has ended: who writes to jobs begins with a lock, and is seen.

    Not for ever: a session that hangs in a transaction is none of ours.
    """
    ours = await db.fetchval("SELECT pg_current_xact_id()::text")
    for _ in range(PAUSES):
        if await db.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8", ours):
            return
        await pause()


async def _wipe_secrets(db: Database, boxes: Sequence[int]) -> int:
    """First of all: from here on nobody can log in any more."""
    async with db.transaction() as connection:
        await connection.execute("DELETE FROM oauth_grants WHERE mailbox_id = ANY ($1)", boxes)
        return _count(
            await connection.execute(
                "UPDATE mailboxes SET smtp_secret = NULL, imap_secret = NULL, smtp_username = '', imap_username = ''"
                " WHERE id = ANY ($1)",
                boxes,
            )
        )


async def _wipe_days(db: Database, boxes: Sequence[int]) -> AsyncIterator[Batch]:
    """Jobs before sightings: a visit that finds a message locks its job, and without one it records nothing."""
    for table, day, key, statements in (
        ()
        if not boxes
        else (
            ("warmup_jobs", "day", "id", (_SENT, _RECEIVED)),
            ("sightings", "job_day", "job_id", (_SIGHTED,)),
        )
    ):
        for partition in await db.fetch(_PARTITIONS, table):
            the_day = dt.datetime.strptime(partition["name"][-8:], "%Y%m%d").replace(tzinfo=dt.UTC).date()
            row = await db.fetchrow(
                f"SELECT min({key}) AS first, max({key}) AS last FROM {table} WHERE {day} = $1",  # noqa: S608  constants
                the_day,
            )
            if row is None or row["first"] is None:
                continue
            for first in range(row["first"], row["last"] + 1, IDS):
                async with db.transaction() as connection:
                    rows = [await connection.execute(one, the_day, first, first + IDS, boxes) for one in statements]
                yield Batch(table=table, rows=sum(map(_count, rows)))


# What they have sent.
_SENT = """
    DELETE FROM warmup_jobs j USING unnest($4::bigint[]) AS b(id)
    WHERE j.day = $1 AND j.id >= $2 AND j.id < $3 AND j.mailbox_id = b.id
"""
# What others have sent to them stays theirs, but for what names the recipient. What is UNKNOWN of it ends by
# give_up_unknown.
_RECEIVED = """
    UPDATE warmup_jobs j SET error_message = NULL, thread = NULL
    FROM unnest($4::bigint[]) AS b(id)
    WHERE j.day = $1 AND j.id >= $2 AND j.id < $3 AND j.recipient_id = b.id
      AND (j.error_message IS NOT NULL OR j.thread IS NOT NULL)
"""
_SIGHTED = """
    WITH boxes AS MATERIALIZED (SELECT unnest($4::bigint[]) AS id)
    DELETE FROM sightings s WHERE s.job_day = $1 AND s.job_id >= $2 AND s.job_id < $3
      AND (s.sender_id IN (SELECT id FROM boxes) OR s.recipient_id IN (SELECT id FROM boxes))
"""
_PARTITIONS = """
    SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = $1::text::regclass ORDER BY 1
"""


async def _delete(db: Database, table: str, user_id: UUID) -> int:
    return _count(
        await db.execute(
            f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE user_id = $1 LIMIT $2)",  # noqa: S608  names of the catalogue
            user_id,
            ROWS,
        )
    )


async def _wipe_mailboxes(db: Database, boxes: Sequence[int]) -> int:
    """Their rows, and with them what hangs on them; their history, and what is left of their servers' rests."""
    async with db.transaction() as connection:
        await connection.execute(
            """
            DELETE FROM host_rests h USING mailboxes m
            WHERE m.id = ANY ($1) AND h.host = smtp_server(m)
              AND NOT EXISTS (SELECT FROM mailboxes o WHERE smtp_server(o) = h.host AND o.user_id <> m.user_id)
            """,
            boxes,
        )
        await connection.execute(
            "DELETE FROM state_changes WHERE subject = 'mailbox' AND subject_id = ANY ($1)", list(map(str, boxes))
        )
        await connection.execute("DELETE FROM sightings_kept WHERE sender_id = ANY ($1)", boxes)
        return _count(await connection.execute("DELETE FROM mailboxes WHERE id = ANY ($1)", boxes))


async def _wipe_row(db: Database, user_id: UUID, *, at: dt.datetime) -> int:
    async with db.transaction() as connection:
        row = await connection.fetchrow("SELECT email, erase_at FROM users WHERE id = $1 FOR UPDATE", user_id)
        if row is None:
            return 0  # somebody else was quicker
        for statement in _HISTORY:
            await connection.execute(statement, str(user_id))
        await connection.execute(_LINKS_TO, user_id, row["email"], row["erase_at"])
        await connection.execute("DELETE FROM cap_rings WHERE scope = 'USER' AND ref = $1", user_id)
        await connection.execute("DELETE FROM pools WHERE owner_id = $1", user_id)
        await connection.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, was, became)"
            " VALUES ($1, 'daemon', 'user', $2, 'ERASING', 'ERASED')",
            at,
            str(user_id),
        )
        return _count(await connection.execute("DELETE FROM users WHERE id = $1", user_id))


# Who has the address now may be somebody new: theirs is what was done since the removal, and they keep it.
_THEIRS = """(u.removed_at >= {when} OR NOT EXISTS
              (SELECT FROM users n WHERE lower(n.email) = lower(u.email) AND n.removed_at IS NULL))"""
# What they did to others was done by somebody.
_DEEDS = f"""
    UPDATE state_changes SET actor = 'an erased user' WHERE id IN (
        SELECT s.id FROM state_changes s, users u
        WHERE u.id = $1 AND lower(s.actor) = lower(u.email) AND s.actor NOT IN ('daemon', 'cli')
          AND {_THEIRS.format(when="s.at")} LIMIT $2)
"""  # noqa: S608  constants of this module
_LINKS = f"""
    UPDATE links SET created_by = 'an erased user' WHERE ctid IN (
        SELECT l.ctid FROM links l, users u WHERE u.id = $1 AND lower(l.created_by) = lower(u.email)
          AND {_THEIRS.format(when="l.created_at")} LIMIT $2)
"""  # noqa: S608  likewise
_LINKS_TO = """
    DELETE FROM links WHERE lower(email) = lower($2) AND (user_id = $1 OR (user_id IS NULL AND created_at <= $3))
"""
# That somebody came, changed plans and left stays; who it was does not.
_HISTORY = (
    "DELETE FROM state_changes WHERE subject = 'user' AND subject_id = $1 AND what NOT IN ('state', 'role', 'plan')",
    "UPDATE state_changes SET reason = '' WHERE subject = 'user' AND subject_id = $1 AND reason <> ''",
)


def _chunks(boxes: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(boxes), MAILBOXES):
        yield boxes[first : first + MAILBOXES]


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
