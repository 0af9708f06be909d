"""A database that goes away when told to, and counts what it was asked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from warmupd.errors import DatabaseUnavailable
from warmupd.store.database import Connection, Database

MEETINGS = "array_agg(recipient_id)"


class FlakyDatabase(Database):
    """The real one, with faults in between."""

    away = False  # nothing gets through
    deaf_to = ""  # what contains this does not get through, the next `times` times
    loses = ""  # what contains this is done, but its answer is lost, the next `times` times
    times = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.calls: Counter[str] = Counter()  # by the name of the function or the first words
        self.rows = 0  # that were read
        self.batches: list[object] = []  # the ids with which reserve was asked
        self.refused = asyncio.Event()  # somebody has met a fault

    @asynccontextmanager
    async def acquire(self, *, within: float | None = None) -> AsyncIterator[Connection]:
        if self.away:
            self._refuse("is away")
        async with super().acquire(within=within) as connection:
            yield connection

    async def fetchval(self, query: str, *args: object, within: float | None = None) -> Any:
        self._hear(query, args)
        answer = await super().fetchval(query, *args, within=within)
        self._lose(query)
        return answer

    async def fetchrow(self, query: str, *args: object, within: float | None = None) -> Any:
        self._hear(query, args)
        answer = await super().fetchrow(query, *args, within=within)
        self._lose(query)
        return answer

    async def fetch(self, query: str, *args: object, within: float | None = None) -> Any:
        self._hear(query, args)
        answer = await super().fetch(query, *args, within=within)
        self.rows += len(answer)
        return answer

    async def execute(self, query: str, *args: object, within: float | None = None) -> str:
        self._hear(query, args)
        return await super().execute(query, *args, within=within)

    def _hear(self, query: str, args: tuple[object, ...]) -> None:
        for name in ("reserve_sends", "settle_sends", "open_mailbox_days", MEETINGS, "ring_used"):
            self.calls[name] += name in query
        if "reserve_sends" in query:
            self.batches.append(args[2])
        if self.deaf_to and self.deaf_to in query and self.times:
            self.times -= 1
            self._refuse("does not answer")

    def _lose(self, query: str) -> None:
        if self.loses and self.loses in query and self.times:
            self.times -= 1
            self._refuse("lost the answer")

    def _refuse(self, why: str) -> None:
        self.refused.set()
        raise DatabaseUnavailable(f"Postgres {why}")
