"""What became of the jobs of a crowd."""

from dataclasses import dataclass

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """What became of all jobs."""

    sent: int
    returned: int  # a place that was given back since time was up, before anything was said of a message
    failed: int  # all others


async def read_ledger(db: Database) -> Ledger:
    """Of a crowd whose worker has ended."""
    row = await db.fetchrow(
        """
        SELECT count(*) FILTER (WHERE status = 'SENT') AS sent,
               count(*) FILTER (WHERE status = 'PENDING' AND retry_count = 0) AS returned, count(*) AS jobs
        FROM warmup_jobs
        """,
        within=120.0,
    )
    if row is None:
        raise AssertionError("an aggregate has a row")
    return Ledger(sent=row["sent"], returned=row["returned"], failed=row["jobs"] - row["sent"] - row["returned"])
