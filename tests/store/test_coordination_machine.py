"""Claim, renew, give back, reserve, settle, find, reap, resize, by several processes, two of them at once at any time.

After every deed the invariants hold, and the ledger differs from before by what that deed may change, and nothing else.
`make test ARGS="--hypothesis-profile=deep -k coordination_machine"` plays it for long (tests/conftest.py).
"""

import asyncio
import datetime as dt
import sys
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.ha.pgbouncer import needs_pgbouncer, pgbouncer
from tests.ha.servers import Server
from tests.store.coordination import Deed, Fleet, Flight, Held, Process, lay
from tests.store.coordination_deeds import MAKERS
from warmupd.core.outcome import OutcomeKind
from warmupd.store import jobs, slots
from warmupd.store.database import Connection, Database
from warmupd.store.jobs import Settlement
from warmupd.store.migrate import migrate

NUMBERS = count(1)
SEEN: Counter[str] = Counter()  # what was done, over all games
PATIENCE = 20.0  # seconds in which every deed must be answered once nobody is in its way
MOST = 4  # processes

Wish = tuple[str, list[int]]
often = ["reserve", "reserve", "reserve", "tell", "tell", "renew", "claim", "find", "find"]
choices = st.lists(st.integers(0, 11), min_size=8, max_size=8)
wishes = st.tuples(st.sampled_from([*often, *MAKERS]), choices)
seconds = st.sampled_from([0.0, 0.0, 0.4, 0.4, 3.0, 3.0, 3.0, 12.0, 16.0, 16.0, 31.0, 66.0, 700.0])
numbers = st.integers(0, 11)
kinds = st.sampled_from([OutcomeKind.SENT] * 4 + [OutcomeKind.UNKNOWN] * 2 + list(OutcomeKind))
waits_for_retry = st.sampled_from([0, 20, 90])


