"""The history of users: what changed about whom, by whom, and when."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Connection, Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A line of the history. `what` is a column, or `state`."""

    at: dt.datetime
    actor: str
    what: str
    was: str
    became: str
    reason: str


async def user_history(db: Database, user_id: UUID, *, limit: int) -> list[Change]:
    """What changed about the user, the latest first."""
    rows = await db.fetch(
        "SELECT at, actor, what, was, became, reason FROM state_changes WHERE subject = 'user' AND subject_id = $1"
        " ORDER BY at DESC, id DESC LIMIT $2",
        str(user_id),
        limit,
    )
    return [Change(**dict(row)) for row in rows]


async def note_user(
    connection: Connection,
    user_id: UUID,
    what: str,
    words: tuple[str, str],
    *,
    reason: str,
    actor: str,
    at: dt.datetime,
) -> None:
    """Write into the history what it was and became."""
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)"
        " VALUES ($1, $2, 'user', $3, $4, $5, $6, $7)",
        at,
        actor,
        str(user_id),
        what,
        *words,
        reason,
    )
