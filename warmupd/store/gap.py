"""After a restore: what was sent between the backup and now is not known, and nothing may be sent twice or above a cap.

What a worker sent in the gap is in no row of ours. So, by the moment of the restore:
- a mailbox's local day on which the gap ends is over, since all its places may have been used. Days before it cannot be
  sent on any more, and days after it have not begun;
- a job that was open in the backup and could have been sent since is UNKNOWN: it is looked for, and never sent;
- the caps' windows are full for an hour, and the spacing of every mailbox begins anew;
- to an address that is not proven by the backup nothing more is sent where a message that the backup knows can prove
  it, and else a single one: with three in the gap that makes four, but without it nobody could ever prove the address.
  Which addresses were begun with in the gap is not known, so all of them are held to have been: each may get its single
  message from its owner's own mailboxes at once. Of other users' mailboxes it is still begun with, ten at a time;
- messages that were sent before the restore get no answer: they may have had it;
- ids of jobs and epochs go on far above any that were given since, by whichever database of this lineage.
What owners and operators did in the gap is lost with it; that a mailbox changed its time zone in it is not foreseen.
"""

import datetime as dt
from dataclasses import dataclass

from warmupd.core.window import local_day, zone_info
from warmupd.store.backup import PATIENCE, quoted
from warmupd.store.database import Connection
from warmupd.store.lineage import AWAY, HERE, RESTORED, note

