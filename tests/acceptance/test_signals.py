"""Signals at any moment: none is missed, none kills a process halfway, and no server holds a stop for ever."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.acceptance.conftest import PATIENCE, Daemon, Program
from tests.mail.certificates import Authority, make_authority
from tests.mail.fault_smtp import PASSWORD, Fault, FaultServer
from warmupd.cli.early import heed_early
from warmupd.cli.signals import Signals
from warmupd.store.database import Database

pytestmark = pytest.mark.acceptance

Start = Callable[..., Daemon]
HUP, TERM = signal.SIGHUP, signal.SIGTERM


# -- in one process ----------------------------------------------------------------------------------------------------


class Reloads:
    """Counts them; each ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.turn = asyncio.Semaphore(0)
        self.began = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        self.began.set()
        await self.turn.acquire()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def steps(many: int = 20) -> None:
    """Let the loop hear signals and go on."""
    for _ in range(many):
        await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(int))})


async def test_several_in_a_row_are_one_more_reload() -> None:
    reloads = Reloads()
    with Signals() as signals:
        signals.work(hurry=int, reload=reloads, longest=lambda: 60)
        send(HUP)
        await reloads.began.wait()
        for _ in range(5):
            send(HUP)
            await steps(2)
        reloads.turn.release()
        reloads.turn.release()
        await steps()
        assert reloads.begun == 2


async def test_one_during_the_start_waits_until_there_is_something_to_reload() -> None:
    before = signal.getsignal(HUP)
    try:
        heed_early()
        send(HUP)  # before there are Signals
        reloads = Reloads()
        with Signals() as signals:
            assert signals._asked
            signals.work(hurry=int, reload=reloads, longest=lambda: 60)
            await reloads.began.wait()
        with Signals() as later:
            assert not later._asked
    finally:
        signal.signal(HUP, before)


async def test_one_during_a_stop_does_nothing() -> None:
    reloads = Reloads()
    with Signals() as signals:
        signals.work(hurry=int, reload=reloads, longest=lambda: 60)
        send(TERM)
        await signals.stop.wait()
        send(HUP)
        await steps()
    assert reloads.begun == 0


async def test_second_one_hurries_once_and_a_hurried_stop_that_hangs_is_cut_off() -> None:
    said: list[str] = []
    cut = asyncio.Event()
    with Signals(cut_off=cut.set, hurried_within=0.01) as signals:
        signals.work(hurry=lambda: said.append("hurry"), reload=Reloads(), longest=lambda: 60)
        for _ in range(3):
            send(TERM)
            await steps(3)
        await asyncio.wait_for(cut.wait(), PATIENCE)
    assert said == ["hurry"]


async def test_a_stop_that_takes_too_long_is_hurried_without_being_told() -> None:
    hurried = asyncio.Event()
    with Signals() as signals:
        signals.work(hurry=hurried.set, reload=Reloads(), longest=lambda: 0.01)
        send(signal.SIGINT)
        await asyncio.wait_for(hurried.wait(), PATIENCE)


async def test_signals_mean_afterwards_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in (HUP, TERM, signal.SIGINT)]
    with Signals():
        pass
    assert [signal.getsignal(number) for number in (HUP, TERM, signal.SIGINT)] == before


async def test_a_start_is_broken_off_where_it_stands_and_cleans_up() -> None:
    ended: list[str] = []

    async def start() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")
        return "started"

    with Signals() as signals:
        starting = asyncio.ensure_future(signals.unless_stopped(start()))
        await steps(1)
        send(TERM)
        assert await starting is None
    assert ended == ["cleaned up"]


# -- whole programs ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def mute_server() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A server that accepts and says nothing: its port, and that somebody has connected."""
    connected = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], connected


@pytest.mark.parametrize(("command", "said"), [("run", "worker"), ("supervise", "supervisor")])
async def test_signals_while_the_database_is_waited_for(
    initialised: Program, start: Start, command: str, said: str
) -> None:
    initialised.set("logging", 'format = "json"')
    async with mute_server() as (port, connected):
        initialised.environment["DATABASE_URL"] = f"postgresql://me@127.0.0.1:{port}/none"
        daemon = start(command=command)
        await asyncio.wait_for(connected.wait(), PATIENCE)
        daemon.send(HUP)
        daemon.send(HUP)
        daemon.send(TERM)
        assert await asyncio.to_thread(daemon.end) == 0
        assert await asyncio.to_thread(daemon.wait_for, f"{said}.not_started")


