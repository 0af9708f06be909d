"""What a simulation is judged by: every reservation and every MAIL FROM as rows, counted by Postgres, not in memory."""

import datetime as dt
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from warmupd.store.database import Database
from warmupd.store.evidence import keep_rests

LONG = 1800.0  # seconds that a count over a whole run may take
_MEMORY = "256MB"  # for sorting, while judging

# A job's row keeps its last reservation: those before it are kept here, when they are about to be overwritten.
_EARLIER = """
    CREATE UNLOGGED TABLE earlier_reservations (
        job_day date NOT NULL, job_id bigint NOT NULL, mailbox_id bigint NOT NULL, user_id uuid NOT NULL,
        recipient_id bigint NOT NULL, local_day date NOT NULL, picked_at timestamptz NOT NULL,
        start_at timestamptz NOT NULL, send_by timestamptz NOT NULL
    );
    CREATE FUNCTION keep_earlier_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO earlier_reservations
            SELECT OLD.day, OLD.id, OLD.mailbox_id, OLD.user_id, OLD.recipient_id, OLD.local_day, OLD.picked_at,
                   OLD.start_at, OLD.send_by;
        RETURN NULL;
    END $$;
    CREATE TRIGGER reservations_overwritten AFTER UPDATE OF picked_at ON warmup_jobs FOR EACH ROW
        WHEN (OLD.picked_at IS NOT NULL AND NEW.picked_at IS DISTINCT FROM OLD.picked_at)
        EXECUTE FUNCTION keep_earlier_reservation();
"""
# Moments are whole microseconds since the run began, as in the servers' record: they sort and compare fast.
_RESERVED = """
    CREATE UNLOGGED TABLE trial_reservations AS
    SELECT r.job_day, r.job_id, r.mailbox_id, r.user_id, m.pool_id AS pool, t.pool_id AS recipient_pool, r.recipient_id,
           (extract(epoch FROM r.picked_at - $1::timestamptz) * 1000000)::bigint AS picked,
           (extract(epoch FROM r.start_at - $1) * 1000000)::bigint AS start,
           (extract(epoch FROM r.send_by - $1) * 1000000)::bigint AS send_by,
           d.opens, d.closes
    FROM (SELECT day AS job_day, id AS job_id, mailbox_id, user_id, recipient_id, local_day, picked_at, start_at,
                 send_by FROM warmup_jobs WHERE picked_at IS NOT NULL
          UNION ALL SELECT * FROM earlier_reservations) AS r
    JOIN mailboxes m ON m.id = r.mailbox_id LEFT JOIN mailboxes t ON t.id = r.recipient_id
    LEFT JOIN trial_days d ON d.mailbox_id = r.mailbox_id AND d.day = r.local_day
"""
_OFFERS = """
    CREATE UNLOGGED TABLE trial_offers (
        at bigint NOT NULL, mailbox_id bigint NOT NULL, recipient_id bigint NOT NULL, job_day date, job_id bigint,
        taken boolean NOT NULL, folder text
    );
    CREATE UNLOGGED TABLE trial_rebuffs (at bigint NOT NULL, mailbox_id bigint NOT NULL)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promised:
    """What was promised for a run: lengths in seconds, and caps."""

    mailbox_gap: float
    user_gap: float  # between reservations: at servers `slack` may lie between one and its MAIL FROM
    slack: float
    global_per_minute: int
    global_per_hour: int
    user_per_minute: int
    user_per_hour: int


async def begin_trial(db: Database) -> None:
    """Have this database keep, from now on, the reservations that rows overwrite, and rests. For simulations."""
    await db.execute(_EARLIER)
    await keep_rests(db)


async def take_evidence(db: Database, *, origin: dt.datetime, record: Path, rebuffs: Path) -> None:
    """Lay reservations and the servers' record beside each other. `record` is a CSV file with the columns of the table:
    microseconds since `origin`, mailbox, recipient, the job's day and number, whether it was taken, and the folder;
    `rebuffs` one of attempts that ended before MAIL FROM: microseconds, mailbox. The days that are owed were laid out
    before.
    """
    async with db.acquire() as connection:
        await connection.execute(_OFFERS)
        await connection.copy_to_table("trial_offers", source=record, format="csv", timeout=LONG)
        await connection.copy_to_table("trial_rebuffs", source=rebuffs, format="csv", timeout=LONG)
        await connection.execute(_RESERVED, origin, timeout=LONG)
        await connection.execute("ANALYZE trial_offers; ANALYZE trial_reservations", timeout=LONG)


async def count_broken(db: Database, promised: Promised) -> dict[str, int]:
    """How often each promise was broken, by the name that reports give it; both by reservations and by the record."""
    counts: dict[str, int] = {}
    async with db.transaction() as connection:
        await connection.execute(f"SET LOCAL work_mem = '{_MEMORY}'")
        for name, statement, arguments in _questions(promised):
            counts[name] = counts.get(name, 0) + int(await connection.fetchval(statement, *arguments, timeout=LONG))
    return counts


def _questions(promised: Promised) -> list[tuple[str, str, tuple[int, ...]]]:
    """Servers' records are held to the whole gap and the whole window: reserves lengthen theirs for that.

    But for a user's gap, which is kept between reservations: a MAIL FROM may come `slack` later, so any so many that
    follow each other are as many gaps apart, less one slack.
    """
    mailbox, user = _micro(promised.mailbox_gap), _micro(promised.user_gap)
    minute, hour, slack = _micro(60), _micro(3600), _micro(promised.slack)
    many = max(1, ceil(2 * slack / max(1, user)))
    return [
        (
            "spacing",
            _TOO_CLOSE.format(moment="start", whose="mailbox_id", table="trial_reservations"),
            (mailbox - GRAIN,),
        ),
        ("spacing", _TOO_CLOSE.format(moment="start", whose="user_id", table="trial_reservations"), (user - GRAIN,)),
        (
            "spacing",
            _TOO_CLOSE.format(moment="at", whose="mailbox_id", table="trial_offers"),
            (mailbox - GRAIN,),
        ),
        ("spacing", _TOO_MANY_OFFERED_OF_USER, (many, many * user - slack - GRAIN)),
        ("window", _OUTSIDE_WINDOW, ()),
        ("window", _OFFERED_OUTSIDE_WINDOW, (GRAIN,)),
        ("caps", _TOO_MANY, (promised.global_per_minute, minute)),
        ("caps", _TOO_MANY, (promised.global_per_hour, hour)),
        ("caps", _TOO_MANY_OF_USER, (promised.user_per_minute, minute)),
        ("caps", _TOO_MANY_OF_USER, (promised.user_per_hour, hour)),
        ("caps", _TOO_MANY_OFFERED, (promised.global_per_minute, minute - GRAIN)),
        ("caps", _TOO_MANY_OFFERED, (promised.global_per_hour, hour - GRAIN)),
        ("caps", _TOO_MANY_OFFERED_OF_USER, (promised.user_per_minute, minute - GRAIN)),
        ("caps", _TOO_MANY_OFFERED_OF_USER, (promised.user_per_hour, hour - GRAIN)),
        ("quota", _ABOVE_QUOTA, ()),
        ("quota", _TAKEN_ABOVE_QUOTA, ()),
        ("outside_pool", _RESERVED_OUTSIDE_POOL, ()),
        ("outside_pool", _OFFERED_OUTSIDE_POOL, ()),
        ("twice", _TWICE, ()),
        ("unreserved", _UNRESERVED, (GRAIN,)),
        ("lost", _LOST, ()),
    ]


GRAIN = 1000  # microseconds that are overlooked: rounding


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)


_TOO_CLOSE = """
    SELECT count(*) FROM (
        SELECT {moment} - lag({moment}) OVER (PARTITION BY {whose} ORDER BY {moment}) AS gap FROM {table}
    ) AS a WHERE gap < $1
