"""Mailboxes as the scheduler loads them, the days it opens, and what pools and partitions agree on."""

import asyncio
import datetime as dt

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    CLOSES,
    NOON,
    OPENS,
    TODAY,
    Ground,
    after,
    laid_ground,
    somebody_waits,
)
from warmupd.core.health import Band
from warmupd.core.mailbox import DayLimit, DayRow, Defaults, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.opening import night
from warmupd.core.pairing import Fit, choose_recipient
from warmupd.core.ramp import Budget
from warmupd.core.tally import Tally
from warmupd.core.window import Window
from warmupd.store import days, directories, mailboxes, partitions, states
from warmupd.store.database import Connection

DEFAULTS = Defaults(
    zone="Europe/Paris", hours=Hours(start=6, end=22), ramp=Ramp(start=5, step=3, target=40, floor=30), own_mail=2
)
TOMORROW = TODAY + dt.timedelta(days=1)
BUDGET = Budget(quota=8, floor=5, ramp_day=2, factors=(("ramp", 8),))
WINDOW = Window(opens_at=OPENS + dt.timedelta(days=1), closes_at=CLOSES + dt.timedelta(days=1))


async def test_mailbox_without_settings_has_the_defaults(ground: Ground) -> None:
    (mailbox_id,) = await ground.mailboxes(1)
    (mailbox,) = await mailboxes.load_mailboxes(ground.db, DEFAULTS)
    assert (mailbox.id, mailbox.domain, mailbox.state) == (mailbox_id, "example.test", MailboxState.ACTIVE)
    assert (mailbox.zone, mailbox.hours, mailbox.ramp) == (DEFAULTS.zone, DEFAULTS.hours, DEFAULTS.ramp)
    assert (mailbox.day_limits, mailbox.ramp_days) == ((), 0)


async def test_own_settings_override_the_users_and_the_defaults(ground: Ground) -> None:
    await ground.mailboxes(2)
    await ground.db.execute("UPDATE users SET timezone = 'Asia/Tokyo'")
    await ground.db.execute(
        "UPDATE mailboxes SET timezone = 'America/Lima', start_hour = 8, weekdays_only = true, target_daily = 0"
        " WHERE id = 1"
    )
    first, second = sorted(await mailboxes.load_mailboxes(ground.db, DEFAULTS), key=lambda one: one.id)
    assert (first.zone, first.hours) == ("America/Lima", Hours(start=8, end=22, weekdays_only=True))
    assert (first.ramp.target, first.ramp.start) == (0, 5)
    assert (second.zone, second.hours) == ("Asia/Tokyo", DEFAULTS.hours)


async def test_limits_of_plan_and_provider_and_what_was_learnt_are_named(ground: Ground) -> None:
    await ground.mailboxes(1)
    await ground.db.execute("UPDATE plans SET sends_per_day = 12, priority = 3")
    await ground.db.execute(
        "UPDATE mailboxes SET provider_limit = 20, own_mail = 5, learnt_limit = 9, learnt_at = $1, timezone = $2",
        NOON,
        "Pacific/Kiritimati",
    )
    mailbox = await _only(ground)
    learnt = DayLimit("learnt", 9, TOMORROW)  # on the mailbox's calendar
    provider = DayLimit("provider", 20), DayLimit("own_mail", 15)
    assert mailbox.day_limits == (DayLimit("plan", 12), *provider, learnt)
    assert mailbox.priority == 3


@pytest.mark.parametrize(
    ("word", "limits"), [("gmail", (500, 20)), ("outlook", (50, 0)), ("microsoft", (10_000, 9520))]
)
async def test_what_a_provider_is_known_to_take_is_a_limit_less_the_owners_own_mail(
    ground: Ground, word: str, limits: tuple[int, int]
) -> None:
    await ground.mailboxes(1)
    await ground.db.execute("UPDATE mailboxes SET provider = $1, own_mail = 480", word)
    assert (await _only(ground)).day_limits == (DayLimit("provider", limits[0]), DayLimit("own_mail", limits[1]))


async def test_who_is_already_warm_starts_at_the_minimum(ground: Ground) -> None:
    await ground.mailboxes(1)
    await ground.db.execute("UPDATE mailboxes SET already_warm = true")
    assert (await _only(ground)).ramp == Ramp(start=30, step=3, target=40, floor=30)
    await ground.db.execute("UPDATE mailboxes SET ramp_start = 35, health = 'WATCH'")
    mailbox = await _only(ground)
    assert (mailbox.ramp.start, mailbox.health) == (35, Band.WATCH)


