"""The share of the global caps that is in force: judged by the ledger, changed by one worker at a time."""

import datetime as dt
from dataclasses import dataclass

from warmupd.core import verdicts
from warmupd.core.throttling import QUIET, Attempts, Step, ThrottleRules, next_step
from warmupd.store.database import Connection, Database

# Attempts that ended without a word of a mail server: by a worker, a database, a template or a row of ours.
OWN_FAULTS = (
    "returned",
    "database",
    "secrets",
    "not_composed",
    "removed",
    "bad_address",
    "reaped",
    "unverified",
    "window_over",
)
# And those that say nothing of how the fleet is received, since one login or one mail server's absence ended them: any
# user could have many, and lower everybody's caps with them.
OF_ONE = tuple(
    verdict.reason
    for verdict in vars(verdicts).values()
    if isinstance(verdict, verdicts.Verdict)
    and verdict.action in {verdicts.Action.BACK_OFF_HOST, verdicts.Action.DOUBT_CREDENTIALS}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """The share was changed."""

    was: float
    became: float
    reason: str


async def throttle(db: Database, rules: ThrottleRules, *, at: dt.datetime | None) -> Change | None:
    """Take the step that the attempts of late call for, if any; while another worker is at it, leave it to that one."""
    async with db.transaction() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock(1463898733, 4)"):
            return None
        (row,) = await connection.fetch(
            "SELECT throttle, greatest(throttled_at, n - $2::interval) AS since, n,"
            " greatest(throttled_at, n - $3::interval) AS long_since,"
            " CASE WHEN isfinite(throttled_at) THEN n - throttled_at ELSE $2 END AS age"
            " FROM settings, instant($1) AS n",
            at,
            rules.watch,
            QUIET,
        )
        attempts = await _attempts(connection, since=row["since"], until=row["n"])
        if attempts.ended < rules.smallest_sample:  # a lowered cap lets the sends of an hour through in minutes
            attempts = await _attempts(connection, since=min(row["since"], row["long_since"]), until=row["n"])
        step = next_step(row["throttle"], attempts, age=row["age"], rules=rules)
        if step is not None:
            await _take(connection, row["throttle"], step, at=row["n"])
    return None if step is None else Change(was=row["throttle"], became=step.share, reason=step.reason)


async def share_in_force(db: Database) -> float:
    """Of the global caps."""
    share: float = await db.fetchval("SELECT throttle FROM settings")
    return share


async def _attempts(connection: Connection, *, since: dt.datetime, until: dt.datetime) -> Attempts:
    """Of each job its last attempt: what a deferral was before its retry, the ledger does not keep."""
    (row,) = await connection.fetch(
        """
        SELECT count(*) AS ended, count(*) FILTER (WHERE status NOT IN ('SENT', 'REPLIED')) AS failed
        FROM warmup_jobs
        WHERE day >= ($1 AT TIME ZONE 'UTC')::date - 8 AND picked_at > $1 AND picked_at <= $2
          AND status <> 'PROCESSING' AND (outcome <> ALL ($3) OR status IN ('SENT', 'REPLIED'))
        """,
        since,
        until,
        [*OWN_FAULTS, *OF_ONE],
    )
    return Attempts(ended=row["ended"], failed=row["failed"])


async def _take(connection: Connection, was: float, step: Step, *, at: dt.datetime) -> None:
    await connection.execute(
        "UPDATE settings SET throttle = $1, throttled_at = $2, changed_at = clock_timestamp()", step.share, at
    )
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
        " VALUES ($1, 'daemon', 'fleet', 'throttle', $2, $3, $4)",
        at,
        f"{was:.4g}",
        f"{step.share:.4g}",
        step.reason,
    )
