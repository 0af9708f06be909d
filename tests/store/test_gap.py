"""What a restore closes: which strangers are still written to, at the size of a large fleet, too."""

import datetime as dt
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from tests.daemon.world import World
from warmupd.mail.vault import Vault
from warmupd.store import partitions
from warmupd.store.backup import back_up
from warmupd.store.database import Connection, Database
from warmupd.store.gap import close_gap
from warmupd.store.restore import read_dump, restore


@pytest.fixture
async def world(db: Database) -> World:
    world = World(db, Vault([Vault.new_key()]))
    await partitions.make_partitions(db, await db.fetchval("SELECT current_date"))
    await world.enrol(5)
    return world


@pytest.fixture
async def spare(more_databases: Callable[[], str]) -> AsyncIterator[Database]:
    async with await Database.open(more_databases(), pool_size=3, application_name="tests") as database:
        yield database


async def revived(world: World, spare: Database, file: Path) -> dict[int, int]:
    """The messages that each address is held to have had, after a restore."""
    with file.open("wb") as stream:
        await back_up(world.db, stream)
    await restore(spare, read_dump(file), zone="UTC", move=False)
    rows = await spare.fetch("SELECT mailbox_id, unproven_sends FROM proofs")
    return {row["mailbox_id"]: row["unproven_sends"] for row in rows}


async def ids(world: World) -> list[int]:
    return list(await world.db.fetchval("SELECT array_agg(id ORDER BY id) FROM mailboxes"))


async def unprove(world: World, *boxes: int) -> None:
    await world.db.execute(
        "UPDATE proofs SET proven_at = NULL, unproven_sends = 1, first_at = now() WHERE mailbox_id = ANY ($1)", boxes
    )


async def send(world: World, sender: int, recipient: int) -> None:
    """A message that a server took."""
    await world.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,"
        " attempt_token, picked_at, send_by, completed_at, thread_seed, created_at)"
        " SELECT current_date, 'WARMUP', 'SENT', id, user_id, $2, current_date, now(), gen_random_uuid(), now(), now(),"
        " now(), 1, now() FROM mailboxes WHERE id = $1",
        sender,
        recipient,
    )


async def test_stranger_gets_one_message_more_and_none_where_one_can_prove_the_address(
    world: World, spare: Database, tmp_path: Path
) -> None:
    sender, written, begun, fresh, proven = await ids(world)
    await unprove(world, written, begun)
    await world.db.execute("UPDATE proofs SET proven_at = NULL WHERE mailbox_id = $1", fresh)
    await send(world, sender, written)
    found = await revived(world, spare, tmp_path / "all")
    assert [found[one] for one in (written, begun, fresh, proven)] == [3, 2, 2, 0]
    others = "SELECT others_at IS NULL AND first_at IS NULL FROM proofs WHERE mailbox_id = $1"
    assert await spare.fetchval(others, fresh), "to other users it is yet to be begun with, and counts among the ten"


async def test_message_whose_job_is_gone_can_prove_and_one_that_is_missing_cannot(
    world: World, spare: Database, tmp_path: Path
) -> None:
    sender, gone, missed, *_ = await ids(world)
    await unprove(world, gone, missed)
    await world.db.execute(
        "INSERT INTO unproven_messages (day, id, recipient_id, user_id)"
        " SELECT current_date - 60, 1, $2, user_id FROM mailboxes WHERE id = $1",
        sender,
        gone,
    )
    await send(world, sender, missed)
    await world.db.execute(
        "INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder,"
        " uidvalidity, uid, message_id, thread_depth, star, rescue, file_at, delete_at)"
        " SELECT day, id, recipient_id, mailbox_id, 'MISSING', now(), 1, '', 0, 0, '', 1, false, false, now(), now()"
        " FROM warmup_jobs WHERE recipient_id = $1",
        missed,
    )
    found = await revived(world, spare, tmp_path / "all")
    assert (found[gone], found[missed]) == (3, 2)


async def test_own_proof_is_enough_in_a_private_pool_after_a_restore(
    world: World, spare: Database, tmp_path: Path
) -> None:
    private, shared, *_ = await ids(world)
    await world.db.execute("UPDATE proofs SET own_only = true WHERE mailbox_id = ANY ($1)", [private, shared])
    await world.db.execute(
        "WITH p AS (INSERT INTO pools (name, owner_id) SELECT 'private', user_id FROM mailboxes WHERE id = $1"
        " RETURNING id) UPDATE mailboxes m SET pool_id = p.id FROM p WHERE m.id = $1",
        private,
    )
    found = await revived(world, spare, tmp_path / "all")
    assert (found[private], found[shared]) == (0, 2)


class Watched:
    """A connection that notes for how long each statement may take."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.hasty: list[str] = []

    def __getattr__(self, name: str) -> object:
        async def ask(query: str, *args: object, timeout: float | None = None) -> object:  # noqa: ASYNC109 - as asyncpg's
            if timeout is None:
                self.hasty.append(query)
            return await getattr(self._connection, name)(query, *args, timeout=timeout)

        return ask


async def test_no_statement_over_many_rows_ends_with_the_clients_patience(world: World) -> None:
    now = dt.datetime.now(dt.UTC)
    async with world.db.transaction() as connection:
        watched = Watched(connection)
        await close_gap(cast("Connection", watched), now - dt.timedelta(hours=1), now, zone="UTC")
    assert ["state_changes" in query for query in watched.hasty] == [True], "but for the one line of history"


async def test_backup_of_the_schema_before_has_no_messages_without_jobs(world: World) -> None:
    async with world.db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("DROP TABLE unproven_messages CASCADE")
        now = dt.datetime.now(dt.UTC)
        gap = await close_gap(connection, now - dt.timedelta(hours=1), now, zone="UTC")
        await transaction.rollback()
    assert gap.days_closed == 5
