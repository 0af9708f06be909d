"""Backups: whole or refused, never over anything, and the same rows afterwards."""

import datetime as dt
import errno
import gzip
import io
import os
import re
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.daemon.world import World
from warmupd.config import Config
from warmupd.daemon.explain import explain_mailbox
from warmupd.errors import SchemaError, UsageError
from warmupd.mail.vault import Vault
from warmupd.store import partitions, slots
from warmupd.store.backup import back_up, new_file
from warmupd.store.caps import cap_use, user_caps
from warmupd.store.database import Database
from warmupd.store.dump_file import DumpReader, TornFile
from warmupd.store.lineage import close_for_move
from warmupd.store.migrate import migrate
from warmupd.store.restore import _own_tables, read_dump, restore
from warmupd.store.sightings import find_parents

_SAME = """
SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t
"""


@pytest.fixture
async def world(db: Database) -> World:
    world = World(db, Vault([Vault.new_key()]))
    await partitions.make_partitions(db, await db.fetchval("SELECT current_date"))
    await world.enrol(5, labels=["tab\there", 'quo"te', "back\\slash", "n\new"])
    return world


@pytest.fixture
async def spare(more_databases: Callable[[], str]) -> AsyncIterator[Database]:
    async with await Database.open(more_databases(), pool_size=3, application_name="tests") as database:
        yield database


async def save(db: Database, file: Path) -> Path:
    with new_file(file, replace=False) as stream:
        await back_up(db, stream)
    return file


async def test_every_row_comes_back_as_it_was(world: World, spare: Database, tmp_path: Path) -> None:
    file = await save(world.db, tmp_path / "all")
    restored = await restore(spare, read_dump(file), zone="UTC", move=False)
    assert restored.left_out == []
    for table in ("users", "plans", "pools", "mailboxes", "proofs", "mailbox_visits", "notice_settings", "settings"):
        was, now = [await one.fetchval(_SAME.format(table=table)) for one in (world.db, spare)]
        assert was == now, table


async def test_triggers_are_on_again_and_ids_go_on(world: World, spare: Database, tmp_path: Path) -> None:
    await restore(spare, read_dump(await save(world.db, tmp_path / "all")), zone="UTC", move=False)
    world.db = spare
    (fresh,) = await world.enrol(1, proven=False)
    assert fresh == 6
    assert await spare.fetchval("SELECT count(*) FROM mailbox_pace") == 6


async def test_embedded_move_to_an_empty_server_makes_the_schema(
    world: World, empty_database_url: str, tmp_path: Path
) -> None:
    await close_for_move(world.db)
    dump = read_dump(await save(world.db, tmp_path / "move"))
    async with await Database.open(empty_database_url, pool_size=2, application_name="tests") as empty:
        assert (await restore(empty, dump, zone="UTC", move=True)).gap is None
        assert await empty.fetchval("SELECT count(*) FROM mailboxes") == 5
        assert await empty.fetchval("SELECT sending_stopped FROM settings") is False


async def test_file_is_for_its_owner_and_never_over_another(world: World, tmp_path: Path) -> None:
    file = await save(world.db, tmp_path / "all")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="exists"):
        await save(world.db, file)
    assert [one.name for one in tmp_path.iterdir()] == ["all"]


