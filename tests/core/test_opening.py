"""Days follow one another: whatever a mailbox's clock does, its windows never overlap and none is lost or doubled."""

import datetime as dt
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.mailbox import DayRow, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.opening import is_current, next_day
from warmupd.core.ramp import Budget
from warmupd.core.shortfall import budget_losses
from warmupd.core.window import local_day, window_of

WHOLE = 16_000  # so that what is rounded does not count
START = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
ZONES = [
    "UTC",
    "Pacific/Kiritimati",  # 14 hours ahead
    "Pacific/Pago_Pago",  # 11 behind
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
]

moves = st.lists(
    st.tuples(st.integers(0, 20 * 24), st.sampled_from(ZONES), st.integers(0, 23), st.integers(1, 24)), max_size=12
)


def mailbox(zone: str = "UTC", start: int = 6, end: int = 22, ramp_days: int = 10) -> Mailbox:
    return Mailbox(
        id=1,
        user_id=UUID(int=1),
        pool_id=1,
        domain="example.com",
        state=MailboxState.ACTIVE,
        priority=0,
        zone=zone,
        hours=Hours(start=start, end=end),
        ramp=Ramp(start=40, step=0, target=40, floor=30),
        ramp_days=ramp_days,
    )


def opened(one: Mailbox, now: dt.datetime, last: DayRow | None) -> DayRow | None:
    """The row that is opened at `now`, if one is."""
    if last is not None and is_current(last, one.zone, now):
        return None
    found = next_day(one, now, last)
    if now not in found.window:
        return None
    whole = Budget(quota=WHOLE, floor=30, ramp_day=11, factors=())
    return DayRow(
        mailbox_id=1,
        day=found.day,
        quota=found.budget(whole).quota,
        floor=0,
        opens_at=found.window.opens_at,
        closes_at=found.window.closes_at,
    )


def lived(one: Mailbox, begin: dt.datetime, days: int, changes: list[tuple[int, str, int, int]]) -> list[DayRow]:
    """The days that are opened, looking every half hour; `changes` are of zone and hours, by the hour."""
    rows: list[DayRow] = []
    for half in range(days * 48):
        for at, zone, start, end in changes:
            if at * 2 == half and start < end:
                one.zone, one.hours = zone, Hours(start=start, end=end)
        if row := opened(one, begin + dt.timedelta(minutes=30 * half), rows[-1] if rows else None):
            rows.append(row)
    return rows


@given(changes=moves, zone=st.sampled_from(ZONES))
def test_no_move_buys_a_second_quota_or_two_windows_at_once(
    changes: list[tuple[int, str, int, int]], zone: str
) -> None:
    days = 21
    rows = lived(mailbox(zone), START, days, changes)
    for earlier, later in pairwise(rows):
        assert earlier.day < later.day
        assert earlier.closes_at <= later.opens_at
    assert len(rows) <= days + 2  # the dates there are, all around the world


@given(changes=moves, zone=st.sampled_from(ZONES), hours=st.sampled_from([(6, 22), (0, 24), (9, 17)]))
def test_days_that_are_sent_evenly_hold_one_quota_in_any_24_hours(
    changes: list[tuple[int, str, int, int]], zone: str, hours: tuple[int, int]
) -> None:
    rows = lived(mailbox(zone, *hours), START, 21, [(at, moved, *hours) for at, moved, _, _ in changes])
    length = hours[1] - hours[0]
    for row in rows:
        for begin in (row.opens_at, row.closes_at - dt.timedelta(hours=24)):
            end = begin + dt.timedelta(hours=24)
            held = sum(
                r.quota
                * max(dt.timedelta(0), min(r.closes_at, end) - max(r.opens_at, begin))
                / (r.closes_at - r.opens_at)
                for r in rows
            )
            assert held <= WHOLE * (1 + 1 / length) + len(rows)  # a clock change is an hour


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("hours", [(6, 22), (0, 24), (1, 4)])
def test_clock_changes_neither_lose_nor_double_a_day(zone: str, hours: tuple[int, int]) -> None:
    rows = lived(mailbox(zone, *hours), START, 300, [])
    dates = [row.day for row in rows]
    assert dates == [dates[0] + dt.timedelta(days=n) for n in range(len(dates))]
    assert len(dates) >= 299
    for row in rows:
        window = window_of(row.day, zone, Hours(start=hours[0], end=hours[1]))
        assert window is not None
        assert (row.opens_at, row.closes_at) == (window.opens_at, window.closes_at)


def test_move_to_the_east_waits_for_the_end_of_the_day_and_skips_what_has_no_room() -> None:
    one = mailbox("Pacific/Pago_Pago")
    noon = dt.datetime(2027, 3, 1, 23, tzinfo=dt.UTC)  # noon of 1 March there, 13:00 of 2 March in Kiritimati
    today = opened(one, noon, None)
    assert today is not None
    one.zone = "Pacific/Kiritimati"
    assert is_current(today, one.zone, noon)
    found = next_day(one, noon, today)
    assert (found.day, found.window.opens_at) == (dt.date(2027, 3, 3), dt.datetime(2027, 3, 2, 16, tzinfo=dt.UTC))


def test_day_that_begins_late_owes_its_share() -> None:
    one = mailbox()
    last = opened(one, START.replace(hour=12), None)
    assert last is not None
    one.zone = "Asia/Tokyo"  # 21:00 to 13:00 UTC
    found = next_day(one, START.replace(hour=23), last)
    assert found.window.opens_at == last.closes_at + dt.timedelta(hours=7)  # a night
    assert found.window.closes_at == START.replace(day=2, hour=13)
    budget = found.budget(Budget(quota=40, floor=30, ramp_day=11, factors=(("ramp", 40),)))
    assert (budget.quota, budget.floor, budget.factors[-1]) == (20, 20, ("short_day", 20))
    assert [loss.factor for loss in budget_losses(budget, one.ramp)] == ["short_day"]


def test_move_to_the_west_has_no_second_day_of_one_date() -> None:
    one = mailbox("Pacific/Kiritimati")
    last = opened(one, START, None)
    assert last is not None
    one.zone = "Pacific/Pago_Pago"
    found = next_day(one, last.closes_at, last)
    assert (found.day, found.share) == (last.day + dt.timedelta(days=1), 1.0)
    assert local_day(found.window.opens_at, one.zone) == found.day


def test_who_is_enrolled_in_the_evening_begins_tomorrow_without_a_backlog() -> None:
    new = mailbox(ramp_days=0)
    at = START.replace(hour=18)
    found = next_day(new, at, None)
    assert (found.window.opens_at, found.share) == (at, 1.0)  # four hours are room for forty
    assert next_day(new, START.replace(hour=21), None).day == START.date() + dt.timedelta(days=1)


@pytest.mark.parametrize(("hours", "quota"), [(Hours(start=9, end=11), 30), (Hours(start=6, end=22), 240)])
def test_first_day_of_a_quota_that_fills_its_window_opens_when_a_moment_late(hours: Hours, quota: int) -> None:
    new = replace(mailbox(ramp_days=0), hours=hours, ramp=Ramp(start=quota, step=0, target=quota, floor=quota))
    late = START.replace(hour=hours.start) + dt.timedelta(seconds=0.2)
    assert next_day(new, late, None).window.opens_at == late


def test_next_day_is_the_one_that_is_open() -> None:
    found = next_day(mailbox(), START.replace(hour=12), None)
    assert (found.day, found.window) == (START.date(), window_of(START.date(), "UTC", Hours(start=6, end=22)))
