"""What others change takes effect at once where notifications are heard, and soon where they are not.

The looks of every two seconds are an hour apart here, unless a test says otherwise: what is found sooner was heard.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tests.daemon.rig import Rig, after
from warmupd.clock import SystemClock
from warmupd.core.mailbox import MailboxState
from warmupd.daemon import app, hints
from warmupd.daemon.app import Worker
from warmupd.errors import DatabaseUnavailable
from warmupd.store.fleet import set_sending, trigger
from warmupd.store.slots import post_limits

PROMISED = 2.0  # seconds until a change has taken effect


async def soon(effect: Callable[[], bool], within: float = PROMISED) -> None:
    async with asyncio.timeout(within):
        while not effect():
            await SystemClock().pause(0.005)


def listening(worker: Worker) -> Callable[[], bool]:
    return lambda: worker.hints._listener is not None and worker.hints._listener.up


async def test_mailbox_that_is_added_paused_or_changed_is_heard_of(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running(listens=True) as worker:
        await soon(listening(worker), 10)
        book = worker.shard.schedule.book
        (late,) = await rig.world.enrol(1, quota=2, end_hour=12)
        await soon(lambda: late in book.mailboxes)
        await rig.world.change([box], target_daily=7)
        await soon(lambda: book.mailboxes[box].ramp.target == 7)
        await rig.world.change([box], state="PAUSED")
        await soon(lambda: book.mailboxes[box].state is MailboxState.PAUSED)


async def test_added_mailbox_sends_without_the_clock_having_to_reach_a_look(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running(listens=True) as worker:
        await soon(listening(worker), 10)
        late = await rig.world.enrol(1, quota=2, end_hour=12)
        await soon(lambda: late[0] in worker.shard.schedule.book.mailboxes)
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes + late) == [2] * 3


async def test_looks_find_what_a_killed_listener_missed_and_it_comes_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(app, "WATCH_EVERY", 0.05)
    async with rig.running(listens=True) as worker:
        await soon(listening(worker), 10)
        listener = worker.hints._listener
        assert listener is not None
        connect = listener._source.connect

        async def refuse() -> None:
            raise DatabaseUnavailable("is away")

        monkeypatch.setattr(listener._source, "connect", refuse)
        await kill_listeners(rig)
        await soon(lambda: not listener.up)
        (late,) = await rig.world.enrol(1, quota=2, end_hour=12)
        await soon(lambda: late in worker.shard.schedule.book.mailboxes)
        assert not listener.up
        monkeypatch.setattr(listener._source, "connect", connect)
        await soon(lambda: listener.up, 10)
    told = [e["event"] for e in log if e["event"].endswith("listening")]
    assert told == ["database.listening", "database.not_listening", "database.listening"]


async def test_change_while_the_listener_was_away_is_found_when_it_is_back(rig: Rig) -> None:
    async with rig.running(listens=True) as worker:
        await soon(listening(worker), 10)
        await kill_listeners(rig)
        (late,) = await rig.world.enrol(1, quota=2, end_hour=12)
        await soon(lambda: late in worker.shard.schedule.book.mailboxes)


async def test_lost_notifications_are_made_up_for_by_looking(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "WATCH_EVERY", 0.02)
    monkeypatch.setattr(hints, "LOOK_EVERY", 0.05)
    await rig.db.execute("ALTER TABLE mailboxes DISABLE TRIGGER mailboxes_changed")
    async with rig.running(listens=True) as worker:
        await soon(listening(worker), 10)
        (late,) = await rig.world.enrol(1, quota=2, end_hour=12)
        await soon(lambda: late in worker.shard.schedule.book.mailboxes)
        assert listening(worker)()


async def test_looks_are_rarer_while_notifications_are_heard(rig: Rig) -> None:
    async with rig.running(listens=True) as worker:
        await soon(listening(worker), 10)
        worker.hints._mailboxes.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await worker.hints.due(0.01)


@pytest.mark.parametrize("heard", [True, False])
async def test_start_of_the_fleet_ends_the_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch, heard: bool) -> None:
    if not heard:
        monkeypatch.setattr(app, "FLEET_EVERY", 0.05)
    await rig.world.enrol(3, quota=9, end_hour=12)
    await set_sending(rig.db, stopped=True, actor="test", at=rig.clock.now())
    async with rig.running(listens=heard) as worker:
        await soon(lambda: listening(worker)() or not heard, 10)
        await rig.until(after(8))
        assert worker.shard.schedule.holds.everybody_waits(rig.clock.now())
        await set_sending(rig.db, stopped=False, actor="test", at=rig.clock.now())
        holds = worker.shard.schedule.holds
        await soon(lambda: holds.everybody_waits(rig.clock.now()) is None)  # the clock stands still
        await rig.until(after(8.5))
    assert rig.server.tries != []


async def test_slots_that_are_given_back_are_claimed_at_once(rig: Rig) -> None:
    first, second = rig.build({}), rig.build({}, listens=True)
    await rig.start(first)
    stop, started = asyncio.Event(), asyncio.Event()
    ended = asyncio.create_task(second.run(stop, started=started))
    try:
        await started.wait()
        await soon(listening(second), 10)
        await rig.halt()
        await soon(lambda: len(second.leases.held) == 64)  # the clock stands still
    finally:
        stop.set()
        await ended


async def test_work_itself_tells_nobody(rig: Rig, database_url: str) -> None:
    """A notification takes a lock of the whole server: none for reserves, settlements, renewals and opened days."""
    heard: list[tuple[str, str]] = []
    connection = await asyncpg.connect(database_url)
    await rig.world.enrol(3, quota=4, end_hour=12)
    for channel in ("warmupd_mailbox", "warmupd_fleet"):
        await connection.add_listener(channel, lambda _, __, name, payload: heard.append((name, payload)))
    async with rig.running():
        await rig.until(after(12.5))
        await connection.execute("SELECT")
        assert set(heard) <= {("warmupd_fleet", "workers"), ("warmupd_fleet", "limits")}
        assert len(heard) <= 2
    await connection.close()


async def test_fleet_is_told_what_changed(rig: Rig, database_url: str) -> None:
    heard: list[str] = []
    connection = await asyncpg.connect(database_url)
    await connection.add_listener("warmupd_fleet", lambda _, __, ___, payload: heard.append(str(payload)))
    limits = {"global_per_hour": 9, "global_per_minute": 9, "user_per_hour": 9, "user_per_minute": 9}
    limits |= {"mailbox_gap_seconds": 9, "send_within_seconds": 9, "slack_seconds": 9}
    await set_sending(rig.db, stopped=True, actor="test", at=rig.clock.now())
    await set_sending(rig.db, stopped=False, actor="test", at=rig.clock.now())
    await post_limits(rig.db, limits)
    await post_limits(rig.db, limits)
    await rig.db.execute("UPDATE settings SET worker_count = 8")
    await trigger(rig.db, actor="test", at=rig.clock.now())
    worker = rig.build({}).leases
    for _ in range(2):  # again, as SIGHUP has it: nothing that others go by has changed
        await worker.register()
    await worker.release()
    await connection.execute("SELECT")
    await connection.close()
    assert heard == ["stop", "start", "limits", "slots", "trigger", "workers", "workers"]


async def test_row_that_is_written_without_a_change_tells_nobody(rig: Rig, database_url: str) -> None:
    heard: list[str] = []
    boxes = await rig.world.enrol(2)
    connection = await asyncpg.connect(database_url)
    await connection.add_listener("warmupd_mailbox", lambda _, __, ___, payload: heard.append(str(payload)))
    await rig.db.execute("UPDATE mailboxes SET health = 'WATCH', changed_at = changed_at")
    await rig.world.change(boxes[:1], target_daily=7)
    await connection.execute("SELECT")
    await connection.close()
    assert heard == [str(boxes[0])]


async def kill_listeners(rig: Rig) -> None:
    killed = await rig.db.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'warmupd listen' AND datname = current_database()"
    )
    assert killed
