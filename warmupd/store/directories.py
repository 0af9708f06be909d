"""The pools' directories: who takes part on a day and with which weight, the same for every worker."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from warmupd.core.directory import Directory, in_ring_order
from warmupd.store.database import Database

Members = Sequence[tuple[int, int]]  # mailbox and weight


async def agree_directories(db: Database, day: dt.date, pools: Mapping[int, Members]) -> dict[int, Directory]:
    """The directory of each pool for `day`. The first worker to ask writes it, and the newest version is everybody's.

    Members who are not in it yet come behind the others in a new version: nobody's place moves in the middle of a day.
    Who leaves keeps its place until the day is over, and weights stay as they were first.
    """
    agreed = await _agree(db, day, pools)
    if missed := {pool: members for pool, members in pools.items() if members and pool not in agreed}:
        # Another worker wrote them in this very moment; a new statement sees them.
        agreed |= await _agree(db, day, missed)
    return {pool: agreed.get(pool) or Directory(pool, day, ()) for pool in pools}


async def read_directories(db: Database, day: dt.date, pool_ids: Sequence[int]) -> dict[int, Directory]:
    """The newest directories of these pools for `day`, as far as anybody has written one."""
    rows = await db.fetch(
        "SELECT DISTINCT ON (pool_id) pool_id, members, weights FROM pool_directories"
        " WHERE day = $1 AND pool_id = ANY ($2) ORDER BY pool_id, version DESC",
        day,
        pool_ids,
    )
    return _directories(day, rows)


async def _agree(db: Database, day: dt.date, pools: Mapping[int, Members]) -> dict[int, Directory]:
    rows = await db.fetch(
        """
        WITH asked AS (
            SELECT pool_id, members, weights FROM jsonb_to_recordset($2::jsonb)
                AS a(pool_id bigint, members bigint[], weights integer[])
        ), newest AS MATERIALIZED (
            SELECT DISTINCT ON (pool_id) pool_id, version, members, weights
            FROM pool_directories WHERE day = $1 AND pool_id IN (SELECT pool_id FROM asked)
            ORDER BY pool_id, version DESC
        ), joining AS (
            SELECT a.pool_id, array_agg(a.member ORDER BY a.ord) AS members,
                   array_agg(a.weight ORDER BY a.ord) AS weights
            FROM (SELECT pool_id, x.* FROM asked,
                  unnest(members, weights) WITH ORDINALITY AS x(member, weight, ord)) AS a
            LEFT JOIN (SELECT pool_id, unnest(members) AS member FROM newest) AS known USING (pool_id, member)
            WHERE known.pool_id IS NULL GROUP BY a.pool_id
        ), written AS (
            INSERT INTO pool_directories (pool_id, day, version, members, weights)
            SELECT j.pool_id, $1, coalesce(n.version, 0) + 1, coalesce(n.members, '{}') || j.members,
                   coalesce(n.weights, '{}') || j.weights
            FROM joining j LEFT JOIN newest n USING (pool_id)
            ON CONFLICT DO NOTHING
            RETURNING pool_id, version, members, weights
        )
        SELECT DISTINCT ON (pool_id) pool_id, members, weights
        FROM (SELECT * FROM newest UNION ALL SELECT * FROM written) AS both_ ORDER BY pool_id, version DESC
        """,
        day,
        [
            {"pool_id": pool, "members": [m for m, _ in members], "weights": [w for _, w in members]}
            for pool, members in ((pool, in_ring_order(members)) for pool, members in pools.items())
        ],
    )
    return _directories(day, rows)


def _directories(day: dt.date, rows: Iterable[asyncpg.Record]) -> dict[int, Directory]:
    return {pool: Directory(pool, day, zip(members, weights, strict=True)) for pool, members, weights in rows}


async def drop_directories(db: Database, before: dt.date) -> None:
    """Forget the directories of days before `before`."""
    await db.execute("DELETE FROM pool_directories WHERE day < $1", before)
