"""Lists by how the day goes: ranked as a whole, and kept for some seconds, since no index can tell such an order."""

import asyncio
import datetime as dt
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.window import is_zone, local_day
from warmupd.daemon.options import health_of
from warmupd.store import selection as rows
from warmupd.store.database import Database
from warmupd.store.selection import Moment, Order, Page, Selection

KEPT = 15.0  # seconds for which a ranking is as good as new
STALE = 300.0  # and for which it is answered from while it is made anew
WORTH_KEEPING = 0.02  # seconds that it must have taken: what costs nothing is always new
SPARED = 30.0  # as many times as long as it took, it is as good as new, if that is more
MOST_KEPT = 32

_Key = tuple[Selection, Order, UUID | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A page of ids, and what it is part of."""

    ids: Sequence[int]
    count: int  # of all that fit, MOST_COUNTED at most
    after: Sequence[Any] | None  # for the next page; None: there is none
    ranked_at: dt.datetime | None = None  # when the order was made; None: now


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ranking:
    ids: "array[int]"
    at: dt.datetime
    made: float  # boottime
    took: float

    def is_new(self, now: float) -> bool:
        """Whether it is as good as a new one; what was dear to make is so for longer."""
        return now - self.made <= max(KEPT, self.took * SPARED)


class Rankings:
    """The lists of one worker. In memory: each has its own."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._kept: OrderedDict[_Key, _Ranking] = OrderedDict()
        self._making: dict[_Key, asyncio.Task[_Ranking]] = {}

    async def page(
        self,
        config: Config,
        selection: Selection,
        order: Order,
        *,
        owner: UUID | None,
        limit: int,
        after: Sequence[Any] | None = None,
    ) -> Listing:
        """A page of what fits, of `owner` (None: of everybody), behind `after` of the page before it.

        `after` begins with the number of rows before it. Raises ValueError when it is of another order.
        """
        if order in rows.RANKED or selection.is_ranked:
            ranking = await self._ranking(config, (selection, order, owner))
            return _cut(ranking, limit, after)
        seen, keys = (0, None) if after is None else (int(after[0]), after[1:])
        found = await rows.page_of(self._db, selection, order, owner=owner, limit=limit, after=keys)
        return _listing(found, seen)

    def forget(self) -> None:
        """Something was changed here: the next look is a new one."""
        self._kept.clear()
        self._making.clear()

    async def _ranking(self, config: Config, key: _Key) -> _Ranking:
        """One that is old is still answered from, while the next one is made."""
        kept, now = self._kept.get(key), self._clock.boottime()
        if kept is None or now - kept.made > STALE:
            return await asyncio.shield(self._make_once(config, key))
        if not kept.is_new(now):
            _ = self._make_once(config, key)
        self._kept.move_to_end(key)
        return kept

    def _make_once(self, config: Config, key: _Key) -> "asyncio.Task[_Ranking]":
        """However many ask for it at the same time."""
        if (task := self._making.get(key)) is None:
            task = asyncio.create_task(self._make(config, key), name="ranking")
            self._making[key] = task
            task.add_done_callback(partial(self._made, key))
        return task

    def _made(self, key: _Key, task: "asyncio.Task[_Ranking]") -> None:
        """That it failed is raised to those who wait for it. One that was forgotten meanwhile is not kept."""
        failed = task.cancelled() or task.exception() is not None
        if self._making.get(key) is not task:
            return
        del self._making[key]
        if not failed and (ranking := task.result()).took >= WORTH_KEEPING:
            self._kept[key] = ranking
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    async def _make(self, config: Config, key: _Key) -> _Ranking:
        selection, order, owner = key
        await asyncio.to_thread(_zones)  # the first time it opens some hundreds of files: nothing is to wait for that
        at, began, rules = self._clock.now(), self._clock.boottime(), health_of(config)
        ids = await rows.ranked(
            self._db,
            selection,
            order,
            owner=owner,
            moment=moment_at(at, config.window.timezone),
            smallest_sample=rules.smallest_sample,
            window_days=rules.window_days,
        )
        made = self._clock.boottime()
        return _Ranking(ids=array("q", ids), at=at, made=made, took=made - began)


def moment_at(at: dt.datetime, zone: str) -> Moment:
    """The instant, and what date it is everywhere; `zone` is that of mailboxes that say none."""
    return Moment(at=at, zone=zone, days={name: local_day(at, name) for name in {*_zones(), zone}})


def _cut(ranking: _Ranking, limit: int, after: Sequence[Any] | None) -> Listing:
    """Behind the row that was last; where that has left the ranking, as many rows on as there were."""
    start = 0
    if after:
        seen, last = (int(one) for one in after)
        start = min(seen, len(ranking.ids))
        if not (start > 0 and ranking.ids[start - 1] == last) and last in ranking.ids:
            start = ranking.ids.index(last) + 1
    ids = ranking.ids[start : start + limit].tolist()
    end = start + len(ids)
    more = end < len(ranking.ids)
    count = min(len(ranking.ids), rows.MOST_COUNTED + 1)
    return Listing(ids=ids, count=count, after=[end, ids[-1]] if more else None, ranked_at=ranking.at)


def _listing(found: Page, seen: int) -> Listing:
    count = min(seen + found.count, rows.MOST_COUNTED + 1)
    after = None if found.last is None else [seen + len(found.ids), *found.last]
    return Listing(ids=found.ids, count=count, after=after)


@cache
def _zones() -> tuple[str, ...]:
    return tuple(name for name in available_timezones() if is_zone(name))
