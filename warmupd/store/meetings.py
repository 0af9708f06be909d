"""Who has begun to write to whom of late, from the jobs of the last days."""

import datetime as dt
from collections.abc import Sequence

from warmupd.store.database import Database

Meetings = Sequence[tuple[int, dt.date, Sequence[int]]]  # sender, UTC day, recipients


async def load_meetings(db: Database, sender_ids: Sequence[int], *, since: dt.date) -> Meetings:
    """The first messages of these senders since that UTC day, one entry a sender and day. Refused ones met nobody.

    Reads the days' jobs once from end to end, whoever is asked for: for starts and take-overs, not for every round.
    """
    rows = await db.fetch(
        """
        SELECT mailbox_id, day, array_agg(recipient_id) AS recipients FROM warmup_jobs
        WHERE day >= $2 AND kind = 'WARMUP' AND status IN ('PROCESSING', 'SENT', 'REPLIED', 'UNKNOWN')
          AND mailbox_id = ANY ($1)
        GROUP BY 1, 2
        """,
        sender_ids,
        since,
    )
    return [(row["mailbox_id"], row["day"], row["recipients"]) for row in rows]
