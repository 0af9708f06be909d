import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from warmupd.errors import DatabaseUnavailable, SchemaError
from warmupd.store.database import Database
from warmupd.store.migrate import SchemaKind, check, migrate, read_migrations


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    async with await Database.open(empty_database_url, pool_size=8, application_name="tests") as opened:
        yield opened


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    """Two migrations; the second one needs the first."""
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE first (id int);\nCREATE VIEW seen AS SELECT id FROM first;\n"
    )
    (tmp_path / "0002_second.sql").write_text("INSERT INTO first VALUES (1);\n")
    (tmp_path / "README").write_text("not a migration")
    return tmp_path


async def test_an_empty_database_gets_all_in_order_and_then_none(empty: Database, sql: Path) -> None:
    assert [migration.file for migration in await migrate(empty, sql)] == ["0001_first.sql", "0002_second.sql"]
    assert await empty.fetchval("SELECT array_agg(name ORDER BY version) FROM schema_migrations") == ["first", "second"]
    assert await migrate(empty, sql) == []


async def test_only_what_is_missing_is_applied(empty: Database, sql: Path) -> None:
    await migrate(empty, sql)
    (sql / "0003_third.sql").write_text("INSERT INTO first VALUES (3)")
    assert [migration.version for migration in await migrate(empty, sql)] == [3]
    assert await empty.fetchval("SELECT array_agg(id) FROM first") == [1, 3]


async def test_eight_hosts_at_once_apply_each_migration_once(empty: Database, sql: Path) -> None:
    applied = await asyncio.gather(*(migrate(empty, sql) for _ in range(8)))
    assert sorted(migration.version for each in applied for migration in each) == [1, 2]
    assert await empty.fetchval("SELECT count(*) FROM first") == 1


async def test_check_tells_how_far_behind_and_changes_nothing(empty: Database, sql: Path) -> None:
    state = await check(empty, sql)
    assert (state.kind, state.version, len(state.pending)) == (SchemaKind.BEHIND, 0, 2)
    assert await empty.fetchval("SELECT to_regclass('schema_migrations')") is None
    with pytest.raises(SchemaError, match=r"schema 0, older than this program's 2 \(run `warmupd migrate`\)"):
        state.demand()
    await migrate(empty, sql)
    assert (await check(empty, sql)).kind is SchemaKind.UP_TO_DATE
    (await check(empty, sql)).demand()


async def test_a_failing_migration_leaves_nothing_and_names_file_and_line(empty: Database, sql: Path) -> None:
    (sql / "0002_second.sql").write_text("CREATE TABLE half (id int);\nSELECT 1;\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(SchemaError, match=r'0002_second.sql line 3 failed: relation "nowhere" does not exist'):
        await migrate(empty, sql)
    assert await empty.fetchval("SELECT to_regclass('half')") is None
    assert (await check(empty, sql)).version == 1, "what came before it stays"


async def test_a_first_migration_that_fails_leaves_the_database_empty(empty: Database, sql: Path) -> None:
    (sql / "0001_first.sql").write_text("CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises(SchemaError, match=r"0001_first.sql failed: division by zero"):
        await migrate(empty, sql)
    assert await empty.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


async def test_a_migration_that_loses_the_server_is_unavailable_not_faulty(empty: Database, sql: Path) -> None:
    (sql / "0002_second.sql").write_text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(DatabaseUnavailable):
        await migrate(empty, sql)


async def test_a_newer_database_is_refused_with_both_versions(empty: Database, sql: Path) -> None:
    await migrate(empty, sql)
    (sql / "0002_second.sql").unlink()
    with pytest.raises(SchemaError, match=r"schema 2, newer than this program, which knows 1 \(upgrade warmupd"):
        await migrate(empty, sql)
    assert (await check(empty, sql)).kind is SchemaKind.NEWER


async def test_somebody_else_s_database_is_refused_and_untouched(empty: Database, sql: Path) -> None:
    for name in ("orders", "customers", "invoices", "payments"):
        await empty.execute(f"CREATE TABLE {name} (id serial)")
    with pytest.raises(SchemaError, match=r"holds customers, invoices, orders and 5 more \(give warmupd an empty"):
        await migrate(empty, sql)
    assert await empty.fetchval("SELECT to_regclass('schema_migrations')") is None
    assert (await check(empty, sql)).kind is SchemaKind.FOREIGN


async def test_another_tool_s_schema_migrations_is_not_taken_for_ours(empty: Database, sql: Path) -> None:
    await empty.execute("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean)")
    with pytest.raises(SchemaError, match="holds schema_migrations"):
        await migrate(empty, sql)


async def test_a_schema_of_its_own_is_made_beside_foreign_tables(empty_database_url: str, sql: Path) -> None:
    url = f"{empty_database_url}&schema=Its own"
    async with await Database.open(url, pool_size=1, application_name="tests") as db:
        await db.execute("CREATE TABLE public.orders (id int)")
        assert len(await migrate(db, sql)) == 2
        assert await migrate(db, sql) == []
        assert await db.fetchval('SELECT count(*) FROM "Its own".first') == 1


async def test_what_an_extension_brought_does_not_make_a_database_foreign(empty: Database, sql: Path) -> None:
    try:
        await empty.execute("CREATE EXTENSION pg_stat_statements")
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError):
        pytest.skip("this Postgres has no pg_stat_statements")
    assert len(await migrate(empty, sql)) == 2


async def test_an_edited_migration_is_refused_by_name(empty: Database, sql: Path) -> None:
    await migrate(empty, sql)
    (sql / "0001_first.sql").write_text("CREATE TABLE first (id bigint);\n")
    with pytest.raises(SchemaError, match=r"migration 0001_first.sql is not what was applied"):
        await migrate(empty, sql)
    assert (await check(empty, sql)).kind is SchemaKind.EDITED


async def test_line_ends_of_a_checkout_are_no_edit(empty: Database, sql: Path) -> None:
    await migrate(empty, sql)
    for file in sql.glob("*.sql"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(empty, sql) == []


async def test_a_migration_that_was_skipped_is_not_slipped_in_later(empty: Database, sql: Path) -> None:
    await migrate(empty, sql)
    await empty.execute("DELETE FROM schema_migrations WHERE version = 1")
    with pytest.raises(SchemaError, match=r"0001_first.sql was never applied, though later ones were"):
        await migrate(empty, sql)


async def test_a_user_who_may_not_create_is_told_what_to_grant(
    empty: Database, empty_database_url: str, sql: Path
) -> None:
    await empty.execute("DROP ROLE IF EXISTS guest")
    await empty.execute("CREATE ROLE guest LOGIN")
    url = empty_database_url.replace("user=warmupd", "user=guest")
    async with await Database.open(url, pool_size=1, application_name="tests") as guest:
        with pytest.raises(SchemaError, match=r"permission denied for schema public \(make the user"):
            await migrate(guest, sql)
    await empty.execute("DROP ROLE guest")


@pytest.mark.parametrize("names", [["0002_second.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_c.sql"]])
def test_numbers_with_gaps_or_twice_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(SchemaError, match=r"stands where number \d+ belongs"):
        read_migrations(tmp_path)


def test_a_program_without_migrations_says_so(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"missing \(install warmupd again"):
        read_migrations(tmp_path)


def test_the_program_finds_its_own_migrations() -> None:
    assert read_migrations()[0].version == 1
