"""Delivery reports: what was SENT, and came back."""

import datetime as dt
from collections.abc import Sequence

from warmupd.store.database import Database
from warmupd.store.sightings import refusing_stale

Told = tuple[dt.date, int, str]  # a job's day and id, and what the report says


async def record_bounces(
    db: Database, sender_id: int, reports: Sequence[Told], *, slot: int, epoch: int, at: dt.datetime | None
) -> list[int | None]:
    """Turn the jobs that these reports in the sender's mailbox speak of from SENT to FAILED; the day's count stays.

    For each report the recipient's id when its job is FAILED by it now, 0 when its job was left as it is (answered,
    found with its recipient, bounced before), None when it is no job of this sender. Raises LeaseLost.
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
