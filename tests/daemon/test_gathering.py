"""What comes one by one goes to Postgres together, and nobody waits for long."""

import asyncio
import datetime as dt
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.daemon.model import OK
from tests.daemon.rig import Rig, after
from warmupd.clock import SystemClock, VirtualClock
from warmupd.daemon import settler as settling
from warmupd.daemon.events import Events
from warmupd.daemon.gathering import ENOUGH, GATHER, REFILL, Gathering
from warmupd.daemon.ground import Ground
from warmupd.daemon.holds import Holds
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.patience import within
from warmupd.daemon.settler import Settler

START = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)


class Round:
    """A gathering whose last batch was asked for just now, with room for 20 sends."""

    def __init__(self, pace: Any) -> None:
        self.clock = VirtualClock(START)
        self.holds = Holds(self.clock)
        self.pace = pace
        self.due = 0
        self.gathering = Gathering(self.clock, self)  # type: ignore[arg-type]  # all that it asks its schedule

    def wait(self, due: int) -> float:
        self.due = due
        return self.gathering.wait()

    def depth(self) -> int:
        return self.due

    def fill(self, number: int) -> None:
        for key in range(number):
            self.holds.permits.enter(key, f"lane {key}")


@pytest.fixture
def round_() -> Round:
    class Twenty:
        batch_size, max_concurrent, per_host_concurrent = 100, 20, 10

    return Round(Twenty)


def ground_of(clock: SystemClock) -> Ground:
    return Ground(db=None, clock=clock, events=Events(Metrics(clock)), rng=Random(1))  # type: ignore[arg-type]


def test_after_a_lull_nobody_waits(round_: Round) -> None:
    assert round_.wait(1) == 0.0
    round_.gathering.note_asked()
    round_.clock.advance(GATHER)
    assert round_.wait(1) == 0.0


def test_those_who_fall_due_one_by_one_gather(round_: Round) -> None:
    round_.gathering.note_asked()
    assert round_.wait(3) == pytest.approx(GATHER)
    round_.clock.advance(GATHER - 0.0001)
    assert round_.wait(3) == 0.0


def test_many_who_are_due_go_at_once(round_: Round) -> None:
    round_.pace.max_concurrent = 400
    round_.gathering.note_asked()
    assert round_.wait(ENOUGH - 1) > 0.0
    assert round_.wait(ENOUGH) == 0.0


def test_places_that_get_free_are_filled_together_and_soon(round_: Round) -> None:
    round_.gathering.note_asked()
    round_.fill(11)
    assert round_.wait(100) == pytest.approx(REFILL)
    round_.holds.permits.leave(0)
    assert round_.wait(100) == 0.0
    round_.holds.permits.enter(0, "lane")
    round_.clock.advance(REFILL)
    assert round_.wait(100) == 0.0


async def test_outcomes_gather_but_a_drain_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    async def settle(_db: Any, batch: Any, **_: Any) -> list[None]:
        batches.append(len(batch))
        return [None] * len(batch)

    async def heard(_: Any) -> None:
        pass

    monkeypatch.setattr(settling, "settle", settle)
    monkeypatch.setattr(settling, "GATHER", 60.0)
    monkeypatch.setattr(settling, "MOST", 3)
    monkeypatch.setattr(Settler, "_tell_stale", lambda *_: None)
    ground = ground_of(SystemClock())
    settler = Settler(ground, heard)
    running = asyncio.create_task(settler.run())
    for one in range(3):
        settler.add(one)  # type: ignore[arg-type]
        await asyncio.sleep(0)
    assert await within(ground, 5.0, settler._idle)
    settler.add(4)  # type: ignore[arg-type]
    await settler.drained(5.0)
    running.cancel()
    assert batches == [3, 1]
    assert settler.idle


async def test_a_place_that_gets_free_while_all_others_are_taken_is_filled_soon(rig: Rig) -> None:
    boxes = [box for _ in range(12) for box in await rig.world.enrol(1, quota=6, end_hour=20)]
    rig.server.rule = lambda account, message: replace(OK, body_takes=0.03 if len(rig.server.tries) == 2 else 20.0)
    async with rig.running({"sending.max_concurrent": 6}) as worker:
        await rig.until(after(6) + dt.timedelta(seconds=1))  # their days are open
        for box in boxes:
            worker.shard.schedule.push(box, rig.clock.now())
        worker.shard.knock()
        await rig.until(after(6) + dt.timedelta(seconds=60))
    begun = [one.at for one in rig.server.tries]
    assert begun[0] == begun[5]
    assert begun[6] - begun[5] < REFILL + 0.1
