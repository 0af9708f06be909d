"""How fast the jobs of a crowd went."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Tempo:
    """How the jobs went that were reserved in the first two thirds of a span and sent, by the database's clock.

    What was reserved later is left out whether it was sent in time or not, so that slow sends are not what is missing.
    Who is not done when the span ends also waits for the floor that is measured then, and counts with that wait.
    """

    p50: float  # seconds from the reservation to the settlement of what was sent
    p99: float
    reserved_at_once: float  # granted sends a reservation, half of the sends in larger ones
    settled_at_once: float


async def read_tempo(db: Database, spans: Sequence[tuple[dt.datetime, dt.datetime]]) -> Tempo:
    """Of the jobs that were reserved in one of these. Zeros when there are none."""
    row = await db.fetchrow(
        """
        SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY took) AS took,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY reserved) AS reserved,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY settled) AS settled
        FROM (SELECT extract(epoch FROM completed_at - picked_at)::float8 AS took,
                     count(*) OVER (PARTITION BY picked_at) AS reserved,
                     count(*) OVER (PARTITION BY completed_at) AS settled
              FROM warmup_jobs JOIN unnest($1::timestamptz[], $2::timestamptz[]) AS s(begin, over)
                  ON picked_at >= s.begin AND picked_at < s.begin + (s.over - s.begin) * 2 / 3
              WHERE status = 'SENT') AS j
        """,
        [begin for begin, _ in spans],
        [end for _, end in spans],
        within=120.0,
    )
    if row is None:
        raise AssertionError("an aggregate has a row")
    p50, p99 = row["took"] or (0.0, 0.0)
    return Tempo(p50=p50, p99=p99, reserved_at_once=row["reserved"] or 0.0, settled_at_once=row["settled"] or 0.0)