async def test_users_gap_is_half_of_what_its_quotas_leave(ground: Ground) -> None:
    await ground.mailboxes(4)
    await ground.db.execute("UPDATE mailboxes SET state = 'PAUSED' WHERE id = 4")
    loaded = await mailboxes.load_mailboxes(ground.db, DEFAULTS, [1])
    assert [mailbox.user_gap for mailbox in loaded] == [16 * 3600 / 120 / 2]


async def test_all_but_removed_mailboxes_are_loaded(ground: Ground) -> None:
    await ground.mailboxes(1, state="PAUSED")  # of a user who has no active one
    await ground.mailboxes(1, state="REMOVED")
    assert (await _only(ground)).state is MailboxState.PAUSED
    assert await mailboxes.load_mailboxes(ground.db, DEFAULTS, [2]) == []


async def test_changes_are_told(ground: Ground) -> None:
    first, _ = await ground.pair()
    await ground.db.execute("UPDATE mailboxes SET changed_at = now() - interval '1 hour'")
    since = await mailboxes.change_clock(ground.db)
    await ground.db.execute("UPDATE mailboxes SET changed_at = now() WHERE id = $1", first)
    assert list(await mailboxes.changed_since(ground.db, since)) == [first]


# -- days -----------------------------------------------------------------------------------------------------------


async def test_day_is_opened_once(ground: Ground) -> None:
    await ground.mailboxes(1)
    mailbox = await _only(ground)
    opened = await days.open_days(ground.db, [(mailbox, TOMORROW, WINDOW, BUDGET)])
    again = Budget(quota=40, floor=30, ramp_day=3, factors=())
    assert await days.open_days(ground.db, [(mailbox, TOMORROW, WINDOW, again)]) == opened
    opened_day = opened[mailbox.id]
    assert (opened_day.quota, opened_day.floor, opened_day.opens_at) == (8, 5, WINDOW.opens_at)
    assert await ground.db.fetchval("SELECT factors FROM mailbox_days WHERE day = $1", TOMORROW) == [["ramp", 8]]


async def test_all_who_open_a_day_at_once_get_its_row(ground: Ground) -> None:
    await ground.mailboxes(30)
    loaded = await mailboxes.load_mailboxes(ground.db, DEFAULTS)
    wanted = [(mailbox, TOMORROW, WINDOW, BUDGET) for mailbox in loaded]
    opened = await asyncio.gather(*(days.open_days(ground.db, wanted) for _ in range(6)))
    assert [len(found) for found in opened] == [30] * 6
    assert all(day.day == TOMORROW for found in opened for day in found.values())


async def test_day_that_another_opens_in_this_moment_is_returned_as_it_stands(ground: Ground) -> None:
    await ground.mailboxes(1)
    mailbox = await _only(ground)
    async with ground.db.acquire() as connection, connection.transaction():
        await _open_on(connection, TOMORROW, WINDOW)
        opening = asyncio.create_task(days.open_days(ground.db, [(mailbox, TOMORROW, WINDOW, BUDGET)]))
        await _waits_or_ends(connection, opening)
    assert [day.quota for day in (await opening).values()] == [7]


async def test_day_that_begins_before_the_last_has_ended_is_not_opened(ground: Ground) -> None:
    (mailbox_id,) = await ground.mailboxes(1, quota=7)
    mailbox = await _only(ground)
    early = Window(opens_at=CLOSES - dt.timedelta(seconds=1), closes_at=WINDOW.closes_at)
    found = await days.open_days(ground.db, [(mailbox, TOMORROW, early, BUDGET)])
    assert (found[mailbox_id].day, found[mailbox_id].quota) == (TODAY, 7)


async def test_day_that_begins_before_a_night_has_passed_is_not_opened(ground: Ground) -> None:
    await ground.mailboxes(1)
    mailbox = await _only(ground)
    rested_at = CLOSES + night(mailbox.hours)
    assert rested_at == CLOSES + dt.timedelta(hours=7)
    for opens_at, last in ((rested_at - dt.timedelta(seconds=1), TODAY), (rested_at, TOMORROW)):
        window = Window(opens_at=opens_at, closes_at=WINDOW.closes_at)
        found = await days.open_days(ground.db, [(mailbox, TOMORROW, window, BUDGET)])
        assert found[mailbox.id].day == last


