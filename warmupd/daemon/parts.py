"""Parts of the daemon as named tasks: started together, ended for sure."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

LOOK_AGAIN = 10.0  # real seconds


def start(parts: dict[str, Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
    """One task a part."""
    return [asyncio.create_task(part, name=name) for name, part in parts.items()]


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them until all have ended: what a task waits for may lose a cancellation on its way."""
    while under_way := [task for task in tasks if not task.done()]:
        for task in under_way:
            task.cancel()
        await asyncio.wait(under_way, timeout=LOOK_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)  # what they met at their end was told by then, or is nothing
