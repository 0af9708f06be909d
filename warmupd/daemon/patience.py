"""Going on while Postgres is away: nothing is decided without it, and everything resumes by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from warmupd.daemon.ground import Ground
from warmupd.errors import DatabaseUnavailable

PAUSE = 0.5  # real seconds between tries
MOST_TOLD = 5  # different reasons that are told of one outage

T = TypeVar("T")


async def patiently(ground: Ground, part: str, action: Callable[[], Awaitable[T]]) -> T:
    """The action's result, asked for again and again until Postgres answers. `part` names who waits, for the log."""
    told: set[str] = set()
    try:
        while True:
            try:
                result = await action()
            except DatabaseUnavailable as error:
                why = ground.events.waits[part] = str(error)
                if why not in told and len(told) < MOST_TOLD:  # what is wrong first is often not what is wrong then
                    ground.events.database_unavailable(part, why)
                    told.add(why)
                ground.progress.wait(part)
                await ground.clock.pause(PAUSE)
            else:
                if told:
                    ground.events.database_back(part)
                return result
    finally:
        ground.events.waits.pop(part, None)  # also of who is not waited for any more


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
