"""Caps: no sliding minute or hour ever holds more grants than its cap, and no place is withheld without need."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    WIDE,
    Ground,
    Worker,
    after,
    ask,
    granted,
    laid_ground,
    reasons,
    reserve_on,
    somebody_waits,
)
from warmupd.core.mailbox import slot_hash
from warmupd.store import slots
from warmupd.store.jobs import Denied, Request

SLACK = 5.0
MINUTE, HOUR = 60 + SLACK, 3600 + SLACK  # within which no more than a cap may be granted
GRAIN = {"minute": 1.0, "hour": 55.0}  # seconds that a grant may count too long: buckets, and the slack in whole ones

Grant = tuple[float, int]  # seconds after noon, user


async def test_user_cap_holds_over_a_sliding_minute(ground: Ground) -> None:
    await ground.limit(user_per_minute=3)
    wishes, worker = await _wishes(ground, 6), await ground.worker()
    assert await _words(ground, worker, wishes[:4], 0) == ["granted"] * 3 + ["user_minute"]
    assert await _words(ground, worker, wishes[3:4], 64.9) == ["user_minute"]
    assert await _words(ground, worker, wishes[3:], 66) == ["granted"] * 3


async def test_user_cap_holds_over_a_sliding_hour(ground: Ground) -> None:
    await ground.limit(user_per_hour=2)
    wishes, worker = await _wishes(ground, 4), await ground.worker()
    assert await _words(ground, worker, wishes[:1], 0) == ["granted"]
    assert await _words(ground, worker, wishes[1:3], 1800) == ["granted", "user_hour"]
    assert await _words(ground, worker, wishes[2:3], 3604.9) == ["user_hour"]
    assert await _words(ground, worker, wishes[2:], 3660) == ["granted", "user_hour"]


async def test_global_caps_hold_over_all_users(ground: Ground) -> None:
    await ground.limit(global_per_minute=3, global_per_hour=4)
    wishes, worker = [*await _wishes(ground, 4), *await _wishes(ground, 4)], await ground.worker()
    assert await _words(ground, worker, wishes[2:6], 0) == ["granted"] * 3 + ["global_minute"]
    assert await _words(ground, worker, wishes[6:], 66) == ["granted", "global_hour"]


async def test_part_of_a_batch_fits_in_its_order(ground: Ground) -> None:
    await ground.limit(user_per_minute=1)
    first, second = await _wishes(ground, 2), await _wishes(ground, 2)
    answers = await ground.reserve(await ground.worker(), first[0], second[0], first[1], second[1])
    assert reasons(answers) == ["granted", "granted", "user_minute", "user_minute"]


async def test_plan_has_caps_of_its_own(ground: Ground) -> None:
    await ground.limit(user_per_minute=1, user_per_hour=1)
    wishes = await _wishes(ground, 6, await ground.user(per_minute=3, per_hour=5))
    worker = await ground.worker()
    assert await _words(ground, worker, wishes, 0) == ["granted"] * 3 + ["user_minute"] * 3
    assert await _words(ground, worker, wishes[3:], 66) == ["granted"] * 2 + ["user_hour"]


@pytest.mark.parametrize(("kind", "span"), [("minute", MINUTE), ("hour", HOUR)])
@pytest.mark.parametrize("scope", ["user", "global"])
async def test_asking_again_when_told_succeeds_and_earlier_does_not(
    ground: Ground, scope: str, kind: str, span: float
) -> None:
    await ground.limit(**{f"{scope}_per_{kind}": 2})
    wishes, worker = await _wishes(ground, 4), await ground.worker()
    await ground.grant(worker, wishes[0], at=after(0.3))
    _, denied = await ground.reserve(worker, *wishes[1:3], at=after(40.7))  # the first of them fills the cap
    assert isinstance(denied, Denied)
    again = denied.ask_again_at
    assert again is not None
    assert after(0.3 + span) <= again <= after(0.3 + span + GRAIN[kind])
    early = await ground.deny(worker, wishes[2], at=again - dt.timedelta(milliseconds=1))
    assert (early.why, early.ask_again_at) == (f"{scope}_{kind}", again)
    await ground.grant(worker, wishes[2], at=again)


async def test_time_never_goes_back(ground: Ground) -> None:
    await ground.limit(user_per_minute=1)
    wishes, worker = await _wishes(ground, 2), await ground.worker()
    await ground.grant(worker, wishes[0], at=after(100))
    denied = await ground.deny(worker, wishes[1], at=after(-3600))
    assert denied.why == "user_minute"
    assert denied.ask_again_at is not None
    assert denied.ask_again_at > after(100 + MINUTE)


async def test_production_reads_the_databases_clock(ground: Ground) -> None:
    a, b = await _open_now(ground)
    (answer,) = await ground.reserve(await ground.worker(ttl=1e10), ask(a, b), at=None)
    (job,) = granted([answer])
    age = await ground.db.fetchval("SELECT clock_timestamp() - picked_at FROM warmup_jobs WHERE id = $1", job.id)
    assert dt.timedelta(0) < age < dt.timedelta(seconds=30)


async def test_time_is_read_behind_the_locks(ground: Ground) -> None:
    """Who waited for the lock sends later than it asked: by the time of its asking a window would be too full."""
    (a, b), worker = await _open_now(ground), await ground.worker(ttl=1e10)
    async with ground.db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(1463898733, 1)")
        reserving = asyncio.create_task(ground.reserve(worker, ask(a, b), at=None))
        await somebody_waits(connection)
        freed_at = await connection.fetchval("SELECT clock_timestamp()")
    (job,) = granted(await reserving)
    assert (await ground.job(job))["picked_at"] >= freed_at


async def test_rings_of_others_are_not_read(ground: Ground) -> None:
    """By a plan that was made when there was one."""
    (a, b), (c, d), worker = await ground.pair(), await ground.pair(), await ground.worker()
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'cap_rings'"
    async with ground.db.acquire() as connection:
        async with connection.transaction():
            await reserve_on(connection, worker, a, b)
        await connection.execute(
            "INSERT INTO cap_rings SELECT 'USER', gen_random_uuid(), head, head_s, next_ok_at, seconds, halves"
            " FROM cap_rings, generate_series(1, 300) WHERE scope = 'GLOBAL'"
        )
        async with connection.transaction():
            before = await connection.fetchval(read) or 0
            await reserve_on(connection, worker, c, d)
            assert await connection.fetchval(read) - before < 20


async def test_counts_of_years_do_not_overflow(ground: Ground) -> None:
    await ground.limit(global_per_minute=2)
    wishes, worker = await _wishes(ground, 4), await ground.worker()
    await ground.grant(worker, wishes[0])
    await ground.db.execute(
        "UPDATE cap_rings SET seconds = array(SELECT x + 2147480000 FROM unnest(seconds) AS x) WHERE scope = 'GLOBAL'"
    )
    assert await _words(ground, worker, wishes[1:3], 10) == ["granted", "global_minute"]
    assert await ground.db.fetchval("SELECT seconds[122] FROM cap_rings WHERE scope = 'GLOBAL'") == 2
    assert await _words(ground, worker, wishes[2:3], 66) == ["granted"]


async def test_cap_is_not_spent_twice_by_two_who_count_at_once(ground: Ground) -> None:
    await ground.limit(global_per_minute=1)
    await ground.fleet(2)
    boxes = [(await ground.mailboxes(1))[0] for _ in range(20)]
    first, second = (next(m for m in boxes if slot_hash(m) % 2 == slot) for slot in (0, 1))
    one, other = await ground.worker(only=[0]), await ground.worker(only=[1])
    async with ground.db.acquire() as connection, connection.transaction():
        await reserve_on(connection, one, first, second)
        counting = asyncio.create_task(ground.reserve(other, ask(second, first)))
        await somebody_waits(connection)
    assert reasons(await counting) == ["global_minute"]


async def test_eight_connections_share_a_cap_exactly(ground: Ground) -> None:
    await ground.limit(global_per_minute=10)
    await ground.fleet(8)
    boxes = await ground.mailboxes(160)
    workers = [await ground.worker(only=[slot]) for slot in range(8)]
    wishes = [[ask(m, _other(boxes, m)) for m in boxes if slot_hash(m) % 8 == slot][:5] for slot in range(8)]
    answers = await asyncio.gather(*(ground.reserve(w, *asked) for w, asked in zip(workers, wishes, strict=True)))
    assert sum(len(granted(answer)) for answer in answers) == 10


# -- shares ---------------------------------------------------------------------------------------------------------


async def test_workers_share_a_binding_cap_by_demand(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(30, 10))
    assert len(granted(await ground.reserve(one, *wishes[0], demand=30))) == 15
    assert len(granted(await ground.reserve(other, *wishes[1], demand=10))) == 5


async def test_who_asks_again_takes_nothing_of_what_the_other_wants(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(30, 10))
    assert len(granted(await ground.reserve(one, *wishes[0][:8], demand=30))) == 8
    assert len(granted(await ground.reserve(one, *wishes[0][8:], demand=22, at=after(1)))) == 7
    assert len(granted(await ground.reserve(other, *wishes[1], demand=10, at=after(2)))) == 5


async def test_what_a_dead_worker_took_is_nobodys_share(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(0, 0))
    assert len(granted(await ground.reserve(one, *wishes[0][:10], demand=10))) == 10
    await slots.release_slots(ground.db, one.id, at=NOON)
    heir = await ground.worker(only=[0])
    for worker, demand in ((heir, 30), (other, 10)):
        await slots.renew_slots(ground.db, worker.id, ttl=1e7, demand=demand, at=NOON)
    assert len(granted(await ground.reserve(heir, *wishes[0][10:], demand=30, at=after(1)))) == 8
    assert len(granted(await ground.reserve(other, *wishes[1], demand=10, at=after(1)))) == 2


async def test_what_nobody_claims_is_free(ground: Ground) -> None:
    one, _, wishes = await _two_workers(ground, demands=(30, 0))
    assert len(granted(await ground.reserve(one, *wishes[0], demand=30))) == 20


async def test_small_share_is_kept_for_its_worker(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(30, 2))
    assert len(granted(await ground.reserve(one, *wishes[0], demand=30))) == 19
    assert len(granted(await ground.reserve(other, *wishes[1], demand=2))) == 1


async def test_who_wants_little_beside_much_has_one(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(2000, 1))
    assert len(granted(await ground.reserve(one, *wishes[0], demand=2000))) == 19
    assert len(granted(await ground.reserve(other, *wishes[1], demand=1))) == 1


async def test_share_is_no_more_than_its_worker_can_use(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(0, 0))
    assert len(granted(await ground.reserve(one, *wishes[0][:10], demand=10))) == 10
    await slots.renew_slots(ground.db, other.id, ttl=1e7, demand=4, at=NOON)  # of the ten left, its share would be six
    assert len(granted(await ground.reserve(one, *wishes[0][10:18], demand=8, at=after(1)))) == 6


async def test_dead_worker_holds_nothing(ground: Ground) -> None:
    one, _, wishes = await _two_workers(ground, demands=(30, 10))
    await ground.db.execute("UPDATE workers SET lease = interval '20 seconds'")
    assert len(granted(await ground.reserve(one, *wishes[0], demand=30, at=after(20)))) == 20


async def test_worker_that_lives_keeps_its_share_for_a_lease(ground: Ground) -> None:
    one, _, wishes = await _two_workers(ground, demands=(30, 10))
    await ground.db.execute("UPDATE workers SET lease = interval '20 seconds'")
    assert len(granted(await ground.reserve(one, *wishes[0], demand=30, at=after(19)))) == 15


async def test_stopped_worker_holds_nothing(ground: Ground) -> None:
    one, other, wishes = await _two_workers(ground, demands=(30, 10))
    await slots.release_slots(ground.db, other.id, at=NOON)
    assert len(granted(await ground.reserve(one, *wishes[0], demand=30))) == 20


async def test_share_that_is_spent_asks_again_in_a_second(ground: Ground) -> None:
    one, _, wishes = await _two_workers(ground, demands=(30, 10))
    denied = (await ground.reserve(one, *wishes[0], demand=30))[-1]
    assert isinstance(denied, Denied)
    assert (denied.why, denied.ask_again_at) == ("global_minute", after(1))


# -- any sequence ---------------------------------------------------------------------------------------------------

CAPS = {"user_minute": 3, "user_hour": 7, "global_minute": 5, "global_hour": 11}
STEPS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, -30.0, 1.0, 29.0, 31.0, 64.9, 65.0, 66.0, 1800.0, 3605.0]), st.floats(0, 90)),
        st.lists(st.integers(0, 2), min_size=1, max_size=8),
    ),
    min_size=2,
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_no_window_holds_more_than_its_cap_and_none_is_held_shut(
    ground: Ground, steps: Sequence[tuple[float, list[int]]]
) -> None:
    worker, users = await _anew(ground)
    grants: list[Grant] = []
    now = 0.0
    for wait, batch in steps:
        now += wait
        await ground.db.execute("UPDATE mailbox_pace SET next_ok_at = '-infinity'")
        turns = {user: iter(users[user]) for user in range(3)}
        answers = await ground.reserve(worker, *(next(turns[user]) for user in batch), at=after(now))
        judged_at = max([now, *(at for at, _ in grants)])
        words = reasons(answers)
        grants += [(judged_at, user) for user, word in zip(batch, words, strict=True) if word == "granted"]
        for user, word in zip(batch, words, strict=True):
            spent = [cap for cap in CAPS if _spent(grants, judged_at, cap, user)]
            assert (word == "granted") or spent, (word, user, judged_at, grants)
    for at, user in grants:
        for cap, most in CAPS.items():
            span = MINUTE if cap.endswith("minute") else HOUR
            inside = [g for g in grants if at <= g[0] < at + span and (g[1] == user or cap.startswith("global"))]
            assert len(inside) <= most, (cap, inside)


def _spent(grants: Sequence[Grant], now: float, cap: str, user: int) -> bool:
    """Whether `cap` is full at `now`, counting grants as long as the grain of its buckets makes them count."""
    kind = cap.split("_")[1]
    span = (MINUTE if kind == "minute" else HOUR) + GRAIN[kind]
    return sum(at > now - span and (who == user or cap.startswith("global")) for at, who in grants) >= CAPS[cap]


_kept: dict[Ground, tuple[Worker, list[list[Request]]]] = {}


async def _anew(ground: Ground) -> tuple[Worker, list[list[Request]]]:
    """Empty rings; a worker, and the wishes of three users with eight mailboxes each."""
    if ground not in _kept:
        await ground.limit(**{cap.replace("_", "_per_"): most for cap, most in CAPS.items()})
        _kept[ground] = (await ground.worker(at=after(-86400)), [await _wishes(ground, 8) for _ in range(3)])
    await ground.db.execute("DELETE FROM cap_rings WHERE scope <> 'GLOBAL'")
    await ground.db.execute(
        "UPDATE cap_rings SET head = 'epoch', head_s = 0, seconds = array_fill(0, ARRAY[122]),"
        " halves = array_fill(0, ARRAY[124])"
    )
    return _kept[ground]


async def _open_now(ground: Ground) -> tuple[int, int]:
    """Two mailboxes whose day is that of the database's own clock."""
    pair = await ground.pair()
    await ground.db.execute(
        "UPDATE mailbox_days SET opens_at = now() - interval '1 minute', closes_at = now() + interval '1 hour'"
    )
    await ground.db.execute("SELECT make_partitions(current_date - 1, current_date + 1)")
    return pair


