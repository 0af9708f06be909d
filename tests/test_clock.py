"""The clocks: virtual time moves when it is told to, scaled time runs ahead, real time is the database's own."""

import asyncio
import datetime as dt
import time

import pytest

from warmupd.clock import Clock, ScaledClock, SystemClock, VirtualClock

START = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
BERLIN = dt.timezone(dt.timedelta(hours=1))


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock, woken = VirtualClock(START), list[float]()

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (30, 10, 20, 10.5, 99)]
    await settled()
    clock.advance(50)
    await settled()
    assert woken == [10, 10.5, 20, 30]
    assert clock.next_wakeup == START + dt.timedelta(seconds=99)
    tasks[-1].cancel()


async def test_who_sleeps_alike_wakes_in_the_order_of_falling_asleep() -> None:
    clock, woken = VirtualClock(START), list[int]()

    async def sleeper(number: int) -> None:
        await clock.sleep(5)
        woken.append(number)

    tasks = [asyncio.create_task(sleeper(number)) for number in range(5)]
    await settled()
    clock.advance(5)
    await asyncio.gather(*tasks)
    assert woken == [0, 1, 2, 3, 4]


async def test_nobody_wakes_a_moment_too_early() -> None:
    clock = VirtualClock(START)
    task = asyncio.create_task(clock.sleep(10))
    await settled()
    clock.advance(9.999)
    await settled()
    assert not task.done()
    clock.advance(0.001)
    await task


async def test_cancelled_sleepers_do_not_linger() -> None:
    clock = VirtualClock(START)
    last = asyncio.create_task(clock.sleep(1000))
    for _ in range(1000):
        task = asyncio.create_task(clock.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    assert len(clock._sleepers) <= 2
    assert clock.next_wakeup == START + dt.timedelta(seconds=1000)
    clock.advance(1000)
    await last


async def test_a_sleeper_that_is_cancelled_wakes_nobody_else() -> None:
    clock = VirtualClock(START)
    tasks = [asyncio.create_task(clock.sleep(seconds)) for seconds in (10, 20, 30, 40)]
    await settled()
    tasks[0].cancel()
    tasks[2].cancel()
    await settled()
    assert clock.next_wakeup == START + dt.timedelta(seconds=20)
    clock.advance(25)
    await settled()
    assert [task.done() for task in tasks] == [True, True, True, False]
    clock.advance(15)
    await tasks[3]
    assert clock.next_wakeup is None


async def test_a_task_is_asleep_from_its_lying_down_to_its_waking() -> None:
    clock = VirtualClock(START)
    task = asyncio.create_task(clock.sleep(10))
    assert not clock.asleep(task)  # it has not run yet
    await clock.lull()
    assert clock.asleep(task)
    clock.advance(10)
    assert not clock.asleep(task)  # it has not run yet, but will
    await task
    assert not clock.asleep(task)
    assert not clock.asleep(None)


async def test_a_lull_waits_for_the_next_who_lies_down() -> None:
    clock = VirtualClock(START)
    first = asyncio.create_task(clock.sleep(10))
    await settled()
    lull = asyncio.create_task(clock.lull())
    await settled()
    assert not lull.done()  # the first lay down before
    second = asyncio.create_task(clock.sleep(20))
    await lull
    assert clock.asleep(first)
    assert clock.asleep(second)
    clock.advance(20)
    await asyncio.gather(first, second)


async def test_a_sleep_of_nothing_returns_at_once() -> None:
    clock = VirtualClock(START)
    await clock.sleep(0)
    await clock.sleep(-5)
    assert clock.now() == START


def test_virtual_time_never_goes_back() -> None:
    clock = VirtualClock(START)
    clock.advance_to(START + dt.timedelta(seconds=90))
    clock.advance_to(START)
    assert clock.now() == START + dt.timedelta(seconds=90)
    assert clock.boottime() == 90.0


def test_scaled_time_maps_the_machines_time() -> None:
    clock = ScaledClock(START, 600)
    machine = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert clock.at(machine + 60) - clock.at(machine) == dt.timedelta(hours=10)
    assert START <= clock.at(machine) <= clock.now() < START + dt.timedelta(hours=10)
    assert clock.boottime() == pytest.approx((clock.now() - START).total_seconds(), abs=600)


async def test_scaled_sleep_takes_its_share_of_real_time() -> None:
    clock = ScaledClock(START, 36_000)
    before, began = clock.now(), time.monotonic()
    await clock.sleep(360)
    assert clock.now() - before >= dt.timedelta(seconds=359)
    assert time.monotonic() - began < 5  # not six minutes


def test_only_real_time_is_left_to_the_database() -> None:
    scaled, virtual = ScaledClock(START, 60), VirtualClock(START.astimezone(BERLIN))
    assert SystemClock().stamp() is None  # type: ignore[func-returns-value]  # it is None that is asked for
    assert START <= scaled.stamp() <= scaled.now()
    assert virtual.stamp() == virtual.now() == START
    assert virtual.now().tzinfo is dt.UTC


def test_all_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), ScaledClock(START, 60), VirtualClock(START)]
    assert [clock.speed for clock in clocks[:2]] == [1.0, 60]
    assert abs(clocks[0].now() - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=10)
    assert clocks[0].boottime() <= clocks[0].boottime()


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        VirtualClock(START.replace(tzinfo=None))
    with pytest.raises(ValueError, match="aware"):
        ScaledClock(START.replace(tzinfo=None), 60)
    with pytest.raises(ValueError, match="positive"):
        ScaledClock(START, 0)
