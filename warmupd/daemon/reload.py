"""SIGHUP: what of a new configuration a running worker takes over, and what it names as waiting for a restart."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from warmupd.config import Config
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.keys_check import look_at_keys
from warmupd.daemon.patience import patiently, within
from warmupd.daemon.taking_over import Ready, ready, take_over
from warmupd.errors import WarmupdError
from warmupd.store import slots
from warmupd.store.database import Database
from warmupd.store.mended import end_forbidden_rests

NEED_RESTART = ("database.", "worker.", "http.listen", "http.same_port")  # all else is taken over
TOLD_WITHIN = 2.0  # real seconds that a reload waits for Postgres to hear of it; then that goes on by itself

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reloaded:
    """What a reload has come to: all of it is in force, or none (`why`, with the key, and what to do about it)."""

    applied: bool
    taken_over: tuple[str, ...] = ()
    need_restart: tuple[str, ...] = ()
    why: str = ""


class Reload:
    """Reads the configuration anew when asked. A bad one changes nothing; the error names the key.

    `tell` is handed what is in force from then on: what waits for a restart is in it as it was.
    """

    def __init__(
        self,
        worker: Worker,
        db: Database,
        load: Callable[[], Config],
        *,
        tell: Callable[[Config], None] = lambda _: None,
    ) -> None:
        self._worker = worker
        self._db = db
        self._load = load
        self._in_force = tell
        self._started_with = worker.config
        self._turn = asyncio.Lock()
        self._telling: asyncio.Task[None] | None = None
        self._rests_to_end = self._keys_to_look_at = False
        worker.metrics.reloaded(at=worker.clock.now(), well=True)

    async def reload(self) -> Reloaded:
        """Take over what can be. Raises nothing: what is wrong with the new configuration is logged, and returned."""
        async with self._turn:
            try:
                read, new = await asyncio.to_thread(self._make_ready)
            except Exception as error:  # noqa: BLE001  whatever it is, the old configuration stays, whole
                return self._refused(error)
            before = self._worker.config
            take_over(self._worker, new)
            self._in_force(new.config)
            self._worker.metrics.reloaded(at=self._worker.clock.now(), well=True)
            taken = tuple(_changed_keys(before, new.config))
            waiting = tuple(_changed_keys(new.config, read))
            _log.info("config.reloaded", taken_over=list(taken), need_restart=list(waiting))
            self._rests_to_end |= policy_of(before) != policy_of(new.config)
            self._keys_to_look_at |= before.secrets.keys != new.config.secrets.keys
            await self._tell(new)
            return Reloaded(applied=True, taken_over=taken, need_restart=waiting)

    async def close(self) -> None:
        """Nothing is told to Postgres any more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    def _make_ready(self) -> tuple[Config, Ready]:
        """As it was read, and as it can be taken over."""
        read = self._load()
        return read, ready(_without_restart(self._started_with, read), self._worker)

    def _refused(self, error: Exception) -> Reloaded:
        known = isinstance(error, WarmupdError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        self._worker.metrics.reloaded(at=self._worker.clock.now(), well=False)
        _log.error("config.refused", why=why, exc_info=None if known else error)
        return Reloaded(applied=False, why=why)

    async def _tell(self, new: Ready) -> None:
        """Have Postgres hear of it, and so the other workers, however long it is away; the latest word counts."""
        await self.close()
        told = asyncio.Event()
        self._telling = asyncio.create_task(self._go_on_telling(new, told), name="reload")
        await within(self._worker._ground, TOLD_WITHIN, told)

    async def _go_on_telling(self, new: Ready, told: asyncio.Event) -> None:
        ground = self._worker._ground
        try:
            await patiently(ground, "reload", partial(slots.post_limits, self._db, new.limits))
            await patiently(ground, "reload", self._worker.leases.register)
            if self._rests_to_end:  # after this worker goes by it: they are tried at once
                await patiently(ground, "reload", partial(end_forbidden_rests, self._db))
                self._rests_to_end = False
            if self._keys_to_look_at:
                await patiently(ground, "reload", partial(look_at_keys, self._db, new.vault))
                self._keys_to_look_at = False
        except Exception as error:  # noqa: BLE001  it is in force here; the next renewal and resync tell the rest
            ground.events.part_failed("reload", error)
        finally:
            told.set()


def _without_restart(started: Config, read: Config) -> Config:
    """What waits for a restart as it was."""
    http = read.http.model_copy(update={"listen": started.http.listen, "same_port": started.http.same_port})
    return read.model_copy(update={"database": started.database, "worker": started.worker, "http": http})


def _changed_keys(old: Config, new: Config) -> list[str]:
    changed = []
    for key, _ in keys_of(Config):
        before: object = old
        after: object = new
        for name in key.split("."):
            before, after = getattr(before, name), getattr(after, name)
        if before != after:
            changed.append(key)
    return changed
