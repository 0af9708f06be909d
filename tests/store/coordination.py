"""A fleet at the database as a game: processes that may be wrong about what they hold, and the ledger they share."""

import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from tests.store.invariants import broken, unfinished
from tests.store.rows import NOON, TODAY, Ground, after
from warmupd.core.job import Job, WaitingJob
from warmupd.core.mailbox import slot_hash
from warmupd.store import jobs
from warmupd.store.database import Connection, Database
from warmupd.store.jobs import Batch, Denied, Settlement

TTL = 30.0
GRACE = 20.0  # after which a job that was not settled is reaped
GAP = 15.0  # between two sends of a mailbox
SLOTS = 4
EARLY, LATE = 900.0, 36_000.0  # seconds after noon at which the days of mailboxes end
LIMITS = {"user_per_minute": 3, "user_per_hour": 14, "global_per_minute": 4, "global_per_hour": 22}

Key = tuple[dt.date, int]


class Line(NamedTuple):
    """What the ledger says of a job."""

    status: str
    token: UUID | None
    unverified: bool = False


class Lease(NamedTuple):
    """What the database says of a slot."""

    owner: UUID | None
    epoch: int
    until: dt.datetime


Ledger = dict[Key, Line]


@dataclass(frozen=True)
class Table:
    """The slots: how many there are, and each by the fleet's size and its number."""

    count: int
    leases: Mapping[tuple[int, int], Lease]

    def of(self, mailbox: int) -> Lease:
        return self.leases[self.count, slot_hash(mailbox) % self.count]


@dataclass(eq=False)
class Process:
    """A worker as it sees itself. Two of them may have one id: a machine that was copied, or thawed again."""

    id: UUID
    only: int | None = None
    count: int = 0
    held: dict[int, int] = field(default_factory=dict)
    until: dict[int, dt.datetime] = field(default_factory=dict)  # by epoch: for how long it trusts itself
    unheard: Batch | None = None  # was asked, and no answer came
    last: Batch | None = None

    def slot_of(self, mailbox: int) -> int:
        return slot_hash(mailbox) % self.count if self.count else -1

    def trusts(self, mailbox: int, now: dt.datetime) -> int | None:
        """The epoch by which it would send for the mailbox; None when it has doubts."""
        epoch = self.held.get(self.slot_of(mailbox))
        return epoch if epoch is not None and now < self.until.get(epoch, NOON) else None


@dataclass(eq=False)
class Flight:
    """A reserved send in the hands of the process that reserved it."""

    process: Process
    job: Job
    epoch: int | None
    begun: bool = False


class Held(Database):
    """One open transaction, used as a database is."""

    def __init__(self, connection: Connection) -> None:  # without the pool of a real one
        self._connection = connection

    @asynccontextmanager
    async def acquire(self, *, within: float | None = None) -> AsyncIterator[Connection]:
        async with self._connection.transaction(isolation="read_committed"):  # what is refused ends this much only
            yield self._connection

    def note_server(self, started_at: dt.datetime) -> None:
        """All games are played at one."""


class Deed:
    """Something asked of the database by a process, at a time."""

    slots_only = False  # no job, day or pace is touched

    def __init__(self, fleet: "Fleet") -> None:
        self.fleet = fleet
        self.at = fleet.now

    async def ask(self, db: Database) -> None:
        raise NotImplementedError

    def changes(self, ledger: Ledger) -> Mapping[Key, Line]:
        """The lines that differ afterwards; judges the answer, too."""
        return {}

    def judge(self, before: Ledger, now: Ledger) -> None:
        wanted = {**before, **self.changes(before)}
        wrong = {key: (wanted.get(key), now.get(key)) for key in {*wanted, *now} if wanted.get(key) != now.get(key)}
        assert not wrong, f"{self}: {wrong}"

    def heard(self) -> None:
        """The answer reached who asked."""

    def __repr__(self) -> str:
        return type(self).__name__


