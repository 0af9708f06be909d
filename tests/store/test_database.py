import asyncio
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from warmupd.errors import ConfigError, DatabaseBusy, DatabaseUnavailable, SchemaError
from warmupd.store import database, failures
from warmupd.store.binaries import find_binaries
from warmupd.store.database import Database
from warmupd.store.run_as import RunAs
from warmupd.store.target import Target

NOWHERE = "127.0.0.1:1"  # nobody listens on the port of tcpmux


class Server:
    """A Postgres on a TCP port, with a password."""

    def __init__(self, directory: Path, port: int) -> None:
        self.cluster = directory / "pgdata"
        self.port = port
        self.url = f"postgresql://warmupd:right-password@127.0.0.1:{port}/warmupd"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        process = self._launch()
        async with asyncio.timeout(30):
            while not await self._answers():
                assert process.poll() is None, (self.cluster / "log").read_text()

    def _launch(self) -> "subprocess.Popen[bytes]":
        command = [*RunAs.for_cluster(self.cluster).prefix, str(find_binaries().bin_dir / "postgres")]
        command += ["-D", str(self.cluster), "-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-F"]
        with (self.cluster / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        return self._process

    async def _answers(self) -> bool:
        try:
            await (await asyncpg.connect(self.url)).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)

    def kill(self) -> None:
        self.stop(signal.SIGQUIT)

    def signal(self, number: signal.Signals) -> None:
        """To the postmaster alone: sessions go on."""
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture
async def tcp_server(used_dir: Path, free_port: int) -> AsyncIterator[Server]:
    server = Server(used_dir, free_port)
    (server.cluster / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    await server.start()
    yield server
    server.stop()


@pytest.fixture
async def pair(tcp_server: Server) -> AsyncIterator[tuple[Server, Server]]:
    """A primary and, from a copy of it, a standby."""
    tcp_server.stop()
    twin = tcp_server.cluster.parent / "twin"
    shutil.copytree(tcp_server.cluster, twin / "pgdata")
    (twin / "pgdata" / "standby.signal").touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        standby = Server(twin, probe.getsockname()[1])
    await tcp_server.start()
    await standby.start()
    yield tcp_server, standby
    standby.stop()


@pytest.fixture
async def plain(empty_database_url: str) -> AsyncIterator[Database]:
    async with await _open(empty_database_url) as opened:
        yield opened


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word, like a server that was stopped with SIGSTOP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_helpers_give_rows_values_and_command_tags(plain: Database) -> None:
    assert await plain.execute("CREATE TABLE numbers (n int)") == "CREATE TABLE"
    assert await plain.execute("INSERT INTO numbers SELECT generate_series(1, $1::int)", 3) == "INSERT 0 3"
    assert [row["n"] for row in await plain.fetch("SELECT n FROM numbers ORDER BY n")] == [1, 2, 3]
    row = await plain.fetchrow("SELECT max(n) AS most FROM numbers")
    assert row is not None
    assert row["most"] == 3
    assert await plain.fetchval("SELECT count(*) FROM numbers") == 3


async def test_jsonb_goes_and_comes_as_python_objects(plain: Database) -> None:
    given = {"why": "ümlaut", "list": [1, None, {"deep": True}]}
    assert await plain.fetchval("SELECT $1::jsonb", given) == given
    assert await plain.fetchval("SELECT $1::json", given) == given
    assert await plain.fetchval("SELECT jsonb_typeof($1)", given) == "object"
    assert await plain.fetchval("SELECT $1::jsonb[]", [given, given]) == [given, given]


async def test_a_session_is_in_utc_has_our_name_and_forgets_no_transaction(plain: Database) -> None:
    names = "TimeZone", "application_name", "idle_in_transaction_session_timeout"
    shown = [await plain.fetchval("SELECT current_setting($1)", name) for name in names]
    assert shown == ["UTC", "tests", "1min"]


async def test_a_transaction_is_undone_by_an_error(plain: Database) -> None:
    await plain.execute("CREATE TABLE kept (id int)")
    with suppress(ZeroDivisionError):
        async with plain.transaction() as connection:
            await connection.execute("INSERT INTO kept VALUES (1)")
            raise ZeroDivisionError
    assert await plain.fetchval("SELECT count(*) FROM kept") == 0


async def test_an_open_transaction_does_not_stay_with_a_released_connection(empty_database_url: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # the driver reports what the caller forgot
    async with await _open(empty_database_url, pool_size=1) as db:
        async with db.acquire() as connection:
            await connection.execute("BEGIN; CREATE TABLE gone (id int)")
        assert await db.fetchval("SELECT to_regclass('gone')") is None


async def test_an_exhausted_pool_says_so_within_the_time_out(empty_database_url: str) -> None:
    async with await _open(empty_database_url, pool_size=1) as db, db.acquire():
        with pytest.raises(DatabaseUnavailable, match=r"no database connection became free within 0\.05 s"):
            async with db.acquire(within=0.05):
                pass


async def test_an_error_of_the_statement_stays_what_it_is(plain: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await plain.fetch("SELECT * FROM nowhere")


async def test_a_slow_statement_ends_at_the_command_time_out(empty_database_url: str) -> None:
    async with await _open(empty_database_url, command_timeout=0.1) as db:
        with pytest.raises(DatabaseUnavailable, match="no answer in time"):
            await db.execute("SELECT pg_sleep(60)")
        assert await db.fetchval("SELECT 1") == 1


async def test_work_goes_on_after_the_server_cut_every_connection(empty_database_url: str) -> None:
    async with await _open(empty_database_url, pool_size=3) as db:
        async with db.acquire() as one, db.acquire() as two:
            pids = [await one.fetchval("SELECT pg_backend_pid()"), await two.fetchval("SELECT pg_backend_pid()")]
        with pytest.raises(DatabaseUnavailable):
            await db.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid ORDER BY pid", pids)
        assert await db.fetchval("SELECT pg_backend_pid()") not in pids


async def test_a_demoted_primary_costs_one_error_and_every_pooled_connection(empty_database_url: str) -> None:
    async with await _open(empty_database_url, pool_size=2) as db:
        async with db.acquire() as one, db.acquire() as two:
            before = {await one.fetchval("SELECT pg_backend_pid()"), await two.fetchval("SELECT pg_backend_pid()")}
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            async with db.acquire() as connection:
                await connection.execute("BEGIN READ ONLY; CREATE TABLE refused (id int)")
        async with db.acquire() as one, db.acquire() as two:
            after = {await one.fetchval("SELECT pg_backend_pid()"), await two.fetchval("SELECT pg_backend_pid()")}
    assert not before & after


@pytest.mark.parametrize(
    "error",
    [
        OSError("gone"),
        TimeoutError(),
        ConnectionResetError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("got result for unknown protocol state"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CrashShutdownError("terminating connection"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.DiskFullError("could not extend file"),
    ],
)
def test_every_way_of_going_away_is_database_unavailable(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable), failures.reached():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        ValueError("not the database's fault"),
    ],
)
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)), failures.reached():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.SerializationError("could not serialize access"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    ],
)
def test_a_statement_that_lost_against_others_may_be_said_again(error: Exception) -> None:
    with pytest.raises(DatabaseBusy), failures.reached():
        raise error


