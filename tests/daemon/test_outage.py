"""Postgres goes away, in all the ways it can: nothing is sent meanwhile, nothing twice, and all resumes by itself."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.model import OK, Answer, Gate, says
from tests.daemon.rig import BEGIN, PATIENCE, Rig, after
from warmupd.clock import VirtualClock
from warmupd.core.reply import Phase
from warmupd.store import days
from warmupd.store.database import Connection, Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.evidence import keep_evidence
from warmupd.store.migrate import migrate


async def all_sent_once(rig: Rig, boxes: list[int], quota: int) -> None:
    assert await rig.world.sent(boxes) == [quota] * len(boxes)
    assert set(Counter(one.message_id for one in rig.server.taken).values()) == {1}
    assert (await rig.violations()).total == 0


async def test_two_hours_without_postgres(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=14)
    async with rig.running({"worker.lease_seconds": 600}, db=flaky):
        await rig.until(after(8))
        before = len(rig.server.tries)
        flaky.away = True
        for _ in range(24):
            rig.clock.advance(300)
            flaky.refused.clear()
            await asyncio.wait_for(flaky.refused.wait(), PATIENCE)
        assert len(rig.server.tries) == before
        flaky.away = False
        await rig.until(after(14.5))
    await all_sent_once(rig, boxes, 8)


async def test_after_four_hours_without_postgres_not_all_begin_at_once(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = [box for _ in range(8) for box in await rig.world.enrol(5, quota=8, ramp_days=5)]
    async with rig.running({"worker.lease_seconds": 600}, db=flaky):
        await rig.until(after(9))
        before = len(rig.server.taken)
        flaky.away = True
        for _ in range(8):
            rig.clock.advance(1800)
            flaky.refused.clear()
            await asyncio.wait_for(flaky.refused.wait(), PATIENCE)
        flaky.away = False
        await rig.until(after(13) + dt.timedelta(minutes=10))
        assert len(rig.server.taken) - before <= 12
        await rig.until(after(22.5))
    await all_sent_once(rig, boxes, 8)


async def test_lost_answer_of_reserve_is_asked_for_again(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    async with rig.running(db=flaky):
        flaky.loses, flaky.times = "reserve_sends", 2
        await rig.until(after(9.5))
    assert flaky.batches[0] == flaky.batches[1] == flaky.batches[2] != flaky.batches[3]
    assert [row["attempts"] for row in await rig.world.days(boxes)] == [4] * 3
    await all_sent_once(rig, boxes, 4)


async def test_lost_answer_of_settle_counts_once(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    async with rig.running(db=flaky):
        flaky.loses, flaky.times = "settle_sends", 3
        await rig.until(after(9.5))
    await all_sent_once(rig, boxes, 4)


async def test_outcome_waits_in_memory_until_postgres_is_back(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    gate = Gate()
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=gate)
    async with rig.running(db=flaky):
        await rig.until_tried(1)
        flaky.away = True
        gate.set()
        await asyncio.wait_for(flaky.refused.wait(), PATIENCE)
        assert await rig.world.statuses() == {"PROCESSING": 1}
        flaky.away = False
        await rig.calm()
        assert await rig.world.statuses() == {"SENT": 1}
        await rig.until(after(9.5))
    await all_sent_once(rig, boxes, 2)


async def test_days_that_could_not_be_opened_are_opened_a_moment_later(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(5, quota=3, end_hour=9)
    async with rig.running(db=flaky):
        flaky.deaf_to, flaky.times = "open_mailbox_days", 2
        await rig.until(after(9.5))
        assert not flaky.times
    await all_sent_once(rig, boxes, 3)


async def test_request_taken_beside_a_day_that_could_not_be_opened_is_not_forgotten(
    rig: Rig, flaky: FlakyDatabase
) -> None:
    early = await rig.world.enrol(1, quota=3, end_hour=9)
    late = await rig.world.enrol(1, quota=3, start_hour=7, end_hour=9)
    async with rig.running(db=flaky) as worker:
        await rig.until(after(6.99))
        flaky.deaf_to, flaky.times = "open_mailbox_days", 1
        worker.shard.schedule.push(early[0], after(7))
        await rig.until(after(9.5))
        assert not flaky.times
    await all_sent_once(rig, early + late, 3)


async def test_job_whose_accounts_cannot_be_read_goes_back(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(3, quota=3, end_hour=9)
    async with rig.running(db=flaky):
        flaky.deaf_to, flaky.times = "accounts_of", 1
        await rig.until(after(9.5))
        assert not flaky.times
    assert [row["attempts"] for row in await rig.world.days(boxes)] == [3] * 3
    await all_sent_once(rig, boxes, 3)


async def test_place_that_is_given_back_while_days_are_read_is_not_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    refusal, was_read, settled = Gate(), asyncio.Event(), asyncio.Event()
    rig.server.rule = lambda account, message: replace(says(550, phase=Phase.BODY), gate=refusal)
    async with rig.running({"housekeeping.resync_minutes": 1440}) as worker:
        await rig.until_tried(1)
        load_days, hear = days.load_days, worker.settler._on_settled

        async def load_slowly(*args: Any) -> Any:
            loaded = await load_days(*args)
            was_read.set()
            await settled.wait()
            return loaded  # as they were before the refusal

        async def hear_settled(*args: Any) -> None:
            await hear(*args)
            settled.set()

        monkeypatch.setattr(days, "load_days", load_slowly)
        worker.settler._on_settled = hear_settled
        worker.shard.knock(everything=True)
        await was_read.wait()
        rig.server.rule = lambda account, message: OK
        refusal.set()
        await rig.until(after(9.5))
    await all_sent_once(rig, boxes, 1)


async def test_renewal_that_fails_is_tried_again_at_once(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    async with rig.running({"worker.lease_seconds": 600}, db=flaky) as worker:
        epochs = dict(worker.leases.held)
        flaky.deaf_to, flaky.times = "SET lease_until", 4  # more than there are renewals in a lease
        await rig.until(after(9.5))
        assert worker.leases.held == epochs
    await all_sent_once(rig, boxes, 2)


async def test_lease_that_ran_out_in_the_outage_is_claimed_anew(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=12)
    async with rig.running({"worker.lease_seconds": 600}, db=flaky) as worker:
        await rig.until(after(7))
        epochs = dict(worker.leases.held)
        flaky.away = True
        rig.clock.advance(700)
        await asyncio.wait_for(flaky.refused.wait(), PATIENCE)
        assert not worker.leases.trusted
        flaky.away = False
        await rig.until(after(12.5))
        assert min(worker.leases.held.values()) > max(epochs.values())
    await all_sent_once(rig, boxes, 6)


async def test_connections_that_are_cut_all_day_long(rig: Rig, database_url: str, log: list[dict[str, Any]]) -> None:
    boxes = await rig.world.enrol(4, quota=6, end_hour=8)
    stormy = await CountingDatabase.open(database_url, pool_size=6, application_name="stormy")
    async with stormy, rig.running(db=stormy):
        storm = asyncio.create_task(cut_after_some_answers(database_url, stormy))
        await rig.until(after(8.5))
        storm.cancel()
        await asyncio.gather(storm, return_exceptions=True)
    assert any(event["event"] == "database.unavailable" for event in log)
    await all_sent_once(rig, boxes, 6)


async def test_work_resumes_after_seconds_in_which_nothing_got_through(rig: Rig, database_url: str) -> None:
    boxes = await rig.world.enrol(4, quota=6, end_hour=8)
    stormy = await CountingDatabase.open(database_url, pool_size=6, application_name="stormy")
    async with stormy, rig.running(db=stormy):
        await rig.until(after(6.5))
        storm = asyncio.create_task(cut_twenty_times_a_second(database_url, times=60))
        living = asyncio.create_task(rig.until(after(8.5)))
        assert await storm
        await living
    await all_sent_once(rig, boxes, 6)


class CountingDatabase(Database):
    """Tells when so many more statements were answered."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answered = asyncio.Semaphore(0)

    async def answers(self, number: int) -> None:
        for _ in range(number):
            await self._answered.acquire()

    @asynccontextmanager
    async def acquire(self, *, within: float | None = None) -> AsyncIterator[Connection]:
        async with super().acquire(within=within) as connection:
            yield connection
        self._answered.release()


CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'stormy'"


async def cut_after_some_answers(url: str, stormy: CountingDatabase) -> None:
    """All connections, after so few answers as leave what reads several rows now and then unfinished.

    Not by the clock: a statement on a new connection can take as long as there is between two cuts.
    """
    rng = Random(7)
    connection = await asyncpg.connect(url)
    try:
        while True:
            await stormy.answers(rng.randint(1, 12))
            await connection.execute(CUT)
    finally:
        await connection.close()


async def cut_twenty_times_a_second(url: str, *, times: int) -> int:
    """How many connections were cut."""
    cut = 0
    connection = await asyncpg.connect(url)
    try:
        for _ in range(times):
            cut += await connection.fetchval(CUT)
            await asyncio.sleep(0.05)  # the fault itself is twenty a second, in the time that Postgres lives in
    finally:
        await connection.close()
    return cut


async def test_postgres_is_restarted(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, fsync=False)
    await server.start()
    try:
        async with await Database.open(server.url, pool_size=6, application_name="tests") as db:
            await migrate(db)
            await keep_evidence(db)
            rig = Rig(db, VirtualClock(BEGIN))
            boxes = await rig.world.enrol(3, quota=4, end_hour=9)
            async with rig.running():
                await rig.until(after(7))
                await server.stop()
                rig.clock.advance(600)
                await server.start()
                await rig.until(after(9.5))
            await all_sent_once(rig, boxes, 4)
    finally:
        await server.stop()
