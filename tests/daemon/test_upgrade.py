"""A newer schema comes in under running workers: they go on, and nothing is lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.daemon.conftest import Log
from tests.daemon.rig import BEGIN, Rig, after
from tests.daemon.world import World
from warmupd.clock import SystemClock, VirtualClock
from warmupd.errors import DatabaseBusy, SchemaError
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.migrate import SchemaKind, check, migrate

FROZEN = 14  # the migrations of the first release
OWN = Path(__file__).parents[2] / "sql"
NEXT = """
ALTER TABLE mailboxes ADD COLUMN fresh integer NOT NULL DEFAULT 0;
ALTER TABLE mailbox_days ADD COLUMN fresh integer NOT NULL DEFAULT 0;
ALTER TABLE warmup_jobs ADD COLUMN fresh integer NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN fresh integer NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN fresh integer NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fresh integer NOT NULL DEFAULT 0;
"""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The program's migrations and one more, which touches all that a send does."""
    for file in OWN.glob("*.sql"):
        shutil.copy(file, tmp_path)
    number = len(list(OWN.glob("*.sql"))) + 1
    (tmp_path / f"{number:04d}_next.sql").write_text(NEXT)
    return tmp_path


@pytest.fixture
async def old(empty_database_url: str) -> AsyncIterator[Database]:
    """A database as this version makes it."""
    async with await Database.open(empty_database_url, pool_size=6, application_name="worker") as database:
        await migrate(database)
        yield database


async def test_rows_of_the_first_release_are_all_there_afterwards(empty_database_url: str) -> None:
    async with await Database.open(empty_database_url, pool_size=2, application_name="tests") as database:
        await migrate(database, upto=FROZEN)
        boxes = await World(database, Vault([Vault.new_key()])).enrol(3)
        assert next(one.version for one in await migrate(database)) == FROZEN + 1
        assert await database.fetchval("SELECT array_agg(mailbox_id ORDER BY 1) FROM mailbox_pace") == boxes
        assert (await check(database)).kind is SchemaKind.UP_TO_DATE


async def test_worker_goes_on_while_another_host_migrates(
    old: Database, empty_database_url: str, later: Path, log: Log
) -> None:
    rig = Rig(old, VirtualClock(BEGIN))
    boxes = await rig.world.enrol(3, quota=4, end_hour=8, ramp_days=5)
    async with rig.running():
        await rig.until(after(6.8))
        async with await Database.open(empty_database_url, pool_size=2, application_name="newer") as other:
            applied, _ = await asyncio.gather(migrate(other, later), rig.until(after(7.2)))
            assert applied
        await rig.until(after(8.2))
    assert await rig.world.sent(boxes) == [4] * 3
    assert len({one.message_id for one in rig.server.taken}) == len(rig.server.taken) == 12
    assert not [one for one in log if one["level"] == "error"]


async def test_sends_go_on_while_a_database_of_the_first_release_is_brought_up(empty_database_url: str) -> None:
    """A send calls functions that 14 has, too; housekeeping alone needs 15, and fails until then.

    What 19 wraps in functions the program of before asked by the same statements.
    """
    async with await Database.open(empty_database_url, pool_size=6, application_name="worker") as first:
        await migrate(first, upto=FROZEN)
        async with first.transaction() as connection:
            await connection.execute((OWN / "0019_plans.sql").read_text())
        rig = Rig(first, VirtualClock(BEGIN))
        boxes = await rig.world.enrol(3, quota=4, end_hour=8, ramp_days=5)
        async with rig.running():
            await rig.until(after(6.8))
            assert sum(await rig.world.sent(boxes)) > 0
            async with await Database.open(empty_database_url, pool_size=2, application_name="newer") as other:
                applied, _ = await asyncio.gather(migrate(other), rig.until(after(7.2)))
            assert [one.version for one in applied] == list(range(FROZEN + 1, len(list(OWN.glob("*.sql"))) + 1))
            await rig.until(after(8.2))
        assert await rig.world.sent(boxes) == [4] * 3
        assert len({one.message_id for one in rig.server.taken}) == len(rig.server.taken) == 12


async def test_program_of_before_does_not_start_on_it(old: Database, later: Path) -> None:
    await migrate(old, later)
    with pytest.raises(SchemaError, match=r"newer than this program.*\(upgrade warmupd on this host\)"):
        (await check(old)).demand()


async def test_migration_that_waits_for_a_table_holds_nobody_up_for_long(old: Database, later: Path) -> None:
    async with old.transaction() as reading:
        await reading.execute("SELECT count(*) FROM mailboxes")  # a report that takes long
        migrating = asyncio.create_task(migrate(old, later))
        await _waits_for_a_lock(old)
        await asyncio.wait_for(old.fetchval("SELECT count(*) FROM mailboxes"), 10)
        assert not migrating.done()
    assert (await asyncio.wait_for(migrating, 30))[-1].name == "next"


async def _waits_for_a_lock(db: Database) -> None:
    while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"):
        await SystemClock().pause(0.01)


async def test_statement_prepared_before_a_migration_is_asked_again(old: Database) -> None:
    query = "SELECT * FROM plans"

    async def read_and_change() -> None:
        async with old.transaction() as connection:
            await connection.fetch(query)
            await connection.execute("ALTER TABLE plans ADD COLUMN fresh integer")
            await connection.fetch(query)

    with pytest.raises(DatabaseBusy, match="schema has just been changed"):
        await read_and_change()
    assert await old.fetch(query)
