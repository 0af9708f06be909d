"""Answers that take long: computed once, and kept for some seconds for whoever asks next or at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from warmupd.clock import Clock

T = TypeVar("T")

FRESH = 15.0  # seconds of the machine for which an answer is handed out as it is
STALE = 120.0  # up to which it is still handed out, while a new one is computed

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    value: Any
    at: float


class Kept:
    """By key the last answer; never more than one computation of a key at a time. For few keys, which all may see."""

    def __init__(self, clock: Clock, *, fresh: float = FRESH, stale: float = STALE) -> None:
        self._clock = clock
        self._fresh = fresh
        self._stale = stale
        self._answers: dict[Hashable, _Answer] = {}
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        """The answer, and how many seconds old it is. Raises what `compute` raises."""
        answer = self._answers.get(key)
        age = self._age(answer)
        if answer is None or age >= self._stale:
            value: T = await asyncio.shield(self._begin(key, compute))
            return value, self._age(self._answers.get(key))
        if age >= self._fresh:
            _ = self._begin(key, compute)
        return answer.value, age

    def glance(self, key: Hashable, compute: Callable[[], Awaitable[T]], *, fresh: float) -> T | None:
        """The last answer, at once; None: there is none yet. One older than `fresh` seconds is computed anew."""
        answer = self._answers.get(key)
        if answer is None or self._age(answer) >= fresh:
            _ = self._begin(key, compute)
        return None if answer is None else answer.value

    def _age(self, answer: _Answer | None) -> float:
        return 0.0 if answer is None else (self._clock.boottime() - answer.at) / self._clock.speed

    def _begin(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
        if key not in self._under_way:
            self._under_way[key] = asyncio.create_task(self._compute(key, compute), name=f"kept {key}")
            self._under_way[key].add_done_callback(_retrieved)
        return self._under_way[key]

    async def _compute(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        begun = self._clock.boottime()
        try:
            value = await compute()
            self._answers[key] = _Answer(value=value, at=begun)
            return value
        finally:
            del self._under_way[key]


def _retrieved(task: "asyncio.Task[Any]") -> None:
    """A failure that nobody waits for is logged, and the next who asks tries again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("kept.failed", what=task.get_name(), error=type(error).__name__)
