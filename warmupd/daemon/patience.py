"""Going on while Postgres is away: nothing is decided without it, and everything resumes by itself."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

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
            await ground.clock.pause(PAUSE)
        else:
            if away:
                ground.events.database_back(part)
            return result
