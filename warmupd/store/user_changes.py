"""What is changed about a user: name, time zone, plan, role."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

import asyncpg

from warmupd.errors import Conflict, NotFound
from warmupd.store.access import withdraw_links
from warmupd.store.database import Connection, Database
from warmupd.store.user_notes import note_user
from warmupd.store.users import Role, User, plan_id_of, user_by_id


class LastAdmin(Conflict):
    """Somebody has to be left who may do everything."""

    def __init__(self) -> None:
        super().__init__(
            "the last admin can be neither removed nor demoted", remedy="make somebody else an admin first"
        )


async def change_user(
    db: Database, user_id: UUID, changes: Mapping[str, str | None], *, actor: str, at: dt.datetime
) -> User:
    """Set `name`, `timezone` (None: the configured one), `plan` and `role`, as far as they are among `changes`.

    Caps hold at once; another zone or plan counts for the days that are opened from now on. Raises NotFound, and
    UsageError for a plan that is not there, LastAdmin where no admin would be left.
    """
    async with db.transaction() as connection:
        before = await lock_user(connection, user_id, spare_admin=changes.get("role", Role.ADMIN) != Role.ADMIN)
        plan_id = await plan_id_of(connection, changes["plan"] or "") if "plan" in changes else None
        news = {what: value for what, value in changes.items() if before[what] != value}
        await connection.execute(
            "UPDATE users SET name = $2, timezone = $3, plan_id = coalesce($4, plan_id), role = $5 WHERE id = $1",
            user_id,
            news.get("name", before["name"]),
            news.get("timezone", before["timezone"]),
            plan_id,
            news.get("role", before["role"]),
        )
        if news.get("role", Role.ADMIN) != Role.ADMIN:
            await withdraw_links(connection, user_id)
        for what, value in news.items():
            words = (before[what] or "", value or "")
            await note_user(connection, user_id, what, words, reason="", actor=actor, at=at)
        if news.keys() & {"timezone", "plan"}:
            await connection.execute(  # workers look at all mailboxes of the user
                "INSERT INTO user_settings (user_id) VALUES ($1)"
                " ON CONFLICT (user_id) DO UPDATE SET changed_at = clock_timestamp()",
                user_id,
            )
    return await user_by_id(db, user_id)


async def lock_user(connection: Connection, user_id: UUID, *, spare_admin: bool) -> asyncpg.Record:
    """The user's row, locked until the transaction ends. Raises NotFound; LastAdmin where that would go.

    Who cannot log in counts only where no admin can. All admins are locked in order: of two
    who demote each other at the same time one comes second, and sees it.
    """
    admins = await connection.fetch(
        "SELECT id, password_hash IS NOT NULL AS enters FROM users"
        " WHERE $1 AND role = 'ADMIN' AND removed_at IS NULL ORDER BY id FOR UPDATE",
        spare_admin,
    )
    entering = [row["id"] for row in admins if row["enters"]] or [row["id"] for row in admins]
    if entering == [user_id]:
        raise LastAdmin
    await connection.fetch("SELECT FROM users WHERE id = $1 FOR UPDATE", user_id)
    row = await connection.fetchrow(
        "SELECT u.*, p.name AS plan FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.id = $1"
        " AND u.removed_at IS NULL",
        user_id,
    )
    if row is None:
        raise NotFound("there is no such user")
    return row
