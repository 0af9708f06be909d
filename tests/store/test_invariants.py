"""A campaign: workers come and die, replies are late, lost or told twice; after each step all invariants hold."""

import datetime as dt
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.store.invariants import broken, unfinished
from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    TODAY,
    Ground,
    Worker,
    ask,
    granted,
    laid_ground,
    reasons,
    retry,
)
from tests.store.test_sightings import found_of
from warmupd.core.job import Job, JobStatus
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.errors import LeaseLost
from warmupd.store import jobs, sightings, slots
from warmupd.store.jobs import Request, Settlement
from warmupd.store.unknowns import confirm_sent

SLOTS = 4
STEPS = 600
TTL = 90.0


@dataclass
class Campaign:
    """Fake workers over a small fleet, and a mail server that knows what it really accepted."""

    ground: Ground
    rng: Random
    boxes: list[int]
    now: dt.datetime = NOON - dt.timedelta(hours=6)
    workers: list[Worker] = field(default_factory=list)
    in_flight: list[Job] = field(default_factory=list)
    told: list[Settlement] = field(default_factory=list)  # outcomes, to be told again
    accepted: dict[tuple[dt.date, int], Job] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    async def step(self) -> None:
        self.now += dt.timedelta(seconds=self.rng.choice([0, 0.4, 1, 3, 10, 40]))
        often, rarely = (
            [self.reserve, self.settle],
            [self.repeat, self.sight, self.find_copy, self.miss, self.keep_house, self.start_worker],
        )
        action = self.rng.choice([*often, *often, *often, self.renew, self.renew, *rarely])
        self.done[action.__name__] += 1
        await action()

    async def start_worker(self) -> None:
        if len(self.workers) > 2 and self.rng.random() < 0.7:
            return
        only = self.rng.sample(range(SLOTS), self.rng.randint(1, SLOTS))
        self.workers = [*self.workers[-2:], await self.ground.worker(only=only, ttl=TTL, at=self.now)]

    async def renew(self) -> None:
        """Most workers renew and take what is free; the others hang, and go on believing in what they held."""
        for worker in self.workers:
            if self.rng.random() < 0.7:
                demand = self.rng.randint(0, 9)
                kept = await slots.renew_slots(self.ground.db, worker.id, ttl=TTL, demand=demand, at=self.now)
                gained = await slots.claim_slots(self.ground.db, worker.id, ttl=TTL, most=2, at=self.now)
                worker.leases.clear()
                worker.leases.update((kept or {}) | gained)

    async def reserve(self) -> None:
        """By any worker, whether or not it still holds what it believes to hold."""
        if not self.workers:
            return
        worker = self.rng.choice([worker for worker in self.workers if worker.leases] or self.workers)
        wishes = [self._wish(worker) for _ in range(self.rng.randint(1, 6))]
        waiting = sorted(await jobs.load_waiting(self.ground.db), key=lambda job: job.id)
        wishes += [retry(job) for job in self.rng.sample(waiting, min(len(waiting), 3))]
        self.rng.shuffle(wishes)
        answers = await self.ground.reserve(worker, *wishes, at=self.now)
        self.done.update(reasons(answers))
        self.in_flight += granted(answers)

    async def settle(self) -> None:
        self.rng.shuffle(self.in_flight)
        batch = [self._outcome(self.in_flight.pop()) for _ in range(min(len(self.in_flight), self.rng.randint(1, 5)))]
        if batch and self.rng.random() < 0.9:  # else the worker died before it could tell
            self.told += batch
            await jobs.settle(self.ground.db, batch, at=self.now)

    async def repeat(self) -> None:
        """Old news once more, and lies about attempts that ended: nothing changes by them."""
        ended = [settlement for settlement in self.told if settlement.kind is not OutcomeKind.UNKNOWN]
        old = self.rng.sample(ended, min(len(ended), 5))
        before = await self._ended()
        kinds = list(OutcomeKind)
        lies = [Settlement(job=s.job, kind=self.rng.choice(kinds), reason="again", retry_at=self.now) for s in old]
        for settlement, status in zip(lies, await jobs.settle(self.ground.db, lies, at=self.now), strict=True):
            key = (settlement.job.day, settlement.job.id)
            if before.get(key) is not None:
                assert status in {before[key], None}

    async def sight(self) -> None:
        """One of the messages that the server has is found by a visitor, maybe one who lost the slot meanwhile."""
        if not self.accepted or not self.workers:
            return
        job = self.rng.choice(list(self.accepted.values()))
        worker, slot = self.rng.choice(self.workers), slot_hash(job.recipient_id) % SLOTS
        if slot in worker.leases:
            answers = self.rng.random() < 0.3 and job.thread.depth < 3
            answer_at = self.now + dt.timedelta(minutes=20) if answers else None
            try:
                await sightings.record_sightings(
                    self.ground.db,
                    job.recipient_id,
                    [found_of(job, answer_at=answer_at)],
                    slot=slot,
                    epoch=worker.leases[slot],
                    at=self.now,
                )
            except LeaseLost:
                self.done["lease lost"] += 1

    async def find_copy(self) -> None:
        """One of the messages that the server has lies in its sender's folder of sent mail, too."""
        lost = [s.job for s in self.told if s.kind is OutcomeKind.UNKNOWN and (s.job.day, s.job.id) in self.accepted]
        job = self.rng.choice(lost or list(self.accepted.values()) or [None])
        worker = self.rng.choice(self.workers or [None])
        slot = slot_hash(job.mailbox_id) % SLOTS if job else 0
        if job and worker and slot in worker.leases:
            epoch, key = worker.leases[slot], (job.day, job.id)
            with suppress(LeaseLost):
                self.done["confirmed"] += await confirm_sent(
                    self.ground.db, job.mailbox_id, [key], slot=slot, epoch=epoch, at=self.now
                )

    async def miss(self) -> None:
        """A complete visit to some mailbox finds nothing new."""
        box, worker = self.rng.choice(self.boxes), self.rng.choice(self.workers or [None])
        slot = slot_hash(box) % SLOTS
        if worker and slot in worker.leases:
            with suppress(LeaseLost):
                self.done["missed"] += await sightings.record_missing(
                    self.ground.db,
                    box,
                    began=self.now,
                    since=TODAY,
                    slot=slot,
                    epoch=worker.leases[slot],
                    at=self.now,
                )

    async def keep_house(self) -> None:
        await jobs.reap(self.ground.db, grace=60, look_within=60, at=self.now)
        await jobs.expire(self.ground.db, at=self.now)
        await self.ground.db.execute("UPDATE mailbox_visits SET everywhere_at = $1", self.now)
        await jobs.give_up_unknown(self.ground.db, at=self.now)

    async def end(self) -> None:
        """Days pass, and nobody does anything but keep house."""
        self.now += dt.timedelta(days=3)
        await self.keep_house()
        await self.keep_house()

    def _wish(self, worker: Worker) -> Request:
        """Mostly for a mailbox that the worker believes to be its own."""
        own = [mailbox for mailbox in self.boxes if slot_hash(mailbox) % SLOTS in worker.leases]
        sender = self.rng.choice(own if own and self.rng.random() < 0.9 else self.boxes)
        recipient = self.rng.choice([*self.boxes, 10**6])
        return ask(sender, recipient, gap=self.rng.choice([0, 120, 150]), user_gap=self.rng.choice([0, 0.5, 3]))

    def _outcome(self, job: Job) -> Settlement:
        """What the server did, and what the worker saw of it."""
        kind = self.rng.choices(list(OutcomeKind), weights=[{"SENT": 6}.get(kind.value, 1) for kind in OutcomeKind])[0]
        if kind is OutcomeKind.SENT or (kind is OutcomeKind.UNKNOWN and self.rng.random() < 0.5):
            key = (job.day, job.id)
            assert key not in self.accepted, f"I1: {job} was accepted twice"
            self.accepted[key] = job
        wait = dt.timedelta(seconds=self.rng.choice([0, 60, 600]))
        return Settlement(job=job, kind=kind, reason=kind.lower(), retry_at=self.now + wait)

    async def _ended(self) -> dict[tuple[dt.date, int], JobStatus]:
        rows = await self.ground.db.fetch("SELECT day, id, status FROM warmup_jobs WHERE completed_at IS NOT NULL")
        return {(row["day"], row["id"]): JobStatus(row["status"]) for row in rows}


