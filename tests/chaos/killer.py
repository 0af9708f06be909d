"""The killer: does to workers and to Postgres what the scenario says, when it says so, and keeps a diary.

Workers here are processes of their own, in real time: faults happen at a moment and last, which is what the sleeps are,
and what becomes of a process or of its slots in the database can only be looked for again and again.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
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
POLL = 0.05  # real seconds between two looks at what other processes have done
START_WITHIN, STOP_WITHIN, PICK_WITHIN = 20.0, 12.0, 3.0
LASTING = {"kill", "stop"}  # done at once: what lasts is to see what comes of it
AFTER_KILL = 5.0  # beyond the lease
AGAIN = 0.4  # real seconds after which a worker that ended is started again


@dataclass(kw_only=True)
class Hand:
    """One worker process. `ended_by` is what we did to end it, `signalled` the first signal that was to."""

    spec: WorkerSpec
    id: str
    process: ForkServerProcess
    started_at: float
    ended_by: str = ""
    signalled: signal.Signals | None = None
    skewed: bool = False
    hung: bool = False  # it did not end in time after SIGTERM
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

    def end(self, by: str, how: signal.Signals) -> None:
        """Once: a second SIGTERM would hide that the first one was not followed."""
        self.ended_by = self.ended_by or by
        if self.signalled is None:
            self.signalled = how
            self.signal(how)

    @property
    def started(self) -> bool:
        return "worker.started" in self.said

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """How long the slots of a worker that was killed or stopped were without a living owner.

    `seconds` of real time, infinite when it was longer than watched.
    """

    kind: str
    seconds: float
    disturbed: bool  # by another fault meanwhile


class Killer:
    """Keeps as many workers running as the scenario begins with, and does its worst."""

    def __init__(self, world: ChaosWorld, context: Any) -> None:
        self.hands: list[Hand] = []
        self.takeovers: list[Takeover] = []
        self.diary: list[str] = []
        self.done: Counter[str] = Counter()  # faults, as they were done
        self.resized = False
        self._world = world
        self._context = context
        self._began = time.monotonic()
        self._deeds: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []  # of deeds
        self._begun = 0  # faults so far
        self._busy = 0  # of them that are being done
        self._ending = False
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
        await self._settle()
        await self._kill_in_quiet()
        await self._until(scenario.seconds)
        self._ending = True
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await self._settle()

    async def _settle(self) -> None:
        while self._deeds:
            await asyncio.wait(self._deeds)
        if self._errors:
            raise BaseExceptionGroup("the killer failed", self._errors)

    async def end(self) -> None:
        """End all workers, in order or not."""
        for hand in self.hands:
            hand.signal(signal.SIGCONT)
            if hand.alive:
                hand.end("end", signal.SIGKILL if self._world.scenario.killed_at_last else signal.SIGTERM)
        await asyncio.gather(*(self._see_end(hand) for hand in self.hands))
        self.kill_all()

    def deaths(self) -> list[str]:
        """The workers that had started and then ended by themselves, or did not end well when they were asked to."""
        told = []
        for hand in self.hands:
            code, name = hand.process.exitcode, hand.spec.log.stem
            if not hand.started:
                continue
            if hand.hung:
                told.append(f"{name} did not stop within {STOP_WITHIN:.0f} s of SIGTERM")
            elif hand.signalled is signal.SIGTERM and code != 0:
                told.append(f"{name} ended with {code} after SIGTERM")
            elif hand.signalled is None and code is not None and not hand.alive:
                told.append(f"{name} ended by itself with {code}")
        return told

    async def _see_end(self, hand: Hand) -> None:
        """See it end in the time that it has for it."""
        await _until(lambda: not hand.alive, within=STOP_WITHIN * self._world.scenario.pace)
        if hand.alive:
            hand.hung = hand.signalled is signal.SIGTERM
            hand.signal(signal.SIGKILL)

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
        within = START_WITHIN * self._world.scenario.pace
        if not await _until(lambda: all(hand.started for hand in self.hands if hand.alive), within=within):
            raise TimeoutError(f"workers did not start within {within:.0f} s")

    async def _keep_up(self) -> None:
        """Start again what ended, as a service manager does."""
        replaced: set[int] = set()
        while True:
            await asyncio.sleep(POLL)  # other processes end, and are looked at
            for hand in list(self.hands):
                if not hand.alive and hand.pid not in replaced and hand.ended_by != "spare":
                    replaced.add(hand.pid)
                    self._do(self._start_later(hand.id))

    async def _start_later(self, worker_id: str) -> None:
        await asyncio.sleep(AGAIN)  # what a service manager waits before it starts one again
        if not self._ending:
            self._start(worker_id)

    async def _pick(self, fault: Fault) -> Hand | None:
        """Somebody to whom this can be done, as soon as there is one."""

        def able() -> list[Hand]:
            fit = [hand for hand in self.hands if hand.alive and not hand.ended_by and not _is_frozen(hand)]
            return [hand for hand in fit if hand.started and not (fault.kind == "skew" and hand.skewed)]

        await _until(lambda: bool(able()), within=PICK_WITHIN * self._world.scenario.pace)
        hands = able()
        return hands[int(fault.whom * len(hands))] if hands else None

    # -- faults ---------------------------------------------------------------------------------------------------

    def _begin(self, fault: Fault) -> None:
        deeds: dict[str, Callable[[Fault], Coroutine[Any, Any, bool]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "nap": self._freeze,
            "stop": self._stop,
            "backends": self._cut_backends,
            "restart": self._restart,
            "double": self._double,
            "join": self._double,
            "resize": self._resize,
            "skew": self._skew,
            "lost": self._lose_answers,
            "failover": self._fail_over,
        }
        self._begun += 1
        self._do(self._note(fault, deeds[fault.kind](fault)))

    async def _note(self, fault: Fault, deed: Coroutine[Any, Any, bool]) -> None:
        """Do it. A fault counts when it was done, which is told by what it returns."""
        lasts = fault.kind not in LASTING
        self._busy += lasts
        try:
            done = await deed
        finally:
            self._busy -= lasts
        self.done[fault.kind] += done
        self.diary.append(f"{fault.at:.2f} {fault.kind}{'' if done else ': not done'}")

    def _do(self, deed: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(deed)
        self._deeds.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, deed: asyncio.Task[None]) -> None:
        self._deeds.discard(deed)
        if not deed.cancelled() and (error := deed.exception()):
            self._errors.append(error)

    async def _kill(self, fault: Fault) -> bool:
        if hand := await self._pick(fault):
            hand.ended_by = "kill"
            await self._take_over(hand, signal.SIGKILL)
        return hand is not None

    async def _stop(self, fault: Fault) -> bool:
        if hand := await self._pick(fault):
            hand.ended_by = "stop"
            await asyncio.gather(self._take_over(hand, signal.SIGTERM), self._see_end(hand))
        return hand is not None

    async def _freeze(self, fault: Fault) -> bool:
        if hand := await self._pick(fault):
            lease = hand.spec.lease
            long = lease * (1.3 + fault.amount) if fault.kind == "freeze" else lease * fault.amount * 0.8
            hand.frozen.append((_boottime(), float("inf")))
            hand.signal(signal.SIGSTOP)
            since = _boottime()
            await asyncio.sleep(long)  # the fault itself: it stays frozen
            hand.frozen[-1] = (since, _boottime())
            hand.signal(signal.SIGCONT)
        return hand is not None

    async def _skew(self, fault: Fault) -> bool:
        if hand := await self._pick(fault):
            hand.skewed = True
            hand.signal(signal.SIGUSR1)
        return hand is not None

    async def _lose_answers(self, fault: Fault) -> bool:
        if hand := await self._pick(fault):
            hand.signal(signal.SIGUSR2)
        return hand is not None

    async def _double(self, fault: Fault) -> bool:
        """Start one of a number that is taken; or one more ("join") where there are no numbers."""
        alive = [hand for hand in self.hands if hand.alive]
        able = [hand for hand in alive if (hand.id == "auto") is (fault.kind == "join")]
        if able and len(alive) < MOST_WORKERS:
            double = self._start(able[int(fault.whom * len(able))].id)
            await _until(lambda: double.started, within=PICK_WITHIN * self._world.scenario.pace)
            await self._wait(fault.amount * 3)
            double.end("spare", signal.SIGKILL if fault.amount > 0.5 else signal.SIGTERM)
            await self._see_end(double)
            return double.started
        return False

    async def _resize(self, fault: Fault) -> bool:
        count = (5, 16, 32, 48)[int(fault.amount * 4)]
        self.resized = True
        await self._patiently(lambda: fleet.resize(self._world.db, count, actor="chaos", at=self._world.time.now()))
        return True

    async def _cut_backends(self, fault: Fault) -> bool:
        for _ in range(2 + int(fault.amount * 8)):
            await self._patiently(
                lambda: self._world.db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name <> 'chaos' AND random() < 0.7"
                )
            )
            await self._wait(0.1)
        return True

    async def _restart(self, fault: Fault) -> bool:
        server = self._world.server
        if isinstance(server, Pair) or self._down:
            return False
        self._down = True
        await asyncio.to_thread(server.kill if fault.amount > 0.7 else server.stop)
        await self._wait(fault.amount * 0.8)
        await server.start()
        self._down = False  # if that failed, so does the run
        return True

    async def _fail_over(self, fault: Fault) -> bool:
        pair = self._world.server
        assert isinstance(pair, Pair)
        if fault.amount > 0.5:
            pair.primary.freeze()
        else:
            await asyncio.to_thread(pair.primary.kill)
        await self._wait(fault.amount)
        await pair.promote()
        return True

    # -- what comes of it -----------------------------------------------------------------------------------------

    async def _take_over(self, hand: Hand, how: signal.Signals) -> None:
        """End the worker so, and see how long its slots are without another owner."""
        begun, calm, since = self._begun, self._busy == 0, time.monotonic()
        slots = [] if self._down else await self._slots(hand)
        hand.end(hand.ended_by, how)
        if slots:
            seconds = await self._watch(slots, hand)
            alone = calm and self._begun == begun and not self._others_were_disturbed(hand, since)
            self.takeovers.append(Takeover(kind=hand.ended_by, seconds=seconds, disturbed=not alone))

    async def _kill_in_quiet(self) -> None:
        """One more, after which nothing else happens until every slot of the fleet is owned again, or should be."""
        await self._all_started()
        owned: dict[int, Hand] = {}
        for _ in range(int(self._patience / POLL)):
            alive = [hand for hand in self.hands if hand.alive and not hand.ended_by]
            owned = {len(await self._slots(hand)): hand for hand in alive}
            if any(owned):
                break
            await asyncio.sleep(POLL)  # a row that other processes write is looked at
        if not any(owned):
            self.takeovers.append(Takeover(kind="kill", seconds=float("inf"), disturbed=False))
            return
        hand = owned[max(owned)]
        self.diary.append(f"{time.monotonic() - self._began:.2f} kill in quiet")
        self.done["kill"] += 1
        hand.end("kill", signal.SIGKILL)
        seconds = await self._watch(
            await self._ask(
                "SELECT array_agg(slot) FROM slots WHERE worker_count = (SELECT worker_count FROM settings)"
            ),
            hand,
        )
        self.takeovers.append(Takeover(kind="kill", seconds=seconds, disturbed=False))

    async def _watch(self, slots: Sequence[int], hand: Hand) -> float:
        """Seconds until each of these slots has had a living owner that is not this one, or is no more."""
        since, without = time.monotonic(), list(slots)
        while time.monotonic() - since < self._patience:
            await asyncio.sleep(POLL)  # rows that other processes write are looked at
            owned = await self._ask(
                "SELECT array_agg(n) FROM settings c, unnest($1::int[]) AS n WHERE n >= c.worker_count"
                " OR EXISTS (SELECT FROM slots s JOIN workers w ON w.id = s.owner WHERE s.worker_count = c.worker_count"
                " AND s.slot = n AND s.lease_until > fleet_clock() AND w.name NOT LIKE $2)",
                without,
                f"%:{hand.pid}",
            )
            without = [slot for slot in without if slot not in (owned or ())]
            if not without:
                return time.monotonic() - since
        return float("inf")

    async def _slots(self, hand: Hand) -> list[int]:
        """What it owns."""
        found = await self._ask(
            "SELECT array_agg(s.slot) FROM slots s JOIN workers w ON w.id = s.owner JOIN settings USING (worker_count)"
            " WHERE w.name LIKE $1 AND s.lease_until > fleet_clock()",
            f"%:{hand.pid}",
        )
        return found or []

    @property
    def _patience(self) -> float:
        """Real seconds within which slots must have been taken over, and a little."""
        return (self._world.scenario.lease + AFTER_KILL) * self._world.scenario.pace + 0.5

    async def _until(self, second: float) -> None:
        """Until so many of the scenario's seconds have passed."""
        # The scenario's own time: processes live in the machine's.
        await asyncio.sleep(self._began + second * self._world.scenario.pace - time.monotonic())

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._world.scenario.pace)  # as above

    def _others_were_disturbed(self, ended: Hand, since: float) -> bool:
        """Or a worker of a number began: one that was stopped is only followed when it has ended."""
        return self._busy > 0 or any(
            hand.started_at > since - 1.0
            for hand in self.hands
            if hand.id != "auto" and (hand.id != ended.id or ended.ended_by == "stop")
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
                await asyncio.sleep(0.1)  # Postgres is away: that may be the fault of the moment
            else:
                return
        raise TimeoutError("the database did not come back")


async def _until(condition: Callable[[], bool], *, within: float) -> bool:
    """Whether it came about."""
    for _ in range(int(within / POLL)):
        if condition():
            return True
        await asyncio.sleep(POLL)  # what another process has come to is looked at
    return condition()


def _is_frozen(hand: Hand) -> bool:
    return bool(hand.frozen) and hand.frozen[-1][1] == float("inf")


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
