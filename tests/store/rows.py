"""Rows to test the store with: users, mailboxes with an open day, and workers, on a day whose noon is `NOON`."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from warmupd.core.job import Job, JobStatus, Thread, WaitingJob
from warmupd.core.outcome import OutcomeKind
from warmupd.store import jobs, partitions, slots
from warmupd.store.database import Connection, Database
from warmupd.store.jobs import Batch, Denied, Request, Settlement

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
TODAY = NOON.date()
CONNECTIONS = 10
OPENS = NOON - dt.timedelta(hours=6)
CLOSES = NOON + dt.timedelta(hours=10)
WIDE = 1_000_000  # a cap that never binds


def after(seconds: float) -> dt.datetime:
    """So many seconds after noon."""
    return NOON + dt.timedelta(seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Worker:
    id: UUID
    leases: dict[int, int]


class Ground:
    """A database with as wide limits as can be; every test narrows what it is about."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._numbers = count(1)

    # -- rows ---------------------------------------------------------------------------------------------------

    async def lay(self) -> None:
        await partitions.make_partitions(self.db, TODAY)
        await self.limit(global_per_hour=WIDE, global_per_minute=WIDE, user_per_hour=WIDE, user_per_minute=WIDE)
        await self.db.execute("INSERT INTO pools (name) VALUES ('shared'), ('other')")

    async def limit(self, **columns: float | bool) -> None:
        """Set columns of the settings row."""
        sets = ", ".join(f"{column} = {value}" for column, value in columns.items())
        await self.db.execute(f"UPDATE settings SET {sets}")

    async def user(self, *, per_minute: int | None = None, per_hour: int | None = None) -> UUID:
        number = next(self._numbers)
        user_id: UUID = await self.db.fetchval(
            "WITH p AS (INSERT INTO plans (name, per_minute, per_hour) VALUES ('plan' || $1, $2, $3) RETURNING id)"
            " INSERT INTO users (email, plan_id) SELECT 'user' || $1 || '@example.test', id FROM p RETURNING id",
            str(number),
            per_minute,
            per_hour,
        )
        return user_id

    async def mailboxes(
        self,
        number: int,
        user_id: UUID | None = None,
        *,
        quota: int = 40,
        state: str = "ACTIVE",
        proven: bool = True,
        pool: str = "shared",
        opens: dt.datetime = OPENS,
        closes: dt.datetime = CLOSES,
    ) -> list[int]:
        """Enrol mailboxes (of a user of their own unless named) and open their day."""
        user_id = user_id or await self.user()
        rows = await self.db.fetch(
            "INSERT INTO mailboxes (user_id, pool_id, address, state, smtp_host, smtp_port, smtp_security,"
            " smtp_username, imap_host, imap_port, imap_security, imap_username)"
            " SELECT $1, (SELECT id FROM pools WHERE name = $2), 'm' || n || '@example.test', $3, 'h', 1, 'TLS',"
            " 'u', 'h', 1, 'TLS', 'u' FROM unnest($4::int[]) AS n RETURNING id",
            user_id,
            pool,
            state,
            [next(self._numbers) for _ in range(number)],
        )
        found = [row["id"] for row in rows]
        await self.db.execute(
            "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day)"
            " SELECT id, $2, $3, $4, $5, $6, 0, 1 FROM unnest($1::bigint[]) AS id",
            found,
            TODAY,
            user_id,
            opens,
            closes,
            quota,
        )
        if proven:
            await self.db.execute("UPDATE proofs SET proven_at = $2 WHERE mailbox_id = ANY ($1)", found, NOON)
        return found

    async def pair(self, **options: Any) -> tuple[int, int]:
        """Two mailboxes of one user."""
        first, second = await self.mailboxes(2, **options)
        return first, second

    async def worker(self, *, only: Sequence[int] | None = None, ttl: float = 1e7, at: dt.datetime = NOON) -> Worker:
        """A registered worker that holds the slots that are free (those of `only`)."""
        worker_id = uuid4()
        await slots.register_worker(
            self.db, worker_id, name=f"w{worker_id}", http_address="", version="", limits={}, at=at
        )
        leases = await slots.claim_slots(self.db, worker_id, ttl=ttl, most=4096, only=only, at=at)
        return Worker(id=worker_id, leases=leases)

    async def fleet(self, size: int) -> None:
        """Have as many slots."""
        await self.db.execute("INSERT INTO slots (worker_count, slot) SELECT $1::int, generate_series(0, $1 - 1)", size)
        await self.limit(worker_count=size)

    # -- the path -----------------------------------------------------------------------------------------------

    async def reserve(
        self,
        worker: Worker,
        *requests: Request,
        at: dt.datetime | None = NOON,
        batch_id: UUID | None = None,
        demand: int | None = None,
        on_lock: Callable[[float], object] = lambda _: None,
    ) -> list[Job | Denied]:
        return await jobs.reserve(
            self.db,
            Batch(id=batch_id or uuid4(), requests=requests, asked_at=0.0),
            worker_id=worker.id,
            worker_name=str(worker.id),
            leases=worker.leases,
            demand=len(requests) if demand is None else demand,
            boottime=lambda: 0.0,
            at=at,
            on_lock=on_lock,
        )

    async def grant(self, worker: Worker, request: Request, at: dt.datetime = NOON) -> Job:
        """Reserve what must be granted."""
        (answer,) = await self.reserve(worker, request, at=at)
        assert isinstance(answer, Job), answer
        return answer

    async def deny(self, worker: Worker, request: Request, at: dt.datetime = NOON) -> Denied:
        """Ask for what must be denied."""
        (answer,) = await self.reserve(worker, request, at=at)
        assert isinstance(answer, Denied), answer
        return answer

    async def settle(
        self, job: Job, kind: OutcomeKind, *, at: dt.datetime = NOON, retry_at: dt.datetime | None = None
    ) -> JobStatus | None:
        settlement = Settlement(job=job, kind=kind, reason=kind.lower(), retry_at=retry_at)
        (became,) = await jobs.settle(self.db, [settlement], at=at)
        return became

    async def deferred(self, job: Job, retry_at: dt.datetime, at: dt.datetime = NOON) -> WaitingJob:
        """Settle the job as deferred; the row that waits."""
        assert await self.settle(job, OutcomeKind.DEFERRED, retry_at=retry_at, at=at) is JobStatus.PENDING
        return await self.waiting(job.mailbox_id)

    async def answer(self, parent: Job) -> WaitingJob:
        """An answer to this message, which waits to be sent."""
        await self.db.execute(
            "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,"
            " parent_day, parent_id, created_at) SELECT day, 'REPLY', 'PENDING', recipient_id, user_id, mailbox_id, $2,"
            " 1, day, id, $2 FROM warmup_jobs WHERE id = $1",
            parent.id,
            NOON,
        )
        return await self.waiting(parent.recipient_id)

    async def waiting(self, mailbox_id: int) -> WaitingJob:
        """The one job of the mailbox that waits."""
        (waiting,) = await jobs.load_waiting(self.db, [mailbox_id])
        return waiting

    # -- looking ------------------------------------------------------------------------------------------------

    async def job(self, job: Job | WaitingJob) -> asyncpg.Record:
        row = await self.db.fetchrow("SELECT * FROM warmup_jobs WHERE day = $1 AND id = $2", job.day, job.id)
        assert row is not None
        return row

    async def jobs(self) -> int:
        count: int = await self.db.fetchval("SELECT count(*) FROM warmup_jobs")
        return count

    async def day(self, mailbox_id: int) -> tuple[int, int, int, int]:
        """Places taken, attempts, sent and failed of today."""
        row = await self.db.fetchrow(
            "SELECT taken, attempts, sent, failed FROM mailbox_days WHERE mailbox_id = $1 AND day = $2",
            mailbox_id,
            TODAY,
        )
        assert row is not None
        return tuple(row)


