"""Real processes on one Postgres: one is killed, stopped or frozen, and the others go on in its place."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import asyncpg
import pytest

from tests.acceptance.conftest import Daemon, Program
from warmupd.sandbox.process import SandboxProcess

pytestmark = pytest.mark.acceptance

LEASE = 3  # seconds
AFTER_KILL = LEASE + 5.0
AFTER_STOP = 2.0

Start = Callable[..., Daemon]


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

    def begin(*arguments: str) -> Daemon:
        started.append(Daemon(on_postgres, *arguments))
        started[-1].wait_for("worker.started")
        return started[-1]

    yield begin
    for daemon in started:
        daemon.send(signal.SIGCONT)
        daemon.close()


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def shared_by(first: Daemon, second: Daemon) -> None:
    """Return when each holds half."""
    assert first.wait_for("lease.given_back")["slots"] == 32
    assert second.wait_for("lease.claimed")["slots"] == 32


def test_slots_of_a_killed_worker_are_taken_over_within_its_lease(join: Start) -> None:
    first, second = join(), join()
    shared_by(first, second)
    first.send(signal.SIGKILL)
    killed_at = time.monotonic()
    assert second.wait_for("lease.claimed")["slots"] == 32
    assert time.monotonic() - killed_at < AFTER_KILL


def test_slots_of_a_stopped_worker_are_taken_over_at_once(join: Start) -> None:
    first, second = join(), join()
    shared_by(first, second)
    stopped_at = time.monotonic()
    first.send(signal.SIGTERM)
    assert second.wait_for("lease.claimed")["slots"] == 32
    assert time.monotonic() - stopped_at < AFTER_STOP
    assert first.end() == 0


def test_worker_of_the_same_number_stands_by_and_takes_over(on_postgres: Program, join: Start) -> None:
    on_postgres.set("worker", "count = 2")
    first, second = join("--worker-id", "1"), join("--worker-id", "1")
    assert '"lease.standing_by"' in "\n".join(second.log)
    shown = on_postgres.json("fleet", "show")
    assert [(worker["slots"], worker["wants"]) for worker in shown["workers"]] == [(1, 1), (0, 1)]
    assert "stands by for slot 1" in on_postgres("status").stdout
    first.send(signal.SIGKILL)
    assert second.wait_for("lease.claimed")["slots"] == 1


def test_trigger_reaches_every_worker_within_two_seconds(on_postgres: Program, join: Start) -> None:
    first, second = join(), join()
    done = on_postgres("fleet", "trigger")
    told_at = time.monotonic()
    assert done.stdout == "told 2 running workers\n"
    for worker in (first, second):
        worker.wait_for("fleet.triggered")
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
    sending: Program,
    join: Start,
    mail_server: SandboxProcess,
    rows: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await rows.execute("UPDATE mailboxes SET ramp_days = 1")  # half a day to catch up
    await rows.execute("UPDATE proofs SET proven_at = now()")
    first, second = await asyncio.to_thread(join), await asyncio.to_thread(join)
    await asyncio.to_thread(first.wait_for, "send.sent")
    for frozen, other in ((first, second), (second, first)):  # whoever holds the mailboxes' slots, it is frozen once
        frozen.send(signal.SIGSTOP)
        await asyncio.to_thread(other.wait_for, "lease.claimed")
        frozen.send(signal.SIGCONT)
        await asyncio.to_thread(frozen.wait_for, "lease.lost")
        await asyncio.to_thread(frozen.wait_for, "lease.claimed")  # its share again
    taken = Counter(one.message_id for one in mail_server.record().taken)
    assert len(taken) >= 2
    assert set(taken.values()) == {1}
    over = await rows.fetchval("SELECT count(*) FROM mailbox_days WHERE sent > taken OR taken > quota")
    assert over == 0
