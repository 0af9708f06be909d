"""Real processes on one Postgres: one is killed, stopped or frozen, and the others go on in its place."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeAlias

import asyncpg
import pytest

from tests.acceptance.conftest import PATIENCE, Daemon, Program
from warmupd.clock import SystemClock
from warmupd.sandbox.process import SandboxProcess

pytestmark = pytest.mark.acceptance

LEASE = 3  # seconds
AFTER_KILL = LEASE + 5.0
AFTER_STOP = 2.0

SHARES = (
    "SELECT array_agg(held ORDER BY held) FROM (SELECT count(*) AS held FROM slots"
    " WHERE lease_until > clock_timestamp() GROUP BY owner) AS holders"
)

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Start = Callable[..., Awaitable[Daemon]]


@pytest.fixture
def on_postgres(initialised: Program, database_url: str) -> Program:
    """An installation whose workers share a real Postgres."""
    initialised.environment["DATABASE_URL"] = database_url
    for section, lines in (
        ("worker", f"lease_seconds = {LEASE}"),
        ("http", 'listen = "127.0.0.1:0"'),
        ("logging", 'format = "json"'),
    ):
        initialised.set(section, lines)
    return initialised


@pytest.fixture
def join(on_postgres: Program) -> Iterator[Start]:
    """Starts one more worker; none outlives the test."""
    started: list[Daemon] = []

    async def begin(*arguments: str) -> Daemon:
        started.append(Daemon(on_postgres, *arguments))
        await asyncio.to_thread(started[-1].wait_for, "worker.started")
        return started[-1]

    yield begin
    for daemon in started:
        daemon.send(signal.SIGCONT)
        daemon.close()


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def become(rows: Rows, shares: list[int]) -> float:
    """Return when slots are held so, the fewest first: the table says, whatever the workers believe. When that was."""
    await until(rows, SHARES, shares)
    return time.monotonic()


async def until(rows: Rows, query: str, value: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while await rows.fetchval(query) != value:
            await SystemClock().pause(0.02)


async def test_slots_of_a_killed_worker_are_taken_over_within_its_lease(join: Start, rows: Rows) -> None:
    first, _ = await join(), await join()
    await become(rows, [32, 32])
    first.send(signal.SIGKILL)
    killed_at = time.monotonic()
    assert await become(rows, [64]) - killed_at < AFTER_KILL


async def test_slots_of_a_stopped_worker_are_taken_over_at_once(join: Start, rows: Rows) -> None:
    first, _ = await join(), await join()
    await become(rows, [32, 32])
    stopped_at = time.monotonic()
    first.send(signal.SIGTERM)
    assert await become(rows, [64]) - stopped_at < AFTER_STOP
    assert await asyncio.to_thread(first.end) == 0


async def test_worker_of_the_same_number_stands_by_and_takes_over(on_postgres: Program, join: Start) -> None:
    on_postgres.set("worker", "count = 2")
    first, second = await join("--worker-id", "1"), await join("--worker-id", "1")
    await asyncio.to_thread(second.wait_for, "lease.standing_by")
    shown = await asyncio.to_thread(on_postgres.json, "fleet", "show")
    assert [(worker["slots"], worker["wants"]) for worker in shown["workers"]] == [(1, 1), (0, 1)]
    assert "stands by for slot 1" in (await asyncio.to_thread(on_postgres, "status")).stdout
    first.send(signal.SIGKILL)
    assert (await asyncio.to_thread(second.wait_for, "lease.claimed"))["slots"] == 1


async def test_trigger_reaches_every_worker_within_two_seconds(on_postgres: Program, join: Start) -> None:
    workers = await join(), await join()
    done = await asyncio.to_thread(on_postgres, "fleet", "trigger")
    told_at = time.monotonic()
    assert done.stdout == "told 2 running workers\n"
    for worker in workers:
        await asyncio.to_thread(worker.wait_for, "fleet.triggered")
    assert time.monotonic() - told_at < AFTER_STOP


@pytest.fixture
async def sending(on_postgres: Program, mail_server: SandboxProcess, servers: list[str], noon_zone: str) -> Program:
    """With two mailboxes that send by the second."""
    on_postgres.set("security", f'allow_hosts = ["127.0.0.1"]\nca_file = "{mail_server.ca_file}"')
    on_postgres.set("window", "start_hour = 0\nend_hour = 14")
    on_postgres.set("quota", "ramp_start = 2000\ntarget_daily = 2000")
    on_postgres.set("spacing", "same_mailbox_min_minutes = 0.01\nsame_mailbox_max_minutes = 0.02")
    on_postgres.set("limits", "user_per_hour = 5000\nuser_per_minute = 5000")

    def enrol() -> None:
        commands = [(("migrate",), ""), (("user", "add", "owner@example.com", "--timezone", noon_zone), "")]
        for name, side in (("anna", "north"), ("bert", "south")):
            add = ("mailbox", "add", f"{name}@{side}.test", "--user", "owner@example.com")
            commands.append(((*add, "--password-stdin", *servers), f"pw-{name}"))
        for command, stdin in commands:
            done = on_postgres(*command, stdin=stdin)
            assert done.returncode == 0, done.stderr

    await asyncio.to_thread(enrol)
    return on_postgres


async def test_frozen_worker_that_wakes_up_sends_nothing_twice(
    sending: Program, join: Start, mail_server: SandboxProcess, rows: Rows
) -> None:
    await rows.execute("UPDATE mailboxes SET ramp_days = 1")  # half a day to catch up
    await rows.execute("UPDATE proofs SET proven_at = now()")
    workers = await join(), await join()
    await until(rows, "SELECT count(*) > 1 FROM warmup_jobs WHERE status = 'SENT'", True)
    for frozen in workers:  # whoever holds the mailboxes' slots, it is frozen once
        await become(rows, [32, 32])
        frozen.send(signal.SIGSTOP)
        await become(rows, [64])
        frozen.send(signal.SIGCONT)
        await asyncio.to_thread(frozen.wait_for, "lease.lost")
    await become(rows, [32, 32])
    taken = Counter(one.message_id for one in mail_server.record().taken)
    assert len(taken) >= 2
    assert set(taken.values()) == {1}
    over = await rows.fetchval("SELECT count(*) FROM mailbox_days WHERE sent > taken OR taken > quota")
    assert over == 0