class CoordinationMachine(RuleBasedStateMachine):
    """The fleet of `coordination`, played."""

    def __init__(self, url: str, drop: Coroutine[Any, Any, None]) -> None:
        super().__init__()
        self.url, self.drop = url, drop
        self.runner = asyncio.Runner()
        self.well = False

    @initialize()
    def begin(self) -> None:
        self.do(self._begin())

    async def _begin(self) -> None:
        db = await Database.open(self.url, pool_size=8, application_name="tests", command_timeout=PATIENCE)
        self.fleet = Fleet(db)
        await self.fleet.begin()
        for _ in range(2):
            await self._start(None)

    def teardown(self) -> None:
        try:
            if self.well:
                self.runner.run(self.fleet.end())
        finally:
            if hasattr(self, "fleet"):
                self.runner.run(self.fleet.db.close())
                SEEN.update(self.fleet.done)
                SEEN["games"] += 1
            self.runner.run(self.drop)
            self.runner.close()

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        self.well = False
        SEEN["steps"] += 1
        self.runner.run(what)
        self.well = True

    # -- one after the other --------------------------------------------------------------------------------------

    @rule(wish=wishes, heard=st.sampled_from([True, True, True, False]))
    def deed(self, wish: Wish, heard: bool) -> None:
        self.do(self._deed(wish, heard=heard))

    async def _deed(self, wish: Wish, *, heard: bool = True) -> None:
        if deed := await self._make(wish):
            await deed.ask(self.fleet.db)
            await self.fleet.happened(deed, heard=heard)

    async def _make(self, wish: Wish) -> Deed | None:
        name, chosen = wish
        self.fleet.waiting = sorted(await jobs.load_waiting(self.fleet.db), key=lambda job: job.id)
        return MAKERS[name](self.fleet, chosen)

    @rule(seconds=seconds)
    def time_passes(self, seconds: float) -> None:
        self.fleet.now += dt.timedelta(seconds=seconds)

    # -- two at once ----------------------------------------------------------------------------------------------

    @rule(
        first=wishes,
        others=st.lists(st.tuples(wishes, seconds), min_size=1, max_size=4),
        commits=st.sampled_from([True, True, False]),
        heard=st.booleans(),
    )
    def meanwhile(self, first: Wish, others: list[tuple[Wish, float]], commits: bool, heard: bool) -> None:
        """The first is held in its open transaction while the others ask; whoever waits for it goes on when it ends."""
        self.do(self._meanwhile(first, others, commits=commits, heard=heard))

    async def _meanwhile(self, first: Wish, others: list[tuple[Wish, float]], *, commits: bool, heard: bool) -> None:
        deed = await self._make(first)
        if deed is None:
            return
        left = list(others)
        waiting: tuple[Deed, asyncio.Task[None]] | None = None
        async with self.fleet.db.acquire() as connection:
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            await deed.ask(Held(connection))
            while left and waiting is None:
                wish, seconds = left.pop(0)
                self.fleet.now += dt.timedelta(seconds=seconds)
                if (other := await self._make(wish)) is None:
                    continue
                task = asyncio.create_task(other.ask(self.fleet.db))
                if await waits(connection, task):
                    waiting = other, task
                else:
                    await self.fleet.happened(other, heard=True)
            if commits:
                await self.fleet.happened(deed, heard=heard, within=Held(connection))
            await (transaction.commit() if commits else transaction.rollback())
        SEEN["held"] += 1
        if waiting:
            SEEN["waited"] += 1
            async with asyncio.timeout(PATIENCE):
                await waiting[1]
            await self.fleet.happened(waiting[0], heard=True)

    @rule(number=numbers, chosen=st.lists(choices, min_size=3, max_size=3), commits=st.booleans())
    def reserve_at_once(self, number: int, chosen: list[list[int]], commits: bool) -> None:
        """Two who share the slots, both with their leases, and neither knows of a demand of the other."""
        self.do(self._reserve_at_once([number, number + 1], chosen, commits=commits))

    async def _reserve_at_once(self, pair: list[int], chosen: list[list[int]], *, commits: bool) -> None:
        for number in pair:
            for name in ("renew", "claim"):
                await self._deed((name, [number, 0, *chosen[2]]))
        one, other = [("reserve", [number, *wish[1:]]) for number, wish in zip(pair, chosen, strict=False)]
        await self._meanwhile(one, [(other, 0.0)], commits=commits, heard=True)

    # -- a worker's day -------------------------------------------------------------------------------------------

    @rule(number=numbers, chosen=choices, wait=seconds)
    def work(self, number: int, chosen: list[int], wait: float) -> None:
        """Renew, claim, reserve, and send what is in time."""
        self.do(self._work(number, chosen))
        self.fleet.now += dt.timedelta(seconds=wait)

    async def _work(self, number: int, chosen: list[int]) -> None:
        for name in ("renew", "claim", "reserve"):
            await self._deed((name, [number, *chosen[1:]]))
        for flight in [flight for flight in self.fleet.flights if not flight.begun]:
            self._converse(flight)

    @rule(number=numbers)
    def converse(self, number: int) -> None:
        """Somebody comes late, or is about to."""
        if flights := [flight for flight in self.fleet.flights if not flight.begun]:
            self._converse(flights[number % len(flights)])

    def _converse(self, flight: Flight) -> None:
        """A process sends only what is in time, and what it trusts its lease for; else it gives the job back."""
        now = self.fleet.boottime
        sure = flight.process.trusts(flight.job.mailbox_id, self.fleet.now) == flight.epoch is not None
        if sure and flight.job.not_before <= now <= flight.job.deadline:
            self.fleet.converse(flight)
        elif not sure or now > flight.job.deadline:
            self._ends(flight, OutcomeKind.RETURNED)

    @rule(
        ends=st.lists(st.tuples(numbers, kinds, st.booleans()), min_size=1, max_size=4),
        wait=waits_for_retry,
        tells=choices,
        finds=choices,
    )
    def conversations_end(
        self, ends: list[tuple[int, OutcomeKind, bool]], wait: int, tells: list[int], finds: list[int]
    ) -> None:
        """However late; what is UNKNOWN may have been taken. Some are told, and found, at once."""
        for number, kind, taken in ends:
            if flights := [flight for flight in self.fleet.flights if flight.begun]:
                flight = flights[number % len(flights)]
                if kind is OutcomeKind.SENT or (kind is OutcomeKind.UNKNOWN and taken):
                    self.fleet.accept(flight.job)
                self._ends(flight, kind, wait)
        self.do(self._deed(("tell", tells)))
        self.do(self._deed(("find", finds)))

    def _ends(self, flight: Flight, kind: OutcomeKind, wait: int = 0) -> None:
        retry_at = self.fleet.now + dt.timedelta(seconds=wait)
        self.fleet.flights.remove(flight)
        told = Settlement(job=flight.job, kind=kind, reason=kind.lower(), retry_at=retry_at)
        self.fleet.outbox.append(told)
        self.fleet.told.append(told)

    # -- processes ------------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["start", "start", "double", "kill"]), number=numbers)
    def come_and_go(self, what: str, number: int) -> None:
        processes = self.fleet.processes
        one = processes[number % len(processes)]
        if what == "kill" and len(processes) > 1:  # with what it had in hand
            processes.remove(one)
            self.fleet.flights = [flight for flight in self.fleet.flights if flight.process is not one]
        elif what == "start" and len(processes) < MOST:
            self.do(self._start(number if number < 4 else None))
        elif what == "double" and len(processes) < MOST:  # a machine is copied with what runs on it
            processes.append(
                replace(one, held=dict(one.held), until=dict(one.until)),
            )

    async def _start(self, only: int | None) -> None:
        process = Process(uuid4(), only)
        await slots.register_worker(
            self.fleet.db, process.id, name="w", http_address="", version="", limits={}, wants=only, at=self.fleet.now
        )
        self.fleet.processes.append(process)
        await self._deed(("claim", [len(self.fleet.processes) - 1, 1]))