async def test_a_silent_first_host_does_not_hide_the_second(tcp_server: Server, silent_port: int) -> None:
    began = time.monotonic()
    url = tcp_server.url.replace("@", f"@127.0.0.1:{silent_port},")
    async with await _open(url, connect_timeout=0.5) as db, db.acquire(), db.acquire(within=0.4):
        pass  # in time, because the second connection remembers who served last
    assert time.monotonic() - began < 5


async def test_a_refused_first_host_does_not_hide_the_second(tcp_server: Server) -> None:
    async with await _open(tcp_server.url.replace("@", f"@{NOWHERE},")) as db:
        assert await db.fetchval("SELECT 1") == 1


async def test_when_no_host_answers_each_is_named_with_its_reason(silent_port: int) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await _open(f"postgresql://me:hush@{NOWHERE},127.0.0.1:{silent_port}/db", connect_timeout=0.2)
    said = str(caught.value)
    assert f"{NOWHERE}: " in said
    assert f"127.0.0.1:{silent_port}: no answer within 0.2 s" in said
    assert "hush" not in said


@pytest.mark.parametrize("within", ["acquire", "transaction"])
async def test_a_server_that_falls_silent_hides_no_cancellation(tcp_server: Server, within: str) -> None:
    asked = asyncio.Event()

    async def wait() -> None:
        async with getattr(db, within)() as connection:
            tcp_server.signal(signal.SIGSTOP)  # nobody takes the request to cancel, and the session sleeps on
            asked.set()
            await connection.execute("SELECT pg_sleep(60)")

    async with await _open(tcp_server.url, connect_timeout=0.3) as db:
        waiting = asyncio.create_task(wait())
        await asked.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        tcp_server.signal(signal.SIGCONT)
        assert waiting.cancelled()
        assert await db.fetchval("SELECT 1") == 1