async def test_a_stop_while_the_schema_is_brought_up_to_date(
    initialised: Program, start: Start, db: Database, database_url: str
) -> None:
    """Somebody else migrates and takes long."""
    initialised.set("logging", 'format = "json"')
    initialised.environment["DATABASE_URL"] = database_url
    async with db.transaction() as connection:
        await connection.execute("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
        daemon = start()
        while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"):
            pass
        daemon.send(HUP)
        daemon.send(TERM)
        assert await asyncio.to_thread(daemon.end) == 0
    assert await asyncio.to_thread(daemon.wait_for, "worker.not_started")


@pytest.fixture
def authority(tmp_path: Any) -> Authority:
    return make_authority(tmp_path)


def add(address: str, port: int, zone: str) -> tuple[str, ...]:
    smtp = ("--smtp-host", "127.0.0.1", "--smtp-port", str(port), "--smtp-security", "STARTTLS")
    imap = ("--imap-host", "127.0.0.1", "--imap-port", "1", "--imap-security", "TLS")
    user = ("--user", "admin@example.com", "--timezone", zone, "--no-check", "--password-stdin")
    return "mailbox", "add", address, *user, *smtp, *imap


@asynccontextmanager
async def hanging(program: Program, authority: Authority, zone: str, sending: str) -> AsyncIterator[FaultServer]:
    """A worker's two mailboxes, at a server that takes messages and never says so."""
    program.set("security", f'allow_hosts = ["127.0.0.1"]\nca_file = "{authority.ca_file}"')
    program.set("window", "start_hour = 0\nend_hour = 24")
    program.set("quota", "ramp_start = 2000\ntarget_daily = 2000")
    program.set("sending", f"max_concurrent = 1\n{sending}")
    program.set("spacing", "same_mailbox_min_minutes = 0.01\nsame_mailbox_max_minutes = 0.02")
    program.set("http", 'listen = "127.0.0.1:0"')
    program.set("logging", 'format = "json"')
    boxes = ["anna@north.test", "bert@south.test"]
    server = FaultServer(context=authority.server_context(), users=dict.fromkeys(boxes, PASSWORD))
    server.faults["dot"] = Fault("hang")
    async with server.running():
        for box in boxes:
            done = await asyncio.to_thread(program, *add(box, server.port, zone), stdin=PASSWORD)
            assert done.returncode == 0, done.stderr
        both = "WITH warm AS (UPDATE mailboxes SET ramp_days = 1) UPDATE proofs SET proven_at = now()"
        await asyncio.to_thread(program.execute, both)
        yield server


async def test_a_server_that_hangs_does_not_hold_a_stop_beyond_its_time_out(
    initialised: Program, start: Start, authority: Authority, noon_zone: str
) -> None:
    short = "body_timeout_seconds = 1\nreply_timeout_seconds = 1"
    async with hanging(initialised, authority, noon_zone, short) as server:
        daemon = start()
        await asyncio.wait_for(server.struck.wait(), PATIENCE)
        daemon.send(TERM)
        assert (await asyncio.to_thread(daemon.wait_for, "worker.draining"))["in_flight"] >= 1
        daemon.send(HUP)
        told = await asyncio.to_thread(daemon.wait_for, "send.unknown")
        assert await asyncio.to_thread(daemon.end) == 0
    await asyncio.to_thread(daemon.wait_for, "worker.stopped")
    assert told["job"]
    assert told["worker"].endswith(f":{daemon.pid}")
    assert told["shard"] == "auto"
    assert not [line for line in daemon.log if "config.reloaded" in line or "worker.hurried" in line]


async def test_second_signal_leaves_what_hangs_and_its_job_becomes_unknown(
    initialised: Program, start: Start, authority: Authority, noon_zone: str
) -> None:
    async with hanging(initialised, authority, noon_zone, "reply_timeout_seconds = 600") as server:
        daemon = start()
        await asyncio.wait_for(server.struck.wait(), PATIENCE)
        daemon.send(TERM)
        await asyncio.to_thread(daemon.wait_for, "worker.draining")
        daemon.send(TERM)
        assert (await asyncio.to_thread(daemon.wait_for, "worker.hurried"))["in_flight"] >= 1
        assert await asyncio.to_thread(daemon.end) == 0
        await asyncio.to_thread(initialised.execute, "UPDATE warmup_jobs SET send_by = now() - interval '1 day'")
        server.faults.clear()
        again = start()
        assert (await asyncio.to_thread(again.wait_for, "job.reaped"))["jobs"] >= 1
