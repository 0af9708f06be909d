"""What processes ask of the database in the game of `coordination`, and what must have changed by it, no more."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar
from uuid import uuid4

from tests.store.coordination import GRACE, TTL, Deed, Fleet, Flight, Key, Lease, Ledger, Line, Process, Table
from tests.store.rows import ask, retry
from tests.store.test_sightings import found_of
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.errors import LeaseLost
from warmupd.store import fleet as fleets
from warmupd.store import jobs, sightings, slots
from warmupd.store.database import Database
from warmupd.store.jobs import Batch, Denied, Request, Settlement
from warmupd.store.sightings import Known
from warmupd.store.unknowns import confirm_sent

T = TypeVar("T")
LOST = {"PROCESSING", "UNKNOWN", "PENDING"}  # what a find of the message turns into SENT


# -- slots ------------------------------------------------------------------------------------------------------------


class Claim(Deed):
    """Whatever is free, or the slot that it is for."""

    slots_only = True

    def __init__(self, fleet: Fleet, process: Process, most: int) -> None:
        super().__init__(fleet)
        self.process, self.most = process, most

    async def ask(self, db: Database) -> None:
        only = None if self.process.only is None else [self.process.only]
        self.count = await slots.slot_count(db)
        self.gained = await slots.claim_slots(
            db, self.process.id, ttl=TTL, most=self.most, only=only, count=self.count, at=self.at
        )

    def heard(self) -> None:
        _learn(self.process, self.count, {**self.process.held, **self.gained}, self.gained, self.at)


class Renew(Deed):
    """What it has; it forgets what is not its own any more."""

    slots_only = True

    def __init__(self, fleet: Fleet, process: Process, demand: int) -> None:
        super().__init__(fleet)
        self.process, self.demand = process, demand

    async def ask(self, db: Database) -> None:
        self.count = await slots.slot_count(db)
        self.kept = await slots.renew_slots(db, self.process.id, ttl=TTL, demand=self.demand, at=self.at)

    def heard(self) -> None:
        assert self.kept is not None, "the row of a process that lives is gone"
        _learn(self.process, self.count, self.kept, self.kept, self.at)


class GiveBack(Deed):
    """One slot, which it does without from the moment it asks."""

    slots_only = True

    def __init__(self, fleet: Fleet, process: Process, number: int) -> None:
        super().__init__(fleet)
        slot = sorted(process.held)[number % len(process.held)]
        self.process, self.leases = process, {slot: process.held.pop(slot)}

    async def ask(self, db: Database) -> None:
        await slots.give_back_slots(db, self.process.id, self.leases)


class Resize(Deed):
    """Another number of slots."""

    slots_only = True

    def __init__(self, fleet: Fleet, count: int) -> None:
        super().__init__(fleet)
        self.count = count

    async def ask(self, db: Database) -> None:
        await fleets.resize(db, self.count, actor="tests", at=self.at)


def _learn(process: Process, count: int, held: Mapping[int, int], sure: Mapping[int, int], at: dt.datetime) -> None:
    process.held = {slot: epoch for slot, epoch in held.items() if count == process.count or slot in sure}
    process.count = count
    for epoch in sure.values():
        process.until[epoch] = max(at + dt.timedelta(seconds=TTL), process.until.get(epoch, at))


# -- reserve and settle -----------------------------------------------------------------------------------------------


class Reserve(Deed):
    """By a process that may have lost what it believes to hold; a batch without an answer is asked again."""

    def __init__(self, fleet: Fleet, process: Process, batch: Batch) -> None:
        super().__init__(fleet)
        self.process, self.batch = process, batch
        self.leases, self.count = dict(process.held), process.count
        process.unheard = process.last = batch

    async def ask(self, db: Database) -> None:
        self.answers = await jobs.reserve(
            db,
            self.batch,
            worker_id=self.process.id,
            worker_name="w",
            leases=self.leases,
            demand=len(self.batch.requests),
            boottime=lambda: self.fleet.boottime,
            at=self.at,
        )
        self.table: Table = await self.fleet.read_table(self.fleet.db)

    def changes(self, ledger: Ledger) -> Mapping[Key, Line]:
        batch_id, answers = self.fleet.stored.get(self.process.id, (None, []))
        if batch_id == self.batch.id:
            assert _said(self.answers) == _said(answers), "a batch asked again got another answer"
            return {}
        self.fleet.stored[self.process.id] = self.batch.id, self.answers
        for request, answer in zip(self.batch.requests, self.answers, strict=True):
            self._judge(request, answer, ledger)
        granted = [answer for answer in self.answers if isinstance(answer, Job)]
        self.fleet.done["granted"] += len(granted)
        return {(job.day, job.id): Line("PROCESSING", job.attempt_token) for job in granted}

    def _judge(self, request: Request, answer: Job | Denied, ledger: Ledger) -> None:
        lease = self.table.of(request.mailbox_id)
        mine = self._holds(lease, request.mailbox_id)
        if isinstance(answer, Denied):
            self.fleet.done[answer.why] += 1
            assert (answer.why == "not_owner") == (not mine), f"{answer.why} for {lease} at {self.at}"
            return
        assert mine, f"I5: granted by {self.leases} though the database says {lease} at {self.at}"
        was = ledger.get((answer.day, answer.id))
        if request.waiting is None:
            assert was is None
        else:
            assert was is not None
            assert was.status == "PENDING"
            assert was.token != answer.attempt_token

    def _holds(self, lease: Lease, mailbox: int) -> bool:
        epoch = self.leases.get(slot_hash(mailbox) % self.table.count)
        return lease.owner == self.process.id and lease.epoch == epoch and lease.until > self.at

    def heard(self) -> None:
        if self.process.unheard is self.batch:
            self.process.unheard = None
        known = {flight.job.attempt_token for flight in self.fleet.flights} | {
            s.job.attempt_token for s in (*self.fleet.outbox, *self.fleet.told)
        }
        for job in (answer for answer in self.answers if isinstance(answer, Job)):
            if job.attempt_token not in known:
                slot = slot_hash(job.mailbox_id) % self.count if self.count else -1
                self.fleet.flights.append(Flight(self.process, job, self.leases.get(slot)))


class Tell(Deed):
    """Outcomes, late or twice, of attempts that may not be the last any more."""

    def __init__(self, fleet: Fleet, settlements: Sequence[Settlement]) -> None:
        super().__init__(fleet)
        self.settlements = settlements

    async def ask(self, db: Database) -> None:
        self.answers = await jobs.settle(db, self.settlements, at=self.at)

    def changes(self, ledger: Ledger) -> Mapping[Key, Line]:
        becomes: dict[Key, str] = {}
        for told in sorted(self.settlements, key=lambda told: told.kind is OutcomeKind.UNKNOWN):
            key = told.job.day, told.job.id
            if ledger[key].token == told.job.attempt_token and key not in becomes:
                becomes[key] = self._becomes(told, ledger[key].status)
        said = [self._current(told, ledger, becomes) for told in self.settlements]
        assert self.answers == said, f"{self.answers} instead of {said}"
        self.fleet.done["stale"] += said.count(None)
        changed = {key: ledger[key]._replace(status=status) for key, status in becomes.items()}
        changed = {key: line for key, line in changed.items() if line.status != ledger[key].status}
        late = [key for key, line in changed.items() if (ledger[key].status, line.status) == ("UNKNOWN", "SENT")]
        self.fleet.done["late 250"] += len(late)
        return _with_parents(self.fleet, ledger, changed)

    def _becomes(self, told: Settlement, status: str) -> str:
        if not (status == "PROCESSING" or (status == "UNKNOWN" and told.kind is not OutcomeKind.UNKNOWN)):
            return status
        if told.kind not in {OutcomeKind.DEFERRED, OutcomeKind.RETURNED}:
            return told.kind.value
        again = max(told.retry_at or self.at, self.at)
        return "FAILED" if again >= self.fleet.closes[told.job.mailbox_id] else "PENDING"

    def _current(self, told: Settlement, ledger: Ledger, becomes: Mapping[Key, str]) -> str | None:
        key = told.job.day, told.job.id
        return becomes[key] if ledger[key].token == told.job.attempt_token else None

    def heard(self) -> None:
        self.fleet.outbox = [told for told in self.fleet.outbox if told not in self.settlements]


# -- what is found, and the house -------------------------------------------------------------------------------------


class Find(Deed):
    """A message that the server took: in its recipient's mailbox, or as its sender's copy."""

    def __init__(self, fleet: Fleet, process: Process, job: Job, *, copy: bool, answers: bool) -> None:
        super().__init__(fleet)
        self.process, self.job, self.copy = process, job, copy
        self.box = job.mailbox_id if copy else job.recipient_id
        self.answer_at = self.at + dt.timedelta(seconds=40) if answers and job.thread.depth < 3 else None
        self.slot = process.slot_of(self.box)
        self.epoch = process.held.get(self.slot, -1)
        self.known: Known | None = None
        self.confirmed = 0
        self.refused = False

    async def ask(self, db: Database) -> None:
        self.refused = True
        with suppress(LeaseLost):
            if self.copy:
                keys = [(self.job.day, self.job.id)]
                self.confirmed = await confirm_sent(db, self.box, keys, slot=self.slot, epoch=self.epoch, at=self.at)
            else:
                (self.known,) = await sightings.record_sightings(
                    db,
                    self.box,
                    [found_of(self.job, answer_at=self.answer_at)],
                    slot=self.slot,
                    epoch=self.epoch,
                    at=self.at,
                )
            self.refused = False
        table = await self.fleet.read_table(self.fleet.db)
        lease = table.of(self.box)
        mine = self.slot == slot_hash(self.box) % table.count and lease.epoch == self.epoch
        assert mine != self.refused, f"{self} by epoch {self.epoch}, and the database says {lease}"

    def changes(self, ledger: Ledger) -> Mapping[Key, Line]:
        key = self.job.day, self.job.id
        if self.refused:
            self.fleet.done["refused"] += 1
            return {}
        line = ledger[key]
        given_up = line.status == "FAILED" and line.unverified
        if self.copy:
            sent = line.status == "UNKNOWN" or given_up
            assert self.confirmed == sent
        else:
            new = key not in self.fleet.sighted
            assert self.known is (Known.NEW if new else Known.KNOWN)
            sent = new and (line.status in LOST or given_up)
            self.fleet.sighted.add(key)
        self.fleet.done["found to be sent"] += sent
        return _with_parents(self.fleet, ledger, {key: Line("SENT", line.token)}) if sent else {}

    def judge(self, before: Ledger, now: Ledger) -> None:
        new = [key for key in now if key not in before]  # an answer to it, which nobody could have foretold by id
        expected = self.known is Known.NEW and self.answer_at is not None
        assert len(new) == expected
        assert all(now[key] == Line("PENDING", None) for key in new)
        super().judge(before | {key: now[key] for key in new}, now)


class Reap(Deed):
    """Those whose time is long over, all of them unless somebody has them in hand."""

    async def ask(self, db: Database) -> None:
        self.due = {
            (row["day"], row["id"])
            for row in await self.fleet.db.fetch(
                "SELECT day, id FROM warmup_jobs WHERE status = 'PROCESSING' AND send_by < $1",
                self.at - dt.timedelta(seconds=GRACE),
            )
        }
        self.number = await jobs.reap(db, grace=GRACE, look_within=60, at=self.at)

    def judge(self, before: Ledger, now: Ledger) -> None:
        changed = {key for key in now if now[key] != before.get(key)}
        assert changed <= self.due
        assert len(changed) == self.number
        assert all(now[key] == before[key]._replace(status="UNKNOWN") for key in changed)
        self.fleet.done["reaped"] += self.number


class Expire(Deed):
    """Retries whose day is over."""

    async def ask(self, db: Database) -> None:
        self.number = await jobs.expire(db, at=self.at)

    def judge(self, before: Ledger, now: Ledger) -> None:
        changed = {key for key in now if now[key] != before.get(key)}
        assert len(changed) == self.number
        assert all((before[key].status, now[key].status) == ("PENDING", "FAILED") for key in changed)
        self.fleet.done["expired"] += self.number


def _with_parents(fleet: Fleet, ledger: Ledger, changed: Mapping[Key, Line]) -> Mapping[Key, Line]:
    """An answer that was sent makes of its parent what was replied to."""
    after = {**ledger, **changed}
    parents = [fleet.parents[key] for key, line in changed.items() if line.status == "SENT" and key in fleet.parents]
    replied = {key: after[key]._replace(status="REPLIED") for key in parents if after[key].status == "SENT"}
    return {**changed, **replied}


def _said(answers: Sequence[Job | Denied]) -> list[object]:
    return [answer.attempt_token if isinstance(answer, Job) else answer for answer in answers]


# -- choosing ---------------------------------------------------------------------------------------------------------

Numbers = Sequence[int]


def claim(fleet: Fleet, n: Numbers) -> Deed:
    return Claim(fleet, _of(fleet.processes, n[0]), 1 + n[1] % 4)


def renew(fleet: Fleet, n: Numbers) -> Deed:
    return Renew(fleet, _of(fleet.processes, n[0]), n[1] % 3)


def give_back(fleet: Fleet, n: Numbers) -> Deed | None:
    process = _of(fleet.processes, n[0])
    return GiveBack(fleet, process, n[1]) if process.held else None


def resize(fleet: Fleet, n: Numbers) -> Deed:
    return Resize(fleet, 2 + n[0] % 4)


def reserve(fleet: Fleet, n: Numbers) -> Deed:
    """Mostly for mailboxes that it believes to be its own; every job that waits there is asked for, too."""
    process = _of(fleet.processes, n[0])
    if (batch := process.unheard) is None:
        own = [box for box in fleet.boxes if process.slot_of(box) in process.held]
        senders = own if own and n[1] % 6 else fleet.boxes
        pairs = zip(n[2:6], n[4:], strict=True)
        wishes = [ask(_of(senders, s), _of(fleet.boxes, r), gap=GAPS[r % 3], user_gap=r % 2) for s, r in pairs]
        waiting = [retry(job) for job in fleet.waiting if job.mailbox_id in senders]
        batch = Batch(id=uuid4(), requests=[*waiting, *wishes], asked_at=fleet.boottime)
    return Reserve(fleet, process, batch)


def repeat(fleet: Fleet, n: Numbers) -> Deed | None:
    """The last batch, though its answer was heard."""
    process = _of(fleet.processes, n[0])
    return Reserve(fleet, process, process.last) if process.last else None


def tell(fleet: Fleet, n: Numbers) -> Deed | None:
    fresh = fleet.outbox[: 1 + n[0] % 4]
    old = [_of(fleet.told, number) for number in n[2 : 2 + n[1] % 3] if fleet.told]
    return Tell(fleet, [*fresh, *old]) if fresh or old else None


def find(fleet: Fleet, n: Numbers) -> Deed | None:
    taken = list(fleet.accepted.values())
    if not taken:
        return None
    job, copy = _of(taken, n[1]), n[2] % 3 == 0
    box = job.mailbox_id if copy else job.recipient_id
    owners = [process for process in fleet.processes if process.slot_of(box) in process.held]
    return Find(fleet, _of(owners or fleet.processes, n[0]), job, copy=copy, answers=n[3] % 2 == 0)


def reap(fleet: Fleet, n: Numbers) -> Deed:
    return Reap(fleet)


def expire(fleet: Fleet, n: Numbers) -> Deed:
    return Expire(fleet)


GAPS = (0.0, 15.0, 40.0)
MAKERS: dict[str, Callable[[Fleet, Numbers], Deed | None]] = {
    f.__name__: f for f in (reserve, tell, renew, claim, give_back, find, reap, expire, repeat, resize)
}


def _of(things: Sequence[T], number: int) -> T:
    return things[number % len(things)]
