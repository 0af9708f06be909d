"""Accounts are read while Postgres reserves, and again where that took long or they could not be had."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.daemon.rig import PATIENCE, Rig, after
from warmupd.daemon import sends, shard
from warmupd.errors import DatabaseUnavailable

Around = Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]


@pytest.fixture(name="around")
def put_around(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, Around], None]:
    """Puts something around a function of a module."""
    return lambda module, name, around: monkeypatch.setattr(module, name, around(getattr(module, name)))


async def test_they_are_read_while_postgres_reserves(rig: Rig, around: Callable[[Any, str, Around], None]) -> None:
    read = asyncio.Event()

    def reading(load: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def loaded(*args: Any, **options: Any) -> Any:
            found = await load(*args, **options)
            read.set()
            return found

        return loaded

    def reserving(reserve: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def reserved(*args: Any, **options: Any) -> Any:
            await asyncio.wait_for(read.wait(), PATIENCE / 3)
            return await reserve(*args, **options)

        return reserved

    around(sends, "load_accounts", reading)
    around(shard, "reserve", reserving)
    await _live(rig)


async def test_where_postgres_took_long_they_are_read_again(
    rig: Rig, around: Callable[[Any, str, Around], None]
) -> None:
    told: list[str] = []

    def reading(load: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        def loaded(*args: Any, **options: Any) -> Awaitable[Any]:
            told.append("read")
            return load(*args, **options)

        return loaded

    def reserving(reserve: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def reserved(*args: Any, **options: Any) -> Any:
            answers = await reserve(*args, **options)
            rig.clock.advance(shard.CURRENT + 0.1)
            told.append("reserved")
            return answers

        return reserved

    around(sends, "load_accounts", reading)
    around(shard, "reserve", reserving)
    await _live(rig)
    assert told[:3] == ["read", "reserved", "read"]


async def test_where_they_could_not_be_had_meanwhile_they_are_read_again(
    rig: Rig, around: Callable[[Any, str, Around], None]
) -> None:
    tries = iter(range(1000))

    def failing(load: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def loaded(*args: Any, **options: Any) -> Any:
            if next(tries) % 2 == 0:
                raise DatabaseUnavailable("away")
            return await load(*args, **options)

        return loaded

    around(sends, "load_accounts", failing)
    await _live(rig)
    assert not await rig.db.fetchval("SELECT count(*) FROM warmup_jobs WHERE outcome = 'database'")


async def _live(rig: Rig) -> None:
    """Two mailboxes have their day, and each attempt of it is a send."""
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [2, 2]
    assert [row["attempts"] for row in await rig.world.days(boxes)] == [2, 2]