async def test_day_with_an_earlier_date_is_not_opened(ground: Ground) -> None:
    await ground.mailboxes(1)
    yesterday = TODAY - dt.timedelta(days=1)
    await days.open_days(ground.db, [(await _only(ground), yesterday, WINDOW, BUDGET)])
    assert await ground.db.fetchval("SELECT array_agg(day) FROM mailbox_days") == [TODAY]


async def test_two_who_open_overlapping_days_at_once_open_one(ground: Ground) -> None:
    """Such as a worker that has read the mailbox's new zone, and one that has not."""
    await ground.mailboxes(1)
    mailbox = await _only(ground)
    later = dt.timedelta(hours=9)
    moved = Window(opens_at=WINDOW.opens_at + later, closes_at=WINDOW.closes_at + later)
    async with ground.db.acquire() as connection, connection.transaction():
        await _open_on(connection, TOMORROW, WINDOW)
        day_after = TOMORROW + dt.timedelta(days=1)
        opening = asyncio.create_task(days.open_days(ground.db, [(mailbox, day_after, moved, BUDGET)]))
        await _waits_or_ends(connection, opening)
    assert [day.day for day in (await opening).values()] == [TOMORROW]


async def test_last_day_of_each_is_loaded(ground: Ground) -> None:
    first, second = await ground.pair(quota=7)
    mailbox = next(m for m in await mailboxes.load_mailboxes(ground.db, DEFAULTS) if m.id == first)
    await days.open_days(ground.db, [(mailbox, TOMORROW, WINDOW, BUDGET)])
    loaded = await days.load_days(ground.db, [first, second, 99])
    assert {found: (day.day, day.quota) for found, day in loaded.items()} == {first: (TOMORROW, 8), second: (TODAY, 7)}


# -- states ---------------------------------------------------------------------------------------------------------


async def test_change_of_state_is_written_down(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    assert await _state(ground, mailbox, MailboxState.PAUSED) is MailboxState.ACTIVE
    assert await _state(ground, mailbox, MailboxState.PAUSED) is None
    row = await ground.db.fetchrow(
        "SELECT at, actor, subject, subject_id, what, was, became, reason FROM state_changes"
    )
    assert row is not None
    assert tuple(row) == (NOON, "cli", "mailbox", str(mailbox), "state", "ACTIVE", "PAUSED", "why")


async def test_stop_resets_the_ramp_and_a_pause_keeps_it(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    await ground.db.execute("UPDATE mailboxes SET ramp_days = 9, already_warm = true")
    await _state(ground, mailbox, MailboxState.PAUSED)
    assert (await _only(ground)).ramp_days == 9
    assert await states.stop_mailbox(ground.db, mailbox, actor="cli", reason="why", at=NOON) == "PAUSED"
    stopped = await _only(ground)
    assert (stopped.state, stopped.ramp_days) == (MailboxState.PAUSED, 0)
    assert not await ground.db.fetchval("SELECT already_warm FROM mailboxes")
    rows = await ground.db.fetch("SELECT what, was, became, reason FROM state_changes ORDER BY id")
    assert [tuple(row) for row in rows] == [("state", "ACTIVE", "PAUSED", "why"), ("ramp", "9", "0", "why")]


async def test_limit_is_learnt_from_what_was_taken(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1, quota=0)
    assert await states.learn_limit(ground.db, mailbox, reason="552 full", at=NOON) == 1
    await ground.db.execute("UPDATE mailbox_days SET quota = 10, taken = 8, sent = 7")
    for _ in range(2):
        assert await states.learn_limit(ground.db, mailbox, reason="552 full", at=after(3600)) == 7
    assert (await _only(ground)).day_limits == (DayLimit("learnt", 7, TODAY),)
    rows = await ground.db.fetch("SELECT what, was, became, reason FROM state_changes ORDER BY id")
    told = [("learnt_limit", "", "1", "552 full"), ("learnt_limit", "1", "7", "552 full")]
    assert [tuple(row) for row in rows] == told


async def test_one_refusal_halves_the_day_at_most(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1, quota=15)
    assert await states.learn_limit(ground.db, mailbox, reason="552 full", at=NOON) == 8


async def test_limit_of_a_rolling_day_counts_yesterday(ground: Ground) -> None:
    """Half of yesterday's window lies within the 24 hours before noon."""
    (mailbox,) = await ground.mailboxes(1, quota=40)
    await ground.db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken, sent)"
        " SELECT mailbox_id, day - 1, user_id, $1::timestamptz - interval '30 hours', $1::timestamptz"
        " - interval '18 hours', 40, 0, 1, 40, 40 FROM mailbox_days",
        NOON,
    )
    await ground.db.execute("UPDATE mailbox_days SET taken = 15, sent = 15 WHERE day = $1", TODAY)
    assert await states.learn_limit(ground.db, mailbox, reason="552 full", at=NOON) == 35