"""
_OUTSIDE_WINDOW = """
    SELECT count(*) FROM trial_reservations
    WHERE (opens <= picked AND start < closes AND send_by <= closes) IS NOT TRUE
"""
_OFFERED_OUTSIDE_WINDOW = """
    SELECT count(*) FROM trial_offers o WHERE NOT EXISTS (
        SELECT FROM trial_days d WHERE d.mailbox_id = o.mailbox_id AND d.opens - $1 <= o.at AND o.at <= d.closes + $1)
"""
# One is too many when the one that many places before it lies within the window that ends with it.
_TOO_MANY = """
    SELECT count(*) FROM (
        SELECT picked - lag(picked, $1::integer) OVER (ORDER BY picked) AS span FROM trial_reservations
    ) AS a WHERE span < $2
"""
_TOO_MANY_OF_USER = """
    SELECT count(*) FROM (
        SELECT picked - lag(picked, $1::integer) OVER (PARTITION BY user_id ORDER BY picked) AS span
        FROM trial_reservations
    ) AS a WHERE span < $2
"""
_TOO_MANY_OFFERED = """
    SELECT count(*) FROM (
        SELECT at - lag(at, $1::integer) OVER (ORDER BY at) AS span FROM trial_offers
    ) AS a WHERE span < $2