@pytest.mark.parametrize("seed", range(2))
async def test_all_invariants_hold_after_every_step(ground: Ground, seed: int) -> None:
    campaign = await prepared(ground, seed)
    for turn in range(STEPS):
        await campaign.step()
        wrong = await broken(ground.db)
        assert not wrong, f"after {turn} steps of seed {seed}: {wrong}"
    await campaign.end()
    assert await unfinished(ground.db, campaign.now) == []
    assert await broken(ground.db) == []
    lost = [key for key in campaign.accepted if (await _status(ground, *key)) not in {"SENT", "REPLIED", "FAILED"}]
    assert not lost
    for word in ("granted", "not_owner", "spacing", "quota", "repeat"):
        assert campaign.done[word] > 20, campaign.done
    assert all(campaign.done[word] for word in ("confirmed", "missed")), campaign.done


async def prepared(ground: Ground, seed: int) -> Campaign:
    """Twelve mailboxes of two users, some unproven, one in another pool, under caps that bind now and then."""
    for day in (-1, 1, 2, 3):  # the campaign lasts a day, and every partition costs the queries time
        suffix = f"{TODAY + dt.timedelta(days=day):%Y%m%d}"
        await ground.db.execute(f"DROP TABLE warmup_jobs_{suffix}, sightings_{suffix}")
    await ground.fleet(SLOTS)
    await ground.limit(user_per_minute=6, user_per_hour=90, global_per_minute=9, global_per_hour=150)
    one, other = await ground.user(), await ground.user()
    boxes = [*await ground.mailboxes(5, one, quota=40), *await ground.mailboxes(3, other, quota=3)]
    boxes += await ground.mailboxes(3, other, quota=40, proven=False)
    boxes += await ground.mailboxes(1, one, pool="other")
    return Campaign(ground=ground, rng=Random(seed), boxes=boxes)


async def _status(ground: Ground, day: dt.date, job_id: int) -> str:
    status: str = await ground.db.fetchval("SELECT status FROM warmup_jobs WHERE day = $1 AND id = $2", day, job_id)
    return status
