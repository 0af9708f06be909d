"""Browser sessions: who is signed in, from where, and until when. The cookie is stored as a hash."""

import datetime as dt
from dataclasses import dataclass, field
from uuid import UUID

from warmupd.store.access import ACCESS, Access, access_of
from warmupd.store.database import Database

SEEN_EVERY = dt.timedelta(minutes=1)  # how exactly it is noted when a session was used
LASTS = dt.timedelta(days=14)  # at most
IDLE = dt.timedelta(days=3)  # without a visit
MOST = 20  # of a user: the one that was seen longest ago makes room


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowserSession:
    """A browser that is signed in."""

    id: int
    access: Access
    csrf: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """The same, as its user sees it in a list."""

    id: int
    client: str
    agent: str
    created_at: dt.datetime
    seen_at: dt.datetime
    expires_at: dt.datetime


async def begin_session(
    db: Database, access: Access, *, token_hash: bytes, csrf: str, client: str, agent: str, at: dt.datetime
) -> None:
    """Sign a browser in. Sessions that are over, and of this user more than `MOST`, are swept out on the way."""
    await db.execute("DELETE FROM browser_sessions WHERE expires_at <= $1", at)
    await db.execute(
        "DELETE FROM browser_sessions WHERE id IN"
        " (SELECT id FROM browser_sessions WHERE user_id = $1 ORDER BY seen_at DESC, id DESC OFFSET $2)",
        access.user_id,
        MOST - 1,
    )
    await db.execute(
        "INSERT INTO browser_sessions"
        " (token_hash, user_id, csrf, credentials_version, client, agent, created_at, seen_at, expires_at, ends_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)",
        token_hash,
        access.user_id,
        csrf,
        access.credentials_version,
        client,
        agent,
        at,
        at + min(IDLE, LASTS),
        at + LASTS,
    )


async def session_of(db: Database, token_hash: bytes, *, at: dt.datetime) -> BrowserSession | None:
    """The session with this token, if it goes on: not over, not idle for long, not ended by a new password."""
    row = await db.fetchrow(
        f"SELECT s.id, s.csrf, s.seen_at, {ACCESS} JOIN browser_sessions s ON s.user_id = u.id"
        " WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.removed_at IS NULL"
        " AND s.credentials_version = u.credentials_version",
        token_hash,
        at,
    )
    if row is None:
        return None
    if at - row["seen_at"] >= SEEN_EVERY:
        await db.execute(
            "UPDATE browser_sessions SET seen_at = $2, expires_at = least(ends_at, $3) WHERE token_hash = $1",
            token_hash,
            at,
            at + IDLE,
        )
    return BrowserSession(id=row["id"], access=access_of(row), csrf=row["csrf"])


async def list_sessions(db: Database, user_id: UUID, *, at: dt.datetime) -> list[SignedIn]:
    """Of this user, the one that was seen last first; `MOST` at most."""
    rows = await db.fetch(
        "SELECT s.id, s.client, s.agent, s.created_at, s.seen_at, s.expires_at"
        " FROM browser_sessions s JOIN users u ON u.id = s.user_id"
        " WHERE s.user_id = $1 AND s.expires_at > $2 AND s.credentials_version = u.credentials_version"
        " ORDER BY s.seen_at DESC, s.id DESC",
        user_id,
        at,
    )
    return [SignedIn(**dict(row)) for row in rows]


async def end_session(db: Database, token_hash: bytes) -> None:
    """Sign the browser out."""
    await db.execute("DELETE FROM browser_sessions WHERE token_hash = $1", token_hash)


async def end_other_sessions(db: Database, user_id: UUID, *, stays: int) -> int:
    """Sign this user out everywhere but in one session; how many ended."""
    gone = await db.fetch("DELETE FROM browser_sessions WHERE user_id = $1 AND id <> $2 RETURNING id", user_id, stays)
    return len(gone)


async def end_session_by_id(db: Database, session_id: int, *, user_id: UUID) -> bool:
    """Whether this user had such a session, which is over now."""
    ended = await db.fetchval(
        "DELETE FROM browser_sessions WHERE id = $1 AND user_id = $2 RETURNING true", session_id, user_id
    )
    return bool(ended)
