"""Local workers, started and stopped by queue depth, and started again when they die."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from itertools import count

import structlog

from warmupd.clock import Clock
from warmupd.core.scaling import QUICK, Rules, Watched, decide, observe, restart_pause
from warmupd.daemon.child import Child
from warmupd.daemon.progress import Progress
from warmupd.errors import DatabaseUnavailable
from warmupd.store.backlog import loads
from warmupd.store.database import Database

ROUND = 5.0  # seconds between looks at the queue

_log = structlog.get_logger()


class Supervisor:
    """Runs `command` as often as `rules` say."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
        rules: Rules,
    ) -> None:
        self.rules = rules
        self.children: dict[int, Child] = {}
        self.stop_within = 0.0  # real seconds that a worker may take to stop, by its configuration
        self._db = db
        self.clock = clock
        self.progress = Progress()
        self.started = asyncio.Event()  # the first children are there
        self._command = command
        self._environment = environment
        self._numbers = count(1)
        self._ends: dict[int, asyncio.Task[int]] = {}
        self._woken = asyncio.Event()
        self._watched = Watched()
        self._wanted = rules.least
        self._quick_ends = 0
        self._not_before = float("-inf")
        self._away = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then all children drain."""
        _log.info("supervisor.started", least=self.rules.least, most=self.rules.most)
        try:
            while not stop.is_set():
                self.progress.turn("supervisor", rest=ROUND)
                self._bury()
                await self._scale()
                await self._fill()
                self.started.set()
                await self._wait(stop)
        finally:
            self.progress.end("supervisor")
            await self._drain()
        _log.info("supervisor.stopped")

    def hurry(self) -> None:
        """A second order to stop: children leave what is in flight."""
        for child in self.children.values():
            child.send(signal.SIGTERM)

    def hand_on_hup(self) -> None:
        """SIGHUP to every child, but for those that have just begun: it would end them, and they have read nothing."""
        for child in self.children.values():
            if child.heeds(signal.SIGHUP):
                child.send(signal.SIGHUP)

    def change(self, rules: Rules) -> None:
        """Go by other rules from now on."""
        self.rules = rules
        self._wanted = min(max(self._wanted, rules.least), rules.most)

    def _bury(self) -> None:
        """Those that have ended; one that ended by itself is missed."""
        for number in [number for number, end in self._ends.items() if end.done()]:
            child, code = self.children.pop(number), self._ends.pop(number).result()
            if child.leaving:
                _log.info("child.stopped", child=number, code=code)
                continue
            lived = self.clock.boottime() - child.started_at
            pause = self._hold_off(quick=lived < QUICK)
            _log.warning("child.died", child=number, code=code, lived_seconds=round(lived, 1), again_seconds=pause)

    def _hold_off(self, *, quick: bool) -> float:
        """Start nobody for so many seconds, the longer the more in a row have ended soon after their start."""
        self._quick_ends = self._quick_ends + 1 if quick else 0
        pause = restart_pause(self._quick_ends)
        self._not_before = self.clock.boottime() + pause
        return pause

    async def _scale(self) -> None:
        """One more or one less, as the queue asks for."""
        try:
            found = await loads(self._db, at=self.clock.stamp())
        except DatabaseUnavailable as error:
            if not self._away:
                _log.warning("database.unavailable", part="supervisor", why=str(error))
            self._away = True
            return
        self._away = False
        now = self.clock.boottime()
        self._watched = observe(self._watched, found, now, self.rules)
        own = self._at_work()
        if len(own) != self._wanted:
            return  # the last step is still being taken
        step = decide(self._watched, [child.name for child in own], now, self.rules)
        if step.start:
            self._wanted += 1
            self._watched = Watched(idle_since=self._watched.idle_since)
        elif step.stop is not None:
            self._wanted -= 1
            self._dismiss(next(child for child in own if child.name == step.stop), "idle")

    async def _fill(self) -> None:
        """Start what is missing, unless the last ones died at once."""
        for _ in range(self._wanted - len(self._at_work())):
            if self.clock.boottime() < self._not_before:
                return
            number = next(self._numbers)
            try:
                child = await Child.start(
                    number, self._command, environment=self._environment, started_at=self.clock.boottime()
                )
            except OSError as error:  # no memory or process left for now; those that run must not stop for that
                _log.error("child.not_started", child=number, why=str(error), again_seconds=self._hold_off(quick=True))
                return
            self.children[number] = child
            self._ends[number] = end = asyncio.create_task(child.end(), name=f"end of worker {number}")
            end.add_done_callback(lambda _: self._woken.set())
            _log.info("child.started", child=number, pid=child.pid)

    def _at_work(self) -> list[Child]:
        return [child for child in self.children.values() if not child.leaving]

    def _dismiss(self, child: Child, why: str) -> None:
        child.leaving = True
        child.send(signal.SIGTERM)
        _log.info("child.stopping", child=child.number, why=why)

    async def _wait(self, stop: asyncio.Event) -> None:
        """For the next round, the end of a child, or the end of all."""
        rest = max(0.0, self._not_before - self.clock.boottime()) or ROUND
        tasks: list[asyncio.Future[object]] = [
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(self.clock.sleep(min(rest, ROUND))),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._woken.clear()

    async def _drain(self) -> None:
        """All together, each as long as it needs."""
        for child in self._at_work():
            self._dismiss(child, "the supervisor stops")
        while self._ends:
            await asyncio.wait(self._ends.values())
            self._bury()