def ask(
    mailbox_id: int,
    recipient_id: int,
    *,
    gap: float = 120.0,
    user_gap: float = 0.0,
    day: dt.date = TODAY,
    waiting: WaitingJob | None = None,
) -> Request:
    """A wish: `mailbox_id` to `recipient_id`."""
    thread = waiting.thread if waiting else Thread(topic="topic", seed=1)
    return Request(
        mailbox_id=mailbox_id,
        day=day,
        recipient_id=recipient_id,
        gap=gap,
        user_gap=user_gap,
        thread=thread,
        waiting=waiting,
    )


def retry(waiting: WaitingJob) -> Request:
    """The wish of a job whose turn has come."""
    return ask(waiting.mailbox_id, waiting.recipient_id, waiting=waiting)


def granted(answers: Sequence[Job | Denied]) -> list[Job]:
    return [answer for answer in answers if isinstance(answer, Job)]


def reasons(answers: Sequence[Job | Denied]) -> list[str]:
    """The word granted, or why not, in order."""
    return ["granted" if isinstance(answer, Job) else answer.why for answer in answers]


async def reserve_on(connection: Connection, worker: Worker, sender: int, recipient: int) -> None:
    """Reserve at noon within the transaction of this connection."""
    answer = await connection.fetchval(
        "SELECT reserve_sends($1, 'w', gen_random_uuid(), 1, $2, $3, ARRAY[$4::bigint], ARRAY[$6::timestamptz::date],"
        " ARRAY[$5::bigint], ARRAY[NULL::date], ARRAY[NULL::bigint], ARRAY[120], ARRAY[0], ARRAY['t'], ARRAY[1], $6)",
        worker.id,
        list(worker.leases.keys()),
        list(worker.leases.values()),
        sender,
        recipient,
        NOON,
    )
    assert "token" in answer[0]


async def somebody_waits(connection: Connection) -> None:
    """Return once another session waits for a lock that this one holds."""
    async with asyncio.timeout(10):
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        while not await connection.fetchval(waits):
            pass


@pytest.fixture(name="ground")
async def laid_ground(database_url: str) -> AsyncIterator[Ground]:
    async with await Database.open(database_url, pool_size=CONNECTIONS, application_name="tests") as db:
        ground = Ground(db)
        await ground.lay()
        yield ground
