"""Going on while Postgres is away: nothing is decided without it, and everything resumes by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from warmupd.daemon.ground import Ground
from warmupd.errors import DatabaseUnavailable

PAUSE = 0.5  # real seconds between tries

T = TypeVar("T")


async def patiently(ground: Ground, part: str, action: Callable[[], Awaitable[T]]) -> T:
    """The action's result, asked for again and again until Postgres answers. `part` names who waits, for the log."""
    away = False
    while True:
        try:
            result = await action()
        except DatabaseUnavailable as error:
            if not away:
                ground.events.database_unavailable(part, str(error))
            away = True
            ground.progress.wait(part)
            ground.events.waits[part] = Exception.__str__(error)
            await ground.clock.pause(PAUSE)
        else:
            if away:
                ground.events.database_back(part)
            ground.events.waits.pop(part, None)
            return result


async def within(ground: Ground, seconds: float, event: asyncio.Event) -> bool:
    """Whether the event came within so many real seconds: how a stop waits for what may never come."""
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(event.wait()),
        asyncio.ensure_future(ground.clock.pause(seconds)),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return event.is_set()