async def test_rest_that_is_longer_keeps_its_reason(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    for until, reason in ((after(7200), "daily_limit"), (after(600), "rate")):
        await states.rest_mailbox(ground.db, mailbox, until=until, reason=reason, message=reason, remedy="", at=NOON)
    row = await ground.db.fetchrow(
        "SELECT resting_until, resting_reason, rest_message FROM mailbox_pace JOIN mailboxes ON id = mailbox_id"
    )
    assert row is not None
    assert tuple(row) == (after(7200), "daily_limit", "daily_limit")


async def test_removed_mailbox_keeps_its_state(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1, state="REMOVED")
    assert await _state(ground, mailbox, MailboxState.ACTIVE) is None
    assert await ground.db.fetchval("SELECT state FROM mailboxes") == "REMOVED"


async def test_suspension_ends_by_itself_and_touches_nobody_else(ground: Ground) -> None:
    over, lasting, unbounded = await ground.mailboxes(3)
    for mailbox, until in ((over, after(60)), (lasting, after(61)), (unbounded, None)):
        await states.change_state(
            ground.db, mailbox, MailboxState.SUSPENDED, actor="daemon", reason="why", at=NOON, until=until
        )
    assert await states.end_suspensions(ground.db, at=after(60)) == [over]
    rows = await ground.db.fetch("SELECT state FROM mailboxes ORDER BY id")
    assert [row["state"] for row in rows] == ["ACTIVE", "SUSPENDED", "SUSPENDED"]
    assert await ground.db.fetchval("SELECT count(*) FROM state_changes WHERE became = 'ACTIVE'") == 1


async def test_refusals_close_together_are_one_doubt(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    doubts = [
        await states.doubt_credentials(ground.db, mailbox, apart=300, at=after(at)) for at in (0, 299, 300, 301, 601)
    ]
    assert doubts == [1, 1, 2, 2, 3]
    await states.trust_credentials(ground.db, mailbox)
    assert await states.doubt_credentials(ground.db, mailbox, apart=300, at=after(602)) == 1


async def test_rest_is_never_cut_short(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    for until in (after(900), after(60)):
        await states.rest_mailbox(
            ground.db, mailbox, until=until, reason="rate", message="450 slower", remedy="", at=NOON
        )
    assert await ground.db.fetchval("SELECT resting_until FROM mailbox_pace") == after(900)
    assert await ground.db.fetchval("SELECT last_error FROM mailboxes") == "450 slower"


# -- pools and partitions -------------------------------------------------------------------------------------------


async def test_directories_agree_between_callers_at_once(ground: Ground) -> None:
    views = [{1: [(n, 1 + turn) for n in range(1, 50)], 2: [(99, 1)]} for turn in range(6)]
    agreed = await asyncio.gather(*(directories.agree_directories(ground.db, TODAY, view) for view in views))
    chosen = {
        tuple(
            choose_recipient(Tally(found[1]), n, turn, lambda _: Fit.PREFERRED)
            for n in range(1, 50)
            for turn in range(6)
        )
        for found in agreed
    }
    assert len(chosen) == 1
    assert await ground.db.fetchval("SELECT count(*) FROM pool_directories") == 2


async def test_who_joins_a_directory_comes_behind_the_others(ground: Ground) -> None:
    first = (await directories.agree_directories(ground.db, TODAY, {1: [(n, 5) for n in range(1, 30)]}))[1]
    again = (await directories.agree_directories(ground.db, TODAY, {1: [(n, 9) for n in range(29, 0, -1)]}))[1]
    assert (list(again.members), list(again.weights)) == (list(first.members), [5] * 29)
    more = (await directories.agree_directories(ground.db, TODAY, {1: [(n, 7) for n in range(20, 40)]}))[1]
    assert list(more.members)[:29] == list(first.members)
    assert (sorted(more.members), list(more.weights)) == (list(range(1, 40)), [5] * 29 + [7] * 10)
    assert await ground.db.fetchval("SELECT array_agg(version ORDER BY version) FROM pool_directories") == [1, 2]


async def test_who_leaves_a_directory_keeps_its_place_until_the_day_is_over(ground: Ground) -> None:
    await directories.agree_directories(ground.db, TODAY, {1: [(1, 5), (2, 5)]})
    assert 2 in (await directories.agree_directories(ground.db, TODAY, {1: [(1, 5)]}))[1]
    assert 2 not in (await directories.agree_directories(ground.db, TOMORROW, {1: [(1, 5)], 3: []}))[1]
    await directories.drop_directories(ground.db, TOMORROW)
    assert await ground.db.fetchval("SELECT count(*) FROM pool_directories") == 1


async def test_mailbox_knows_whether_its_pool_is_shared(ground: Ground) -> None:
    (one,) = await ground.mailboxes(1)
    assert [mailbox.shared_pool for mailbox in await mailboxes.load_mailboxes(ground.db, DEFAULTS)] == [True]
    await ground.db.execute("UPDATE pools SET owner_id = (SELECT user_id FROM mailboxes) WHERE name = 'shared'")
    assert [mailbox.shared_pool for mailbox in await mailboxes.load_mailboxes(ground.db, DEFAULTS, [one])] == [False]


async def test_partitions_are_made_ahead_once_by_many(ground: Ground) -> None:
    later = TODAY + dt.timedelta(days=10)
    assert await partitions.missing_partitions(ground.db, later) == [
        f"{parent}_202606{day}" for parent in ("sightings", "warmup_jobs") for day in (11, 12)
    ]
    made = await asyncio.gather(*(partitions.make_partitions(ground.db, later) for _ in range(4)))
    assert sorted(made) == [0, 0, 0, 10]
    assert await partitions.missing_partitions(ground.db, later) == []


async def test_partitions_are_made_while_others_write(ground: Ground) -> None:
    async with ground.db.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE warmup_jobs SET topic = 'held' WHERE false")
        await connection.execute("SELECT FROM sightings")
        async with asyncio.timeout(5):
            assert await partitions.make_partitions(ground.db, TODAY + dt.timedelta(days=10)) == 10


async def test_partition_has_the_tables_constraints(ground: Ground) -> None:
    rows = await ground.db.fetch(
        "SELECT conrelid::regclass::text AS part, array_agg(contype::text || pg_get_constraintdef(oid)"
        " ORDER BY contype, pg_get_constraintdef(oid)) AS rules FROM pg_constraint"
        " WHERE conrelid IN ('warmup_jobs'::regclass, 'warmup_jobs_20260601'::regclass) AND contype IN ('c', 'p')"
        " GROUP BY 1"
    )
    assert len(rows) == 2
    assert rows[0]["rules"] == rows[1]["rules"]


async def _open_on(connection: Connection, day: dt.date, window: Window) -> None:
    """What `open_days` of somebody else does, who has not committed yet."""
    await connection.execute("SELECT FROM mailboxes FOR NO KEY UPDATE")
    await connection.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day)"
        " SELECT id, $1, user_id, $2, $3, 7, 5, 2 FROM mailboxes",
        day,
        window.opens_at,
        window.closes_at,
    )


async def _waits_or_ends(connection: Connection, opening: "asyncio.Task[dict[int, DayRow]]") -> None:
    """Return once `opening` waits for a lock of this connection, or has ended without."""
    waiting = asyncio.create_task(somebody_waits(connection))
    await asyncio.wait([opening, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def _only(ground: Ground) -> Mailbox:
    (mailbox,) = await mailboxes.load_mailboxes(ground.db, DEFAULTS)
    return mailbox


async def _state(ground: Ground, mailbox: int, state: MailboxState) -> MailboxState | None:
    return await states.change_state(ground.db, mailbox, state, actor="cli", reason="why", at=NOON)