async def test_a_standby_is_passed_over_unless_it_will_do(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    url = f"postgresql://warmupd:right-password@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/warmupd"
    async with await _open(url) as db:
        assert await db.fetchval("SELECT inet_server_port()") == primary.port
    async with await _open(url, standby_ok=True) as db:
        assert await db.fetchval("SELECT inet_server_port()") == standby.port
    with pytest.raises(DatabaseUnavailable, match=f"{standby.port}: is a standby, not the primary"):
        await _open(standby.url)


async def test_an_open_pool_follows_a_failover(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    url = f"postgresql://warmupd:right-password@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/warmupd"
    async with await _open(url) as db, await _open(standby.url, standby_ok=True) as elsewhere:
        primary.kill()
        await elsewhere.execute("SELECT pg_promote()")
        with suppress(DatabaseUnavailable):  # one may still be lost on a dead connection
            await db.execute("SELECT 1")
        assert await db.fetchval("SELECT inet_server_port()") == standby.port


async def test_a_server_that_is_too_old_is_refused_with_the_remedy(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "OLDEST_SERVER", 99)
    with pytest.raises(SchemaError, match=r"too old for warmupd \(upgrade it to PostgreSQL 99 or newer\)"):
        await _open(empty_database_url)


async def test_a_wrong_password_is_said_without_the_password(tcp_server: Server) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await _open(tcp_server.url.replace("right-password", "wrong-password"))
    assert "password authentication failed" in str(caught.value)
    assert "check the user and the password" in str(caught.value)
    assert "wrong-password" not in str(caught.value)


async def test_a_missing_database_is_said_with_the_remedy(postgres: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r'database "nowhere" does not exist \(create the database'):
        await _open(postgres.replace("///warmupd", "///nowhere"))


async def test_prisma_s_schema_becomes_the_search_path(empty_database_url: str) -> None:
    async with await _open(f"{empty_database_url}&schema=own") as db:
        assert await db.fetchval("SELECT current_setting('search_path')") == '"own"'
    async with await _open(f"{empty_database_url}&schema=public&connection_limit=5") as db:
        assert db.schema is None
        assert await db.fetchval("SELECT current_schema()") == "public"


async def test_behind_a_pooler_nothing_is_prepared_by_name_or_set_at_start(empty_database_url: str) -> None:
    async with await _open(f"{empty_database_url}&pgbouncer=true") as db, db.acquire() as connection:
        assert await connection.fetchval("SELECT $1::jsonb", {"a": 1}) == {"a": 1}
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
        assert await connection.fetchval("SELECT current_setting('idle_in_transaction_session_timeout')") == "0"


async def test_a_schema_that_a_pooler_cannot_choose_is_refused(empty_database_url: str) -> None:
    with pytest.raises(SchemaError, match=r"ALTER ROLE \.\.\. SET search_path"):
        await _open(f"{empty_database_url}&pgbouncer=true&schema=own")


async def test_close_cuts_connections_that_are_not_given_back(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_CLOSE_SECONDS", 0.05)
    db = await _open(empty_database_url)
    async with db.acquire():
        await db.close()
    with pytest.raises(DatabaseUnavailable, match="pool is closed"):
        await db.execute("SELECT 1")


def test_hosts_ports_and_escapes_of_a_url_are_read() -> None:
    target = Target.parse(
        "postgres://me%40x:p%2Fw%3A@one:1,[::1],three/my%20db?port=6&sslmode=require&connect_timeout=9"
    )
    assert target.hosts == (("one", 1), ("::1", 6), ("three", 6))
    assert (target.user, target.password, target.database) == ("me@x", "p/w:", "my db")
    assert target.options == (("sslmode", "require"),)
    assert target.label(1) == "::1:6"


def test_a_socket_directory_and_a_url_without_host_are_read() -> None:
    assert Target.parse("postgresql:///db?host=/run/pg&port=6").hosts == (("/run/pg", 6),)
    assert Target.parse("postgresql://me@/db").label(0) == "the local socket"
    assert Target.parse("postgresql://%2Frun%2Fpg/db").hosts == (("/run/pg", 5432),)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hush@host/db",
        "postgresql://me:hu/sh@host/db",
        "postgresql://me:hu#sh@host/db",
        "postgresql://me:hu?sh@host/db",
        "postgresql://me:hush@host:port/db",
        "postgresql://me:hush@one,two/db?port=1,2,3",
        "postgresql://me:hush@host/db?statement_cache_size=hush",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="the database URL cannot be used") as caught:
        Target.parse(url)
    assert not {"hu", "sh", "hush"} & set(json.dumps(str(caught.value)).replace(":", " ").split())
    assert "hush" not in str(caught.value)


def test_a_target_does_not_show_its_password() -> None:
    assert "hush" not in repr(Target.parse("postgresql://me:hush@host/db"))


async def _open(
    url: str,
    *,
    pool_size: int = 2,
    connect_timeout: float = 5.0,
    command_timeout: float = 30.0,
    standby_ok: bool = False,
) -> Database:
    return await Database.open(
        url,
        pool_size=pool_size,
        application_name="tests",
        connect_timeout=connect_timeout,
        command_timeout=command_timeout,
        standby_ok=standby_ok,
    )
