"""In place of the engager in simulations without visits."""

import asyncio

from warmupd.clock import VirtualClock
from warmupd.daemon.engager import Engager


class NoVisits(Engager):
    """Nobody is ever visited."""

    def __init__(self) -> None:
        """It needs none of the parts of a real one."""

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def drain(self, patience: float) -> None:
        """There is nothing under way."""

    async def cut(self) -> None:
        """Nor to be broken off."""

    def is_calm(self, clock: VirtualClock) -> bool:
        return True

    @property
    def under_way(self) -> list[asyncio.Task[bool]]:
        return []
