"""A cap that binds, shared by many workers at once: never more than the cap, nearly all of it, to each by demand."""

import asyncio
import datetime as dt
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    WIDE,
    Ground,
    Worker,
    after,
    ask,
    granted,
    laid_ground,
)
from warmupd.core.mailbox import slot_hash
from warmupd.store import slots

WINDOW = 65.0  # seconds: a minute, and the slack
GRAIN = 1.0  # seconds that a grant may count too long
STEP = 2.0  # seconds between two rounds
ASKING = 16  # workers that ask in a round, about
BOXES = 24  # of each worker; the most that it asks for at once
SPACING = 5.0  # seconds, the slack alone: caps are to bind, and nothing else


@dataclass
class Asker:
    """A worker that has `weight` more to send with each step."""

    worker: Worker
    boxes: Sequence[int]
    weight: float
    owed: float = 0.0
    taken: int = 0
    free_at: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    fills: list[float] = field(default_factory=list)  # after each round

    @property
    def fill(self) -> float:
        """What it has had of what it wanted, as it is within a window: some have their share at once, some evenly."""
        return fmean(self.fills[-round(WINDOW / STEP) :])

    async def ask(self, ground: Ground, now: float, recipient: int) -> None:
        demand = int(self.owed - self.taken)
        rested = [box for box in self.boxes if self.free_at[box] <= now][:demand]
        if not rested:
            return
        requests = [ask(box, recipient, gap=0) for box in rested]
        jobs = granted(await ground.reserve(self.worker, *requests, demand=demand, at=after(now)))
        self.taken += len(jobs)
        self.free_at.update({job.mailbox_id: now + STEP + SPACING for job in jobs})


async def askers(ground: Ground, number: int) -> tuple[list[Asker], int]:
    """Workers of unequal demand, from one to five, with their mailboxes; and somebody to write to."""
    await ground.fleet(number)
    await ground.limit(mailbox_gap_seconds=0)
    (recipient,) = await ground.mailboxes(1, quota=0)
    by_slot = defaultdict(list)
    for box in await ground.mailboxes(3 * BOXES * number, quota=WIDE):
        by_slot[slot_hash(box) % number].append(box)
    workers = [await ground.worker(only=[slot]) for slot in range(number)]
    await ground.db.execute("UPDATE workers SET lease = interval '1 day'")
    return [
        Asker(worker=worker, boxes=by_slot[slot][:BOXES], weight=1 + slot * 4 / max(1, number - 1))
        for slot, worker in enumerate(workers)
    ], recipient


async def live(ground: Ground, asked: Sequence[Asker], recipient: int, *, seconds: float, more: float) -> None:
    """Let them ask, several at a time and in any order; together they want `more` sends a second, and some to begin."""
    rng, part = Random(1), more * STEP / sum(one.weight for one in asked)
    for one in asked:
        one.owed = one.weight * part * WINDOW / STEP
        await slots.renew_slots(ground.db, one.worker.id, ttl=1e7, demand=int(one.owed), at=NOON)
    for step in range(int(seconds / STEP)):
        for one in asked:
            one.owed += one.weight * part
        turn = [one for one in asked if rng.random() < ASKING / len(asked)]
        rng.shuffle(turn)
        times = [step * STEP + rng.uniform(0, STEP) for _ in turn]
        await asyncio.gather(*(one.ask(ground, at, recipient) for one, at in zip(turn, times, strict=True)))
        for one in asked:
            one.fills.append(one.taken / one.owed)


async def grants(ground: Ground) -> list[dt.datetime]:
    """When they were granted, in order."""
    rows = await ground.db.fetch("SELECT picked_at FROM warmup_jobs ORDER BY picked_at")
    return [row["picked_at"] for row in rows]


def most(moments: Sequence[dt.datetime]) -> int:
    """In any window."""
    span = dt.timedelta(seconds=WINDOW)
    return max(bisect_left(moments, moment + span) - n for n, moment in enumerate(moments))


@pytest.mark.parametrize("number", [1, 2, 7, pytest.param(50, marks=pytest.mark.long)])
async def test_cap_holds_is_used_and_is_shared_by_demand(ground: Ground, number: int) -> None:
    cap, windows = 36 * number, 8
    await ground.limit(global_per_minute=cap)
    asked, recipient = await askers(ground, number)
    await live(ground, asked, recipient, seconds=windows * (WINDOW + GRAIN), more=cap / 60 / 0.7)
    moments = await grants(ground)
    assert most(moments) <= cap
    assert len(moments) >= 0.95 * windows * cap
    fills = [one.fill for one in asked]
    assert max(fills) - min(fills) < 0.05, [round(fill, 3) for fill in fills]
