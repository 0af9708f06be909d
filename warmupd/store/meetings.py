"""Who has begun to write to whom of late, from the jobs of a day."""

import datetime as dt
from collections.abc import Sequence

from warmupd.store.database import Database


async def load_meetings(db: Database, sender_ids: Sequence[int], day: dt.date) -> dict[int, Sequence[int]]:
    """The recipients of these senders' first messages of that UTC day, by sender. Refused ones met nobody.

    Reads the day's jobs once from end to end, whoever is asked for: for slots that are new, not for every round.
    """
    rows = await db.fetch(
        """
        SELECT mailbox_id, array_agg(recipient_id) AS recipients FROM warmup_jobs
        WHERE day = $2 AND kind = 'WARMUP' AND status IN ('PROCESSING', 'SENT', 'REPLIED', 'UNKNOWN')
          AND mailbox_id = ANY ($1)
        GROUP BY 1
        """,
        sender_ids,
        day,
    )
    return {row["mailbox_id"]: row["recipients"] for row in rows}