"""
_TOO_MANY_OFFERED_OF_USER = """
    SELECT count(*) FROM (
        SELECT o.at - lag(o.at, $1::integer) OVER (PARTITION BY m.user_id ORDER BY o.at) AS span
        FROM trial_offers o JOIN mailboxes m ON m.id = o.mailbox_id
    ) AS a WHERE span < $2
"""
_ABOVE_QUOTA = "SELECT coalesce(sum(greatest(0, sent - quota)), 0) FROM mailbox_days"
# What the servers took of a mailbox between the openings of two of its days.
_TAKEN_ABOVE_QUOTA = """
    SELECT coalesce(sum(greatest(0, n - quota)), 0) FROM (
        SELECT d.mailbox_id, d.opens, d.most AS quota, count(*) AS n FROM trial_days d JOIN trial_offers o
            ON o.mailbox_id = d.mailbox_id AND o.taken AND o.at >= d.opens AND (d.next IS NULL OR o.at < d.next)
        GROUP BY 1, 2, 3) AS a
"""
_RESERVED_OUTSIDE_POOL = """
    SELECT count(*) FROM trial_reservations WHERE pool IS DISTINCT FROM recipient_pool OR mailbox_id = recipient_id
"""
_OFFERED_OUTSIDE_POOL = """
    SELECT count(*) FROM trial_offers o
    LEFT JOIN mailboxes s ON s.id = o.mailbox_id LEFT JOIN mailboxes r ON r.id = o.recipient_id
    WHERE o.taken AND ((s.pool_id = r.pool_id) IS NOT TRUE OR o.mailbox_id = o.recipient_id)
"""
_TWICE = """
    SELECT coalesce(sum(n - 1), 0) FROM (
        SELECT count(*) AS n FROM trial_offers WHERE taken AND job_id IS NOT NULL GROUP BY job_day, job_id) AS a
    WHERE n > 1
"""
# Each MAIL FROM has a reservation of its own: of the job that its message names, of that mailbox, for that moment.
_UNRESERVED = """
    SELECT (SELECT count(*) FROM trial_offers) - count(*) FROM (
        SELECT r.job_day, r.job_id, r.start FROM trial_reservations r JOIN trial_offers o
            ON o.job_day = r.job_day AND o.job_id = r.job_id AND o.mailbox_id = r.mailbox_id
           AND o.at BETWEEN r.start - $1 AND r.send_by + $1
        GROUP BY 1, 2, 3) AS a
"""
_LOST = """
    SELECT count(*) FROM warmup_jobs j WHERE j.status IN ('SENT', 'REPLIED') AND NOT EXISTS (
        SELECT FROM trial_offers o WHERE o.taken AND o.job_day = j.day AND o.job_id = j.id)
"""
