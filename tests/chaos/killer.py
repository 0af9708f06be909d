"""The killer: does to workers and to Postgres what the scenario says, when it says so, and keeps a diary."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from typing import Any

from tests.chaos.scenario import Fault
from tests.chaos.worker import WorkerSpec, work
from tests.chaos.world import ChaosWorld
from tests.ha.servers import Pair
from warmupd.errors import DatabaseUnavailable
from warmupd.store import fleet

MOST_WORKERS = 5
POLL = 0.05
START_WITHIN, STOP_WITHIN = 20.0, 12.0
AGAIN = 0.4  # real seconds after which a worker that ended is started again


@dataclass(kw_only=True)
class Hand:
    """One worker process. `ended_by` is what we did to end it."""

    spec: WorkerSpec
    id: str
    process: ForkServerProcess
    started_at: float
    ended_by: str = ""
    frozen: list[tuple[float, float]] = field(default_factory=list)  # CLOCK_BOOTTIME, from and until

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def said(self) -> str:
        """Its log."""
        return self.spec.log.read_text() if self.spec.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """How long the slots of a worker that was killed or stopped were without a living owner. `seconds` of real time."""

    kind: str
    seconds: float
    disturbed: bool  # by another fault meanwhile


class Killer:
    """Keeps as many workers running as the scenario begins with, and does its worst."""

    def __init__(self, world: ChaosWorld, context: Any) -> None:
        self.hands: list[Hand] = []
        self.takeovers: list[Takeover] = []
        self.diary: list[str] = []
        self.resized = False
        self._world = world
        self._context = context
        self._began = time.monotonic()
        self._deeds: set[asyncio.Task[None]] = set()
        self._done = 0  # faults so far
        self._down = False  # whether Postgres is, by us

    async def storm(self) -> None:
        """Start the workers, do all that the scenario has, and keep up what falls."""
        scenario = self._world.scenario
        self._began = time.monotonic()
        for worker_id in scenario.ids:
            self._start(worker_id)
        await self._all_started()
        self._began = time.monotonic()
        keeping = asyncio.create_task(self._keep_up())
        for fault in scenario.faults:
            await self._until(fault.at)
            self._begin(fault)
        await self._until(scenario.seconds)
        while self._deeds:
            await asyncio.gather(*self._deeds)
        keeping.cancel()

    async def end(self) -> list[str]:
        """End all workers, in order or not; which of them did not want to."""
        for hand in self.hands:
            hand.signal(signal.SIGCONT)
            if hand.alive:
                hand.ended_by = hand.ended_by or "end"
                hand.signal(signal.SIGKILL if self._world.scenario.killed_at_last else signal.SIGTERM)
        await _until(lambda: not any(hand.alive for hand in self.hands), within=STOP_WITHIN)
        late = [f"worker {hand.pid} did not stop" for hand in self.hands if hand.alive]
        self.kill_all()
        return late

    def deaths(self) -> list[str]:
        """The workers that had started and then ended by themselves."""
        return [
            f"worker {hand.spec.log.stem} ended by itself"
            for hand in self.hands
            if not hand.ended_by and hand.process.exitcode is not None and "worker.started" in hand.said
        ]

    def kill_all(self) -> None:
        for deed in self._deeds:
            deed.cancel()  # a restart under way would leave a Postgres behind
        for hand in self.hands:
            hand.signal(signal.SIGKILL)
            hand.process.join(5)

    # -- workers --------------------------------------------------------------------------------------------------

    def _start(self, worker_id: str) -> Hand:
        spec = self._world.spec(worker_id)
        process = self._context.Process(target=work, args=(spec,), daemon=True)
        process.start()
        hand = Hand(spec=spec, id=worker_id, process=process, started_at=time.monotonic())
        self.hands.append(hand)
        return hand

    async def _all_started(self) -> None:
        await _until(lambda: all("worker.started" in hand.said for hand in self.hands), within=START_WITHIN)

    async def _keep_up(self) -> None:
        """Start again what ended, as a service manager does."""
        replaced: set[int] = set()
        while True:
            await asyncio.sleep(POLL)
            for hand in list(self.hands):
                if not hand.alive and hand.pid not in replaced and hand.ended_by != "spare":
                    replaced.add(hand.pid)
                    self._do(self._start_later(hand.id))

    async def _start_later(self, worker_id: str) -> None:
        await asyncio.sleep(AGAIN)
        if not self._is_over:
            self._start(worker_id)

    def _pick(self, fault: Fault) -> Hand | None:
        alive = [hand for hand in self.hands if hand.alive and not hand.ended_by and not _is_frozen(hand)]
        return alive[int(fault.whom * len(alive))] if alive else None

    # -- faults ---------------------------------------------------------------------------------------------------

    def _begin(self, fault: Fault) -> None:
        deeds: dict[str, Callable[[Fault], Coroutine[Any, Any, None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "nap": self._freeze,
            "stop": self._stop,
            "backends": self._cut_backends,
            "restart": self._restart,
            "double": self._double,
            "resize": self._resize,
            "skew": self._skew,
            "lost": self._lose_answers,
            "failover": self._fail_over,
        }
        self._done += 1
        self.diary.append(f"{fault.at:.2f} {fault.kind}")
        self._do(deeds[fault.kind](fault))

    def _do(self, deed: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(deed)
        self._deeds.add(task)
        task.add_done_callback(self._deeds.discard)

    async def _kill(self, fault: Fault) -> None:
        if hand := self._pick(fault):
            hand.ended_by = "kill"
            await self._take_over(hand, signal.SIGKILL)

    async def _stop(self, fault: Fault) -> None:
        if hand := self._pick(fault):
            hand.ended_by = "stop"
            await self._take_over(hand, signal.SIGTERM)

    async def _freeze(self, fault: Fault) -> None:
        if hand := self._pick(fault):
            lease = hand.spec.lease
            long = lease * (1.3 + fault.amount) if fault.kind == "freeze" else lease * fault.amount * 0.8
            hand.frozen.append((_boottime(), float("inf")))
            hand.signal(signal.SIGSTOP)
            since = _boottime()
            await asyncio.sleep(long)
            hand.frozen[-1] = (since, _boottime())
            hand.signal(signal.SIGCONT)

    async def _skew(self, fault: Fault) -> None:
        if hand := self._pick(fault):
            hand.signal(signal.SIGUSR1)

    async def _lose_answers(self, fault: Fault) -> None:
        if hand := self._pick(fault):
            hand.signal(signal.SIGUSR2)

    async def _double(self, fault: Fault) -> None:
        alive = [hand for hand in self.hands if hand.alive]
        if alive and len(alive) < MOST_WORKERS:
            double = self._start(alive[int(fault.whom * len(alive))].id)
            await self._wait(fault.amount * 3)
            double.ended_by = "spare"
            double.signal(signal.SIGKILL if fault.amount > 0.5 else signal.SIGTERM)

    async def _resize(self, fault: Fault) -> None:
        count = (5, 16, 32, 48)[int(fault.amount * 4)]
        self.resized = True
        await self._patiently(lambda: fleet.resize(self._world.db, count, actor="chaos", at=self._world.time.now()))

    async def _cut_backends(self, fault: Fault) -> None:
        for _ in range(2 + int(fault.amount * 8)):
            await self._patiently(
                lambda: self._world.db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name <> 'chaos' AND random() < 0.7"
                )
            )
            await self._wait(0.1)

    async def _restart(self, fault: Fault) -> None:
        server = self._world.server
        if isinstance(server, Pair) or self._down:
            return
        self._down = True
        await asyncio.to_thread(server.kill if fault.amount > 0.7 else server.stop)
        await self._wait(fault.amount * 0.8)
        await server.start()
        self._down = False

    async def _fail_over(self, fault: Fault) -> None:
        pair = self._world.server
        assert isinstance(pair, Pair)
        if fault.amount > 0.5:
            pair.primary.freeze()
        else:
            await asyncio.to_thread(pair.primary.kill)
        await self._wait(fault.amount)
        await pair.promote()

    # -- what comes of it -----------------------------------------------------------------------------------------

    async def _take_over(self, hand: Hand, how: signal.Signals) -> None:
        """End the worker so, and see how long its slots are without another owner."""
        owned = "SELECT count(*) FROM slots s JOIN workers w ON w.id = s.owner WHERE w.name LIKE $1"
        name = f"%:{hand.pid}"
        begun, since = self._done, time.monotonic()
        had = None if self._down else await self._ask(f"{owned} AND s.lease_until > fleet_clock()", name)
        hand.signal(how)
        if not had:
            return
        while time.monotonic() - since < 15:
            await asyncio.sleep(POLL)
            if await self._ask(owned, name) == 0:
                disturbed = self._done != begun or self._others_were_disturbed(since)
                took = Takeover(kind=hand.ended_by, seconds=time.monotonic() - since, disturbed=disturbed)
                self.takeovers.append(took)
                return
            if self._is_over:
                return

    @property
    def _is_over(self) -> bool:
        scenario = self._world.scenario
        return time.monotonic() > self._began + scenario.seconds * scenario.pace

    async def _until(self, second: float) -> None:
        """Until so many of the scenario's seconds have passed."""
        await asyncio.sleep(self._began + second * self._world.scenario.pace - time.monotonic())

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._world.scenario.pace)

    def _others_were_disturbed(self, since: float) -> bool:
        return any(_is_frozen(hand) for hand in self.hands) or any(
            hand.started_at > since - 1.0 for hand in self.hands if hand.id != "auto"
        )

    async def _ask(self, query: str, *args: object) -> Any:
        try:
            return await self._world.db.fetchval(query, *args)
        except DatabaseUnavailable:
            return None

    async def _patiently(self, deed: Callable[[], Coroutine[Any, Any, object]]) -> None:
        for _ in range(100):
            try:
                await deed()
            except DatabaseUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def _until(condition: Callable[[], bool], *, within: float) -> None:
    for _ in range(int(within / POLL)):
        if condition():
            return
        await asyncio.sleep(POLL)


def _is_frozen(hand: Hand) -> bool:
    return bool(hand.frozen) and hand.frozen[-1][1] == float("inf")


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
