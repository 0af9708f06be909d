"""How much of the caps is used: the fleet's, and each user's."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.capacity import CapUse
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class UserCaps:
    """A user's caps, their plan's if it has its own, and what is used of them now."""

    user_id: UUID
    email: str
    per_hour: int
    per_minute: int
    by_plan: bool
    used_hour: int
    used_minute: int


# The rings as of $1, with the caps that hold for each. What reserve would count now, it counts here,
# but no more than the cap: after a restore, or when a cap is lowered, rings hold more.
_RINGS = """
    SELECT c.scope, c.ref, c.seconds, c.halves, w.*, l.*,
           least(ring_used(c.seconds, w.steps_s, w.span_s), l.per_minute) AS used_minute,
           least(ring_used(c.halves, w.steps_h, w.span_h), l.per_hour) AS used_hour
    FROM (SELECT scope, ref, head_s, seconds, halves FROM cap_rings
          UNION ALL
          SELECT 'USER', id, 0, array_fill(0, ARRAY[122]), array_fill(0, ARRAY[124]) FROM users  -- has not sent yet
          WHERE NOT EXISTS (SELECT FROM cap_rings r WHERE r.scope = 'USER' AND r.ref = users.id)) AS c
    LEFT JOIN users u ON c.scope = 'USER' AND u.id = c.ref LEFT JOIN plans p ON p.id = u.plan_id,
    settings s,
    LATERAL (SELECT floor(extract(epoch FROM $1::timestamptz))::bigint AS now_s) AS t,
    LATERAL (SELECT t.now_s, t.now_s - c.head_s AS steps_s, t.now_s / 30 - c.head_s / 30 AS steps_h,
                    61 + ceil(s.slack_seconds)::integer AS span_s,
                    1 + ceil((3600 + s.slack_seconds) / 30)::integer AS span_h) AS w,
    LATERAL (SELECT CASE WHEN c.scope = 'GLOBAL' THEN lowered(s.global_per_minute, s.throttle)
                         ELSE coalesce(p.per_minute, s.user_per_minute) END AS per_minute,
                    CASE WHEN c.scope = 'GLOBAL' THEN lowered(s.global_per_hour, s.throttle)
                         ELSE coalesce(p.per_hour, s.user_per_hour) END AS per_hour) AS l
"""


async def cap_use(db: Database, *, at: dt.datetime) -> list[CapUse]:
    """The fleet's caps: what is used, and when a place is free again."""
    return (await _cap_use(db, [], at=at))[None]


async def caps_of(db: Database, users: Collection[UUID], *, at: dt.datetime) -> dict[UUID, list[CapUse]]:
    """The caps that hold for each of these users, by user: the fleet's, and then their own."""
    found = await _cap_use(db, list(users), at=at)
    return {user: found[None] + found[user] for user in users}


async def _cap_use(db: Database, users: Sequence[UUID], *, at: dt.datetime) -> dict[UUID | None, list[CapUse]]:
    """Under None the fleet's."""
    rows = await db.fetch(
        f"""
        WITH rings AS MATERIALIZED ({_RINGS} WHERE c.scope = 'GLOBAL' OR (c.scope = 'USER' AND c.ref = ANY ($2)))
        SELECT CASE WHEN scope = 'USER' THEN ref END AS whose, lower(scope::text) || '_hour' AS cap,
               per_hour AS "limit", used_hour AS used,
               CASE WHEN used_hour >= per_hour
                    THEN to_timestamp((now_s / 30 + ring_wait(halves, steps_h, span_h, 0, per_hour)) * 30) END
                    AS free_at
        FROM rings
        UNION ALL
        SELECT CASE WHEN scope = 'USER' THEN ref END, lower(scope::text) || '_minute', per_minute, used_minute,
               CASE WHEN used_minute >= per_minute
                    THEN to_timestamp(now_s + ring_wait(seconds, steps_s, span_s, 0, per_minute)) END
        FROM rings ORDER BY cap
        """,  # noqa: S608  made of constants
        at,
        users,
    )
    found: defaultdict[UUID | None, list[CapUse]] = defaultdict(list)
    for row in rows:
        use = dict(row)
        found[use.pop("whose")].append(CapUse(**use))
    return found


async def user_caps(db: Database, *, at: dt.datetime, users: Collection[UUID] | None = None) -> list[UserCaps]:
    """The caps of every user who has mailboxes, or of those among `users`."""
    rows = await db.fetch(
        f"""
        WITH rings AS MATERIALIZED ({_RINGS}
                                    WHERE c.scope = 'USER' AND ($2::uuid[] IS NULL OR c.ref = ANY ($2)))
        SELECT u.id AS user_id, u.email, r.per_hour, r.per_minute, r.used_hour, r.used_minute,
               p.per_hour IS NOT NULL OR p.per_minute IS NOT NULL AS by_plan
        FROM users u JOIN plans p ON p.id = u.plan_id JOIN rings r ON r.ref = u.id
        WHERE EXISTS (SELECT FROM mailboxes m WHERE m.user_id = u.id AND m.state <> 'REMOVED') ORDER BY u.email
        """,  # noqa: S608  made of constants
        at,
        None if users is None else list(users),
    )
    return [UserCaps(**dict(row)) for row in rows]