class Fleet:
    """The processes, their mail server, and what is known of the database after each deed."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.ground = Ground(db)
        self.now = NOON
        self.holds = False  # whether a transaction is open by design
        self.boxes: list[int] = []
        self.users: dict[int, UUID] = {}
        self.quotas: dict[int, int] = {}
        self.processes: list[Process] = []
        self.flights: list[Flight] = []
        self.outbox: list[Settlement] = []  # not told yet
        self.told: list[Settlement] = []
        self.begun: list[tuple[dt.datetime, Job]] = []  # conversations, as the mail server saw them begin
        self.accepted: dict[Key, Job] = {}
        self.sighted: set[Key] = set()
        self.parents: dict[Key, Key] = {}
        self.stored: dict[UUID, tuple[UUID, list[Job | Denied]]] = {}
        self.waiting: list[WaitingJob] = []  # the PENDING jobs, as read before a deed is chosen
        self.ledger: Ledger = {}
        self.table = Table(0, {})
        self.epochs: dict[int, tuple[int, int]] = {}  # each that was ever given out, and for which slot of how many
        self.done: Counter[str] = Counter()

    @property
    def boottime(self) -> float:
        return (self.now - NOON).total_seconds()

    # -- what is known --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Read what `lay` has laid."""
        rows = await self.db.fetch(
            "SELECT d.*, m.user_id AS u FROM mailbox_days d JOIN mailboxes m ON m.id = mailbox_id"
        )
        for row in sorted(rows, key=lambda row: int(row["mailbox_id"])):
            self.boxes.append(row["mailbox_id"])
            self.users[row["mailbox_id"]] = row["u"]
            self.quotas[row["mailbox_id"]] = row["quota"]
        self.closes = {row["mailbox_id"]: row["closes_at"] for row in rows}
        self.table = await self.read_table(self.db)

    async def read_table(self, db: Database) -> Table:
        rows = await db.fetch(
            "SELECT s.worker_count, slot, owner, epoch, greatest(lease_until, 'epoch') AS until, c.worker_count AS now"
            " FROM slots s, settings c"
        )
        leases = {(r["worker_count"], r["slot"]): Lease(r["owner"], r["epoch"], r["until"]) for r in rows}
        return Table(rows[0]["now"], leases)

    async def read_ledger(self, db: Database) -> Ledger:
        rows = await db.fetch(
            "SELECT day, id, status, attempt_token, outcome IS NOT DISTINCT FROM 'unverified' AS unverified,"
            " parent_day, parent_id FROM warmup_jobs"
        )
        self.parents = {(r["day"], r["id"]): (r["parent_day"], r["parent_id"]) for r in rows if r["parent_id"]}
        return {(r["day"], r["id"]): Line(r["status"], r["attempt_token"], r["unverified"]) for r in rows}

    # -- judging --------------------------------------------------------------------------------------------------

    async def happened(self, deed: Deed, *, heard: bool, within: Database | None = None) -> None:
        """Nothing but what it says has changed, and nothing is broken; seen from `within` its transaction, or after."""
        db = within or self.db
        ledger = await self.read_ledger(db)
        deed.judge(self.ledger, ledger)
        self.ledger = ledger
        await self.watch(deed, db)
        if heard:
            deed.heard()
        self.done[f"{deed}"] += 1
        self.trust()
        if not deed.slots_only:
            await self.look(db)

    async def look(self, db: Database) -> None:
        """I1-I9, as far as the database knows."""
        wrong = await broken(db, resized=True)
        assert not wrong, wrong

    def trust(self) -> None:
        """Nobody trusts in what somebody else may claim."""
        for box in self.boxes:
            epochs = {process.trusts(box, self.now) for process in self.processes} - {None}
            assert len(epochs) <= 1, f"mailbox {box} is trusted to be theirs by the holders of epochs {epochs}"

    async def watch(self, deed: Deed, db: Database) -> None:
        """Slots: an epoch is new, and higher, and given only when the lease before it is over."""
        table = await self.read_table(db)
        for place, lease in table.leases.items():
            was = self.table.leases.get(place)
            if was is None or lease.epoch != was.epoch:
                assert lease.epoch not in self.epochs, f"epoch {lease.epoch} was given twice"
                assert all(lease.epoch > e for e, given in self.epochs.items() if given == place)
                self.epochs[lease.epoch] = place
                assert was is None or was.until <= deed.at, f"{deed} took {place} before its lease was over"
            elif lease != was:
                assert lease.owner == was.owner
                assert lease.until < was.until or was.until > deed.at, f"{deed} renewed what was over"
        self.table = table

    async def end(self) -> None:
        """Nobody does anything for three days but keep house: every job ends, and as the mail server knows."""
        for days in (3, 6):
            self.now += dt.timedelta(days=days)
            await jobs.reap(self.db, grace=GRACE, look_within=60, at=self.now)
            await jobs.expire(self.db, at=self.now)
            await jobs.give_up_unknown(self.db, at=self.now)
        assert await unfinished(self.db, self.now) == []
        self.ledger = await self.read_ledger(self.db)
        await self.look(self.db)
        ends = {line.status for line in self.ledger.values()}
        assert ends <= {"SENT", "REPLIED", "FAILED"}, ends
        lost = [key for key in self.accepted if (line := self.ledger[key]).status == "FAILED" and not line.unverified]
        assert not lost, f"accepted, and the ledger says that they failed: {lost}"

    # -- the mail server ------------------------------------------------------------------------------------------

    def converse(self, flight: Flight) -> None:
        """MAIL FROM at this moment: as far apart, and as few, as was promised."""
        job, now = flight.job, self.now
        for at, other in self.begun:
            apart = (now - at).total_seconds()
            assert other.mailbox_id != job.mailbox_id or apart >= GAP, f"I8: {apart} s apart"
        self.begun.append((now, job))
        for span, kind in ((60, "minute"), (3600, "hour")):
            near = [j for at, j in self.begun if (now - at).total_seconds() < span]
            assert len(near) <= LIMITS[f"global_per_{kind}"], f"I3: {len(near)} in a {kind}"
            own = [j for j in near if self.users[j.mailbox_id] == self.users[job.mailbox_id]]
            assert len(own) <= LIMITS[f"user_per_{kind}"], f"I3: {len(own)} of one user in a {kind}"
        flight.begun = True

    def accept(self, job: Job) -> None:
        assert (job.day, job.id) not in self.accepted, f"I1: {job} was accepted twice"
        self.accepted[job.day, job.id] = job
        of_box = sum(j.mailbox_id == job.mailbox_id for j in self.accepted.values())
        assert of_box <= self.quotas[job.mailbox_id], f"I7: {of_box} of mailbox {job.mailbox_id}"


async def lay(db: Database) -> None:
    """Ten mailboxes of two users in a fleet of four slots, under caps that bind now and then."""
    ground = Ground(db)
    await ground.lay()
    for day in (-1, 1, 2, 3):  # a game lasts some hours, and every partition costs the queries time
        suffix = f"{TODAY + dt.timedelta(days=day):%Y%m%d}"
        await db.execute(f"DROP TABLE warmup_jobs_{suffix}, sightings_{suffix}")
    await ground.fleet(SLOTS)
    await ground.limit(**LIMITS, mailbox_gap_seconds=GAP)
    one, other = await ground.user(), await ground.user()
    await ground.mailboxes(3, one, quota=9, closes=after(LATE))
    await ground.mailboxes(2, one, quota=5, closes=after(EARLY))
    await ground.mailboxes(2, other, quota=2, closes=after(LATE))
    await ground.mailboxes(1, other, quota=9, closes=after(LATE))
    await ground.mailboxes(1, other, quota=9, proven=False, closes=after(LATE))
    await ground.mailboxes(1, one, pool="other", closes=after(LATE))