CLOCKS_APART = dt.timedelta(minutes=10)  # that this server's and the lost one's may be
LOOK_WITHIN = dt.timedelta(minutes=5)  # for what is UNKNOWN by it
FULL = 500_000_000  # sends in a window: more than any cap, whatever it was raised to, and rings count as far


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What it cost."""

    began_at: dt.datetime
    ended_at: dt.datetime
    days_closed: int  # mailboxes that send no more on their local day
    places_given_up: int  # of the days that were open in the backup
    jobs_unknown: int  # that are looked for


async def close_gap(connection: Connection, backup_at: dt.datetime, now: dt.datetime, *, zone: str) -> Gap:
    """Apply the rules above; `zone` is that of mailboxes and users without one."""
    closed = await _begin_no_day(connection, now, zone)
    lost = await connection.fetch(_LOSE_OPEN_JOBS, now, now + CLOCKS_APART, timeout=PATIENCE)
    places = await connection.fetchval(_CLOSE_OPEN_DAYS, backup_at - CLOCKS_APART, timeout=PATIENCE)
    recipients = [row["recipient_id"] for row in lost]
    visited = recipients + [row["mailbox_id"] for row in lost]
    await connection.execute(
        "SELECT hasten_visits($1, $2, $3)", visited, recipients, now + LOOK_WITHIN, timeout=PATIENCE
    )
    await connection.execute(_FILL_CAPS, now, FULL, timeout=PATIENCE)
    await connection.execute(_BEGIN_SPACING, now, timeout=PATIENCE)
    await _spare_strangers(connection)
    await connection.execute("DELETE FROM browser_sessions", timeout=PATIENCE)  # used or revoked since, perhaps
    await connection.execute("DELETE FROM links", timeout=PATIENCE)
    await _give_slots_back(connection)
    await _send_as_before(connection)
    await note(connection, RESTORED, _backup_of(backup_at), "what was sent since is not known", now)
    return Gap(began_at=backup_at, ended_at=now, days_closed=closed, places_given_up=places, jobs_unknown=len(lost))


async def go_on_after_move(connection: Connection, backup_at: dt.datetime, now: dt.datetime) -> None:
    """Nothing was sent since: everything goes on where it stopped."""
    await _give_slots_back(connection)
    await _send_as_before(connection)
    await note(connection, HERE, _backup_of(backup_at), "nothing was sent since, says who moved it", now)


async def raise_sequences(connection: Connection, sequences: dict[str, int], now: dt.datetime) -> None:
    """Where they were; job ids and epochs above all that any database of this lineage can have given by now.

    A job's id names its messages for ever. A thousand a second since 1970 are more than are ever sent, a million a
    second more than are ever claimed, and later restores of the same backup lie above earlier ones.
    """
    seconds = int(now.timestamp())
    least = {"warmup_job_id": seconds * 1_000, "slot_epoch": seconds * 1_000_000}
    for name, last in sequences.items() | {(name, 0) for name in least.keys() - sequences.keys()}:
        await connection.execute(
            "SELECT setval($1::text::regclass, $2)", quoted(name), max(last, least.get(name, 0), 1)
        )


async def _begin_no_day(connection: Connection, now: dt.datetime, zone: str) -> int:
    """A row for the local day of every mailbox that has none by the backup, so that it is not opened: it may have been.

    How many mailboxes send no more on their local day.
    """
    zones = [row["zone"] for row in await connection.fetch(_ZONES, zone, timeout=PATIENCE)]
    days = [local_day(now, name) for name in zones]
    midnights = [
        dt.datetime.combine(day, dt.time(), zone_info(name)).astimezone(dt.UTC)
        for name, day in zip(zones, days, strict=True)
    ]
    await connection.execute(_TAKE_THE_DAY, zone, zones, days, midnights, timeout=PATIENCE)
    closed: int = await connection.fetchval("SELECT count(*) FROM mailboxes WHERE state <> 'REMOVED'", timeout=PATIENCE)
    return closed


async def _spare_strangers(connection: Connection) -> None:
    """What addresses without a proof still get. A backup of the schema before 0015 knows no messages without jobs."""
    kept = await connection.fetchval("SELECT to_regclass('unproven_messages') IS NOT NULL", timeout=PATIENCE)
    also = "UNION ALL SELECT day, id, recipient_id, user_id FROM unproven_messages" if kept else ""
    await connection.execute(_SPARE_STRANGERS.format(also=also), timeout=PATIENCE)
    await connection.execute(_SPARE_THE_GONE, timeout=PATIENCE)


async def _give_slots_back(connection: Connection) -> None:
    """Their workers are gone, or must claim them anew."""
    await connection.execute("UPDATE slots SET owner = NULL, lease_until = '-infinity'", timeout=PATIENCE)
    await connection.execute("DELETE FROM cap_rings WHERE scope = 'WORKER'", timeout=PATIENCE)


async def _send_as_before(connection: Connection) -> None:
    """A database that was closed for its move is open again, unless its operator had stopped it before."""
    await connection.execute(
        "UPDATE settings SET sending_stopped = c.was = 'STOPPED' FROM state_changes c WHERE c.became = $1 AND c.id ="
        " (SELECT max(l.id) FROM state_changes l WHERE l.subject = 'fleet' AND l.subject_id = 'database')",
        AWAY,
        timeout=PATIENCE,
    )


def _backup_of(at: dt.datetime) -> str:
    return f"backup of {at:%Y-%m-%d %H:%M:%S} UTC"


# Of a day that was not over at the backup nothing is left: its other places may have been used.
_CLOSE_OPEN_DAYS = """
WITH open AS MATERIALIZED (
    SELECT d.mailbox_id, d.day, d.quota AS was, d.taken AS used FROM mailbox_days d
    WHERE d.closes_at > $1 AND NOT (d.taken = d.quota AND d.factors @> '[["restored"]]')  -- closed already
), closed AS (
    UPDATE mailbox_days d
    SET quota = o.used, floor = least(d.floor, o.used),
        attempts = least(d.attempts, o.used + greatest(3, ceil(o.used * 0.2))::integer),
        factors = d.factors || jsonb_build_array(jsonb_build_array('restored', o.used))
    FROM open o WHERE d.mailbox_id = o.mailbox_id AND d.day = o.day
)
SELECT coalesce(sum(was - used), 0)::bigint FROM open
"""
_ZONES = """
SELECT DISTINCT coalesce(m.timezone, u.timezone, $1) AS zone FROM mailboxes m JOIN users u ON u.id = m.user_id
"""
# A window of a second at midnight: it is over, and no night's rest is counted from it.
_TAKE_THE_DAY = """
INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors)
SELECT m.id, z.day, m.user_id, z.midnight, z.midnight + interval '1 second', 0, 0, m.ramp_days + 1, '[["restored", 0]]'
FROM mailboxes m JOIN users u ON u.id = m.user_id
JOIN unnest($2::text[], $3::date[], $4::timestamptz[]) AS z(zone, day, midnight)
  ON z.zone = coalesce(m.timezone, u.timezone, $1)
