"""Delivery reports: what was SENT, and came back."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.veil import Ends
from warmupd.store.database import Database
from warmupd.store.sightings import refusing_stale

Told = tuple[dt.date, int, str]  # a job's day and id, and what the report says


async def reported_ends(db: Database, sender_id: int, jobs: Sequence[tuple[dt.date, int]]) -> list[Ends | None]:
    """Both ends of these jobs of the sender's; without a recipient where the row is gone, None for another's job."""
    rows = await db.fetch(
        "SELECT * FROM reported_ends($1, $2, $3)",
        sender_id,
        [day for day, _ in jobs],
        [job_id for _, job_id in jobs],
    )
    return [None if row["recipient"] is None else Ends(**dict(row)) for row in rows]


async def record_bounces(
    db: Database, sender_id: int, reports: Sequence[Told], *, slot: int, epoch: int, at: dt.datetime | None
) -> list[int | None]:
    """Turn the jobs that these reports in the sender's mailbox speak of from SENT to FAILED; the day's count stays.

    For each report the recipient's id when its job is FAILED by it (now, or before: what follows from it is safe to
    repeat, and may not have been done), 0 when its job was left as it is (answered, found with its recipient), None
    when it is no job of this sender. Raises LeaseLost.
    """
    with refusing_stale():
        answer: list[int | None] = await db.fetchval(
            "SELECT record_bounces($1, $2, $3, $4, $5, $6, $7)",
            sender_id,
            slot,
            epoch,
            [day for day, _, _ in reports],
            [job_id for _, job_id, _ in reports],
            [text for _, _, text in reports],
            at,
        )
    return answer
