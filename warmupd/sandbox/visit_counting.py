"""A database that counts what it is asked, by the statement's first words."""

from collections import Counter
from typing import Any

from warmupd.store.database import Database

_WORDS = 90  # characters of a statement by which it is known


class CountingDatabase(Database):
    """As `Database`; statements in transactions of their own are not told apart."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.asked: Counter[str] = Counter()

    async def fetch(self, query: str, *args: object, within: float | None = None) -> Any:
        self._count(query)
        return await super().fetch(query, *args, within=within)

    async def fetchrow(self, query: str, *args: object, within: float | None = None) -> Any:
        self._count(query)
        return await super().fetchrow(query, *args, within=within)

    async def fetchval(self, query: str, *args: object, within: float | None = None) -> Any:
        self._count(query)
        return await super().fetchval(query, *args, within=within)

    async def execute(self, query: str, *args: object, within: float | None = None) -> str:
        self._count(query)
        return await super().execute(query, *args, within=within)

    def told(self) -> Counter[str]:
        """What was asked since this was last called."""
        asked, self.asked = self.asked, Counter()
        return asked

    def _count(self, query: str) -> None:
        self.asked[" ".join(query.split())[:_WORDS]] += 1