async def waits(connection: Connection, task: asyncio.Task[None]) -> bool:
    """Whether the task comes to wait for a lock of this connection's transaction, before it is done."""
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    async with asyncio.timeout(PATIENCE):
        while not task.done():
            if await connection.fetchval(blocked):
                return True
    await task
    return False


@pytest.fixture
def laid(postgres: str, template_database: str) -> Iterator[str]:
    """The name of a database as every game begins with."""
    name = f"coordination_{next(NUMBERS)}"
    asyncio.run(command(postgres, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY"))
    asyncio.run(lay_in(named(postgres, name)))
    yield name
    asyncio.run(command(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


def test_coordination_machine(postgres: str, laid: str) -> None:
    deep = settings.get_current_profile_name() == "deep"
    SEEN.clear()
    play(postgres, laid, games=settings().max_examples if deep else 8, deep=deep)
    sys.stdout.write(f"{dict(SEEN)}\n")  # for pytest -s
    assert all(SEEN[word] for word in ("granted", "not_owner", "waited")), SEEN


@pytest.mark.ha
@needs_pgbouncer
async def test_coordination_machine_behind_a_pooler(data_dir: Path) -> None:
    """In transaction mode: the same game, by connections that change from statement to statement."""
    server = await Server.make(data_dir)
    try:
        direct = f"{server.url}?"
        await command(direct, "CREATE DATABASE laid")
        async with await Database.open(named(direct, "laid"), pool_size=1, application_name="tests") as db:
            await migrate(db)
        await lay_in(named(direct, "laid"))
        async with pgbouncer(server, pool_size=8) as pooled:
            await asyncio.to_thread(play, direct, "laid", games=3, through=pooled)
    finally:
        server.stop()


def play(server: str, laid: str, *, games: int, deep: bool = False, through: str = "") -> None:
    """So many games, each in a copy of the database `laid`; the processes reach it by `through`, if given."""

    def begin() -> CoordinationMachine:
        name = f"coordination_{next(NUMBERS)}"
        asyncio.run(command(server, f"CREATE DATABASE {name} TEMPLATE {laid} STRATEGY FILE_COPY"))
        drop = command(server, f"DROP DATABASE {name} WITH (FORCE)")
        return CoordinationMachine(named(through or server, name), drop)

    play_settings = settings(
        max_examples=games,
        stateful_step_count=settings().stateful_step_count if deep else 40,
        derandomize=not deep,
        phases=list(Phase) if deep else [Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(begin, settings=play_settings)  # type: ignore[arg-type]  # whatever makes one will do


async def command(server: str, words: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(words)
    finally:
        await connection.close()


async def lay_in(url: str) -> None:
    async with await Database.open(url, pool_size=2, application_name="tests") as db:
        await lay(db)


def named(server: str, name: str) -> str:
    return server.replace("/warmupd?", f"/{name}?")