async def test_broken_off_backup_leaves_no_file(world: World, tmp_path: Path) -> None:
    async def interrupted() -> None:
        with new_file(tmp_path / "all", replace=False) as stream:
            stream.write(b"half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 1, 20, 0.3, 0.7, -9, -1])
async def test_torn_file_is_refused(world: World, tmp_path: Path, kept: float) -> None:
    whole = (await save(world.db, tmp_path / "all")).read_bytes()
    torn = tmp_path / "torn"
    torn.write_bytes(whole[: int(len(whole) * kept)] if isinstance(kept, float) else whole[:kept])
    with pytest.raises(TornFile, match="cannot be restored"):
        read_dump(torn)


async def test_changed_rows_are_noticed_though_the_archive_is_sound(world: World, tmp_path: Path) -> None:
    plain = gzip.decompress((await save(world.db, tmp_path / "all")).read_bytes())
    forged = tmp_path / "forged"
    forged.write_bytes(gzip.compress(plain.replace(b"@domain1.test", b"@domain9.test")))
    with pytest.raises(TornFile, match="not as they were written"):
        read_dump(forged)


@pytest.mark.parametrize(
    "content",
    [b"PGDMP", gzip.compress(b"SELECT 1", mtime=0), gzip.compress(b"warmupd backup 9\n", mtime=0)],
    ids=["pg_dump", "no backup", "later form"],
)
def test_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(TornFile, match="cannot be restored"):
        read_dump(tmp_path / "other")


async def test_database_in_use_is_not_touched(world: World, tmp_path: Path) -> None:
    file = await save(world.db, tmp_path / "all")
    with pytest.raises(UsageError, match="overwrites nothing"):
        await restore(world.db, read_dump(file), zone="UTC", move=False)
    assert await world.db.fetchval("SELECT count(*) FROM mailboxes") == 5


async def test_nothing_is_restored_under_a_living_worker(world: World, spare: Database, tmp_path: Path) -> None:
    dump = read_dump(await save(world.db, tmp_path / "all"))
    worker = await spare.fetchval("SELECT gen_random_uuid()")
    await slots.register_worker(spare, worker, name="still here", http_address="", version="", limits={}, at=None)
    with pytest.raises(UsageError, match="still here"):
        await restore(spare, dump, zone="UTC", move=False)
    assert await spare.fetchval("SELECT count(*) FROM users") == 0


async def test_nothing_moves_while_a_worker_lives(world: World) -> None:
    worker = await world.db.fetchval("SELECT gen_random_uuid()")
    await slots.register_worker(world.db, worker, name="still here", http_address="", version="", limits={}, at=None)
    with pytest.raises(UsageError, match="still here"):
        await close_for_move(world.db)
    assert await world.db.fetchval("SELECT sending_stopped FROM settings") is False


async def test_move_needs_a_backup_whose_database_was_closed(world: World, spare: Database, tmp_path: Path) -> None:
    dump = read_dump(await save(world.db, tmp_path / "all"))
    with pytest.raises(UsageError, match="was not closed"):
        await restore(spare, dump, zone="UTC", move=True)


async def test_restore_that_fails_leaves_the_database_empty(world: World, spare: Database, tmp_path: Path) -> None:
    dump = read_dump(await save(world.db, tmp_path / "all"))
    dump.path.write_bytes(dump.path.read_bytes()[:-200])  # it was whole when it was looked at
    with pytest.raises(TornFile):
        await restore(spare, dump, zone="UTC", move=False)
    assert await spare.fetchval("SELECT count(*) FROM users") == 0
    assert await spare.fetchval("SELECT count(*) FROM slots") == 64


async def test_backup_of_a_later_schema_is_refused(world: World, spare: Database, tmp_path: Path) -> None:
    await world.db.execute("INSERT INTO schema_migrations SELECT max(version) + 1, 'later', 'x' FROM schema_migrations")
    dump = read_dump(await save(world.db, tmp_path / "all"))
    with pytest.raises(SchemaError, match="newer than this program"):
        await restore(spare, dump, zone="UTC", move=False)


async def test_table_of_somebody_elses_is_left_out_by_name(world: World, spare: Database, tmp_path: Path) -> None:
    await world.db.execute("CREATE TABLE my_notes AS SELECT 'mine' AS note")
    restored = await restore(spare, read_dump(await save(world.db, tmp_path / "all")), zone="UTC", move=False)
    assert restored.left_out == ["my_notes"]


async def test_after_a_gap_the_caps_are_spent_for_an_hour_and_a_move_leaves_them(
    world: World, more_databases: Callable[[], str], tmp_path: Path
) -> None:
    dump = read_dump(await save(world.db, tmp_path / "all"))
    await close_for_move(world.db)
    moved = read_dump(await save(world.db, tmp_path / "move"))
    for one, moves, used in ((dump, False, 10_000), (moved, True, 0)):
        async with await Database.open(more_databases(), pool_size=2, application_name="tests") as spare:
            await restore(spare, one, zone="UTC", move=moves)
            now = await spare.fetchval("SELECT clock_timestamp()")
            found = {cap.cap: cap.used for cap in await cap_use(spare, at=now)}
            assert found["global_hour"] == used
            later = await cap_use(spare, at=now + dt.timedelta(minutes=62))
            assert {cap.used for cap in later} == {0}


async def test_what_was_sent_before_a_restore_is_not_answered(world: World, spare: Database, tmp_path: Path) -> None:
    sender, recipient, *_ = await world.db.fetchval("SELECT array_agg(id ORDER BY id) FROM mailboxes")
    key = await world.db.fetchrow(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,"
        " attempt_token, picked_at, send_by, completed_at, thread_seed, created_at)"
        " SELECT current_date, 'WARMUP', 'SENT', id, user_id, $2, current_date, now(), gen_random_uuid(), now(), now(),"
        " now(), 1, now() FROM mailboxes WHERE id = $1 RETURNING day, id",
        sender,
        recipient,
    )
    assert key is not None
    await restore(spare, read_dump(await save(world.db, tmp_path / "all")), zone="UTC", move=False)
    for db, before in ((world.db, False), (spare, True)):
        (parent,) = await find_parents(db, recipient, [(key["day"], key["id"])])
        assert parent.before_restore is before


async def test_explain_tells_that_the_day_is_that_of_a_restore(world: World, spare: Database, tmp_path: Path) -> None:
    await restore(spare, read_dump(await save(world.db, tmp_path / "all")), zone="UTC", move=False)
    at = await spare.fetchval("SELECT clock_timestamp()")
    (mailbox_id, *_) = await spare.fetchval("SELECT array_agg(id) FROM mailboxes")
    told = await explain_mailbox(spare, Config.isolated({}), mailbox_id, at=at)
    assert "a backup was restored" in str(told)


async def test_namesake_of_somebody_elses_table_is_let_be(world: World, spare: Database, tmp_path: Path) -> None:
    await world.db.execute("CREATE TABLE my_notes AS SELECT 'theirs' AS note")
    await migrate(spare)
    await spare.execute("CREATE TABLE my_notes AS SELECT 'mine' AS note")
    restored = await restore(spare, read_dump(await save(world.db, tmp_path / "all")), zone="UTC", move=False)
    assert restored.left_out == ["my_notes"]
    assert await spare.fetchval("SELECT note FROM my_notes") == "mine"


async def test_every_table_of_ours_is_known_as_such(db: Database) -> None:
    made = await db.fetchval(
        "SELECT array_agg(relname::text) FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = to_regnamespace(current_schema()) AND relname <> 'schema_migrations'"
    )
    assert set(made) == _own_tables(None)


class Full(io.BytesIO):
    """A file on a disk that has no room."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_full_disk_of_the_backup_is_told_by_its_name_and_not_as_the_databases(
    world: World, tmp_path: Path
) -> None:
    told = f"{tmp_path / 'all'} cannot be written: No space left on device"
    with pytest.raises(UsageError, match=re.escape(told)), new_file(tmp_path / "all", replace=False):
        await back_up(world.db, Full())
    assert list(tmp_path.iterdir()) == []


async def test_backup_needs_no_hard_links(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", none)
    assert read_dump(await save(world.db, tmp_path / "all")).rows["mailboxes"] == 5


def test_who_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"), new_file(tmp_path / "all", replace=False):
        (tmp_path / "all").write_bytes(b"theirs")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"theirs"]


def test_file_that_is_refused_is_closed(tmp_path: Path) -> None:
    (tmp_path / "torn").write_bytes(gzip.compress(b"something else", mtime=0))
    with gzip.open(tmp_path / "torn", "rb") as file:
        with patch("gzip.open", return_value=file), pytest.raises(TornFile):
            DumpReader(tmp_path / "torn")
        assert file.closed


async def test_caps_that_were_raised_since_are_spent_too(world: World, spare: Database, tmp_path: Path) -> None:
    await restore(spare, read_dump(await save(world.db, tmp_path / "all")), zone="UTC", move=False)
    await spare.execute("UPDATE settings SET global_per_hour = 1000000, user_per_hour = 1000000")
    now = await spare.fetchval("SELECT clock_timestamp()")
    assert {cap.used - cap.limit for cap in await cap_use(spare, at=now)} == {0}
    (one,) = [caps for caps in await user_caps(spare, at=now) if caps.used_hour]
    assert one.used_hour == 1000000