async def _wishes(ground: Ground, number: int, user_id: UUID | None = None) -> list[Request]:
    """Of as many mailboxes of one user (a new one unless named), each to another of them."""
    boxes = await ground.mailboxes(number, user_id, quota=WIDE)
    return [ask(mailbox, _other(boxes, mailbox)) for mailbox in boxes]


async def _words(ground: Ground, worker: Worker, wishes: Sequence[Request], seconds: float) -> list[str]:
    return reasons(await ground.reserve(worker, *wishes, at=after(seconds)))


async def _two_workers(
    ground: Ground, *, demands: tuple[int, int]
) -> tuple[Worker, Worker, tuple[list[Request], list[Request]]]:
    """Under a cap of 20 a minute, each with wishes for its own slot and its demand posted."""
    await ground.limit(global_per_minute=20)
    await ground.fleet(2)
    boxes = await ground.mailboxes(100)
    wishes = [[ask(m, _other(boxes, m)) for m in boxes if slot_hash(m) % 2 == slot][:25] for slot in (0, 1)]
    workers = [await ground.worker(only=[slot]) for slot in (0, 1)]
    for worker, demand in zip(workers, demands, strict=True):
        await slots.renew_slots(ground.db, worker.id, ttl=1e7, demand=demand, at=NOON)
    return workers[0], workers[1], (wishes[0], wishes[1])


def _other(boxes: Sequence[int], mailbox: int) -> int:
    return boxes[boxes[0] == mailbox]
