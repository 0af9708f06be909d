"""Recipients that are spared for a while because their mailbox is full, or took more than it likes."""

import datetime as dt

from warmupd.store.database import Database


async def spare_recipient(db: Database, recipient_id: int, *, until: dt.datetime) -> None:
    """Have nobody write to this mailbox until then. A longer spare stays."""
    await db.execute(
        "UPDATE proofs SET spared_until = $2 WHERE mailbox_id = $1 AND spared_until < $2", recipient_id, until
    )


async def load_spares(db: Database, *, at: dt.datetime) -> dict[int, dt.datetime]:
    """The mailboxes that are spared, and until when."""
    rows = await db.fetch("SELECT mailbox_id, spared_until FROM proofs WHERE spared_until > $1", at)
    return {row["mailbox_id"]: row["spared_until"] for row in rows}