WHERE NOT EXISTS (SELECT FROM mailbox_days d WHERE d.mailbox_id = m.id AND d.day >= z.day)
"""
# Their tokens are new: a result that comes from before is of an attempt that may not have been the last. What waited
# had given its place back, or never had one, and may have been sent: it takes one of the day that it is charged to, so
# that it can be counted when it turns up. Nothing can be sent in that place.
_LOSE_OPEN_JOBS = """
WITH open AS MATERIALIZED (
    SELECT j.day, j.id, j.mailbox_id, j.status = 'PENDING' AS waited,
           coalesce(j.local_day, (SELECT max(d.day) FROM mailbox_days d WHERE d.mailbox_id = j.mailbox_id)) AS charged
    FROM warmup_jobs j
    WHERE j.status IN ('PROCESSING', 'UNKNOWN') OR (j.status = 'PENDING' AND j.scheduled_for < $2)
), places AS (
    UPDATE mailbox_days d
    SET taken = d.taken + o.n, quota = greatest(d.quota, d.taken + o.n),
        factors = CASE WHEN d.taken + o.n <= d.quota THEN d.factors
                       ELSE d.factors || jsonb_build_array(jsonb_build_array('restored', d.taken + o.n)) END
    FROM (SELECT mailbox_id, charged, count(*)::integer AS n FROM open WHERE waited GROUP BY 1, 2) AS o
    WHERE d.mailbox_id = o.mailbox_id AND d.day = o.charged
)
UPDATE warmup_jobs j
SET status = 'UNKNOWN', attempt_token = gen_random_uuid(), outcome = 'restored',
    error_message = 'what became of it after the backup is not known', local_day = o.charged,
    picked_at = CASE WHEN o.waited THEN $1 ELSE j.picked_at END,
    start_at = CASE WHEN o.waited THEN $1 ELSE j.start_at END,
    send_by = CASE WHEN o.waited THEN $1 ELSE j.send_by END
FROM open o WHERE j.day = o.day AND j.id = o.id
RETURNING j.recipient_id, j.mailbox_id
"""
# As after more sends in this moment than any cap allows in its window (caps may have been raised since the backup): see
# sql/0002_reserve.sql.
_FILL_CAPS = """
INSERT INTO cap_rings AS c (scope, ref, head, head_s, seconds, halves)
SELECT r.scope, r.ref, $1, floor(extract(epoch FROM $1::timestamptz)), array_fill(0, ARRAY[121]) || $2::integer,
       array_fill(0, ARRAY[123]) || $2::integer
FROM (SELECT 'GLOBAL'::cap_scope, '00000000-0000-0000-0000-000000000000'::uuid
      UNION ALL SELECT 'USER', u.id FROM users u) AS r(scope, ref)
ON CONFLICT (scope, ref) DO UPDATE
SET head = excluded.head, head_s = excluded.head_s, seconds = excluded.seconds, halves = excluded.halves
"""
_BEGIN_SPACING = """
UPDATE mailbox_pace p
SET next_ok_at = greatest(p.next_ok_at,
                          $1::timestamptz + make_interval(secs => s.mailbox_gap_seconds + s.slack_seconds))
FROM settings s
"""
# Addresses that were not proven may have had all their three messages. Where one of those that the backup knows was
# taken by a server, and was not looked for in vain, that one can still prove the address, and no more is sent to it.
# Else a last one is: a message of the gap is in no row and proves nothing, so that otherwise no owner could ever prove
# such an address. Whose own proof is enough, in a private pool, is no stranger (is_exhausted). Nothing is analysed yet:
# one pass over the jobs, whatever the planner believes.
_SPARE_STRANGERS = """
WITH missed AS MATERIALIZED (
    SELECT job_day, job_id FROM sightings WHERE placement = 'MISSING'
), known AS MATERIALIZED (
    SELECT j.recipient_id, j.user_id
    FROM (SELECT day, id, recipient_id, user_id FROM warmup_jobs WHERE status IN ('SENT', 'REPLIED') {also}) AS j
    LEFT JOIN missed s ON s.job_day = j.day AND s.job_id = j.id
    WHERE s.job_id IS NULL GROUP BY 1, 2
), able AS MATERIALIZED (
    SELECT k.recipient_id FROM known k JOIN mailboxes m ON m.id = k.recipient_id JOIN proofs f ON f.mailbox_id = m.id
    WHERE f.proven_at IS NULL OR (f.own_only AND k.user_id <> m.user_id) GROUP BY 1
)
UPDATE proofs f
SET unproven_sends = CASE WHEN a.recipient_id IS NOT NULL THEN 3 ELSE greatest(f.unproven_sends, 2) END
FROM mailboxes m JOIN pools p ON p.id = m.pool_id LEFT JOIN able a ON a.recipient_id = m.id
WHERE m.id = f.mailbox_id AND (f.proven_at IS NULL OR (f.own_only AND p.owner_id IS NULL))
"""
_SPARE_THE_GONE = "UPDATE unproven_marks SET unproven_sends = 2 WHERE unproven_sends < 2"
