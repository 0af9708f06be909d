"""A mailbox's day, lived through: sends lie in the window, apart from each other and spread; who is late catches up."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from warmupd.core.mailbox import DayRow, Hours
from warmupd.core.pacing import TAIL, Spacing, deficit, elapsed, moment_of, next_send_at, relative_deficit, user_gap
from warmupd.core.window import window_of

OPENS = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
SPACING = Spacing()
SPANS = [(6, 22), (0, 24), (0, 6), (20, 24)]
quotas = st.integers(1, 60)
lengths = st.floats(8, 16)  # hours
ids = st.integers(1, 10**6)
shares = st.floats(0, 0.99)


def day_of(mailbox_id: int = 1, quota: int = 40, length: float = 16.0, taken: int = 0) -> DayRow:
    return DayRow(
        mailbox_id=mailbox_id,
        day=OPENS.date(),
        quota=quota,
        floor=min(quota, 30),
        opens_at=OPENS,
        closes_at=OPENS + dt.timedelta(hours=length),
        taken=taken,
        attempts=taken,
    )


def at(hour: float) -> dt.datetime:
    """So many hours after the opening."""
    return OPENS + dt.timedelta(hours=hour)


def live(day: DayRow, now: dt.datetime, until: dt.datetime | None = None, seed: int = 1) -> list[dt.datetime]:
    """The sends of a day from `now` on (to `until`), each one granted at the moment it asked for."""
    rng, sends = Random(seed), list[dt.datetime]()
    while (due := next_send_at(day, now, SPACING, rng)) is not None and (until is None or due < until):
        now = due
        day.taken += 1
        day.attempts += 1
        sends.append(now)
    return sends


def gaps(sends: list[dt.datetime]) -> list[float]:
    return [(later - earlier).total_seconds() for earlier, later in pairwise(sends)]


@cache
def changes_in_2027(zone: str) -> list[dt.date]:
    """The days of that year on which the zone's clocks change."""
    noons = [dt.datetime(2027, 1, 1, 12, tzinfo=ZoneInfo(zone)) + dt.timedelta(days=n) for n in range(365)]
    return [noon.date() for eve, noon in pairwise(noons) if eve.utcoffset() != noon.utcoffset()]


def most_within(sends: Iterable[dt.datetime], seconds: float) -> int:
    ordered = sorted(sends)
    span = dt.timedelta(seconds=seconds)
    return max(sum(first <= other < first + span for other in ordered) for first in ordered)


@given(mailbox_id=ids, quota=quotas, length=lengths, seed=st.integers(0, 9))
def test_an_undisturbed_day_is_spread_over_its_window(mailbox_id: int, quota: int, length: float, seed: int) -> None:
    day = day_of(mailbox_id, quota, length)
    sends = live(day, OPENS - dt.timedelta(hours=3), seed=seed)
    assert len(sends) == quota
    assert day.opens_at <= sends[0]
    assert sends[-1] <= day.closes_at - dt.timedelta(hours=length * TAIL)
    even = length * 3600 / quota
    assert all(SPACING.mailbox_min <= gap <= 1.7 * even for gap in gaps(sends))
    assert max(sends[0] - day.opens_at, day.closes_at - sends[-1]).total_seconds() <= 1.7 * even + length * 3600 * TAIL
    if quota >= 12:
        assert most_within(sends, length * 3600 / 8) <= quota / 3


@given(mailbox_id=ids, quota=quotas, length=lengths, start=shares, taken=shares, seed=st.integers(0, 9))
def test_from_any_moment_a_day_ends_on_its_quota_if_there_is_room(
    mailbox_id: int, quota: int, length: float, start: float, taken: float, seed: int
) -> None:
    day = day_of(mailbox_id, quota, length, taken=int(quota * taken))
    now = at(length * start)
    assume(day.left * SPACING.mailbox_min < (day.closes_at - now).total_seconds())
    sends = live(day, now, seed=seed)
    assert day.taken == quota
    assert all(now <= send < day.closes_at for send in sends)
    assert all(gap >= SPACING.mailbox_min for gap in gaps(sends))


@given(quota=st.integers(12, 60), stopped=st.floats(1, 8), outage=st.floats(1, 7), seed=st.integers(0, 99))
def test_after_an_outage_it_hurries_until_it_is_back_on_its_line(
    quota: int, stopped: float, outage: float, seed: int
) -> None:
    day = day_of(seed, quota)
    live(day, OPENS, until=at(stopped), seed=seed)
    back = at(stopped + outage)
    assume(day.taken > 0 and deficit(day, back) > 2)
    sends = [back, *live(day, back, seed=seed)]
    assert day.taken == quota
    taken_before = quota - len(sends) + 1
    for count, (earlier, later) in enumerate(pairwise(sends)):
        gap = (later - earlier).total_seconds()
        assert gap >= SPACING.mailbox_min
        if moment_of(day, taken_before + count) < earlier:  # this place's moment is past
            assert gap <= SPACING.mailbox_max
        else:
            assert gap <= 1.7 * 16 * 3600 / quota


def test_when_time_runs_out_what_fits_is_sent_at_the_shortest_spacing() -> None:
    day = day_of(quota=60, taken=20)
    sends = live(day, at(15.5))
    assert all(abs(gap - SPACING.mailbox_min) < 1 for gap in gaps(sends))
    assert len(sends) == 14  # of 40: half an hour holds no more
    assert sends[-1] < day.closes_at


@given(mailbox_id=ids, quota=quotas, taken=st.integers(0, 60), hour=st.floats(-2, 16))
def test_asking_again_changes_nothing_while_the_moment_lies_ahead(
    mailbox_id: int, quota: int, taken: int, hour: float
) -> None:
    day = day_of(mailbox_id, quota, taken=min(taken, quota - 1))
    now = at(hour)
    assume(moment_of(day, day.taken) >= now + dt.timedelta(seconds=SPACING.mailbox_min))
    answers = {next_send_at(day, now, SPACING, Random(seed)) for seed in range(5)}
    assert answers == {moment_of(day, day.taken)}


def test_mailboxes_that_open_together_are_as_busy_in_the_first_minutes_as_later() -> None:
    firsts = [next_send_at(day_of(n), OPENS, SPACING, Random(n)) for n in range(2000)]
    minutes = Counter(int((first - OPENS).total_seconds() // 60) for first in firsts if first)
    even = 16 * 60 / 40
    assert max(minutes.values()) <= 1.4 * 2000 / even
    assert max(minutes) <= 1.7 * even


def test_a_fleet_is_as_busy_at_one_moment_as_at_another() -> None:
    sends = [moment_of(day_of(n, quota=30), place) for n in range(1000) for place in range(30)]
    quarters = Counter(int((send - OPENS).total_seconds() // 900) for send in sends)
    whole = [quarters[n] for n in range(3, 59)]  # without the edges
    assert max(whole) <= 1.2 * min(whole)


def test_a_fleet_that_begins_in_mid_day_begins_within_an_even_gap() -> None:
    now = at(8)
    firsts = [next_send_at(day_of(n), now, SPACING, Random(n)) for n in range(2000)]
    seconds = [(first - now).total_seconds() for first in firsts if first]
    even = 8 * 3600 / 40
    assert len(seconds) == 2000
    assert max(seconds) <= even
    assert sum(second < 60 for second in seconds) <= 1.4 * 2000 * 60 / even


def test_a_restart_in_mid_day_changes_nobodys_moment() -> None:
    now = at(8)
    days = [day_of(n) for n in range(2000)]
    for day in days:
        live(day, OPENS, until=now)
    after = [due for day in days if (due := next_send_at(day, now, SPACING, Random(day.mailbox_id)))]
    minutes = Counter(int((due - now).total_seconds() // 60) for due in after)
    assert len(after) == 2000
    assert max(minutes.values()) <= 2 * 2000 / 24  # a fair minute's share of the even gap, and what was too near


def test_a_restart_after_an_outage_does_not_clump_either() -> None:
    now = at(10)
    days = [day_of(n) for n in range(2000)]
    for day in days:
        live(day, OPENS, until=at(8))
    after = [due for day in days if (due := next_send_at(day, now, SPACING, Random(day.mailbox_id)))]
    seconds = [(due - now).total_seconds() for due in after]
    assert min(seconds) >= SPACING.mailbox_min
    minutes = Counter(int(second // 60) for second in seconds)
    assert max(minutes.values()) <= 1.4 * 2000 / 8  # the catch-up spacing is eight minutes wide


def busiest(sends: Iterable[dt.datetime], start: dt.datetime, minutes: float = 10) -> Counter[int]:
    """Sends by spans of so many minutes, counted from `start`."""
    return Counter(int((send - start).total_seconds() // (60 * minutes)) for send in sends)


def by_spans(sends: Iterable[dt.datetime], start: dt.datetime, minutes: float = 10) -> Counter[int]:
    """Sends by spans of so many minutes, counted from `start`."""
    return Counter(int((send - start).total_seconds() // (60 * minutes)) for send in sends)


@pytest.mark.parametrize("quota", [5, 30, 40])
def test_a_thousand_mailboxes_of_one_zone_begin_no_busier_than_they_go_on(quota: int) -> None:
    sends = [send for n in range(1000) for send in live(day_of(n, quota), OPENS, seed=n)]
    spans, mean = by_spans(sends, OPENS), 1000 * quota / (16 * 6)
    assert len(sends) == 1000 * quota
    assert spans[0] <= mean
    assert max(spans.values()) <= 1.2 * mean + 5 * mean**0.5  # a fifth more, and chance


@pytest.mark.parametrize("quota", [5, 12, 30, 40])
@pytest.mark.parametrize("away", [0.02, 1, 4])
def test_a_thousand_that_come_back_after_an_outage_do_not_come_back_at_once(quota: int, away: float) -> None:
    """Their first ten minutes hold no more than 3.5 times the day's mean, whatever there is to catch up."""
    back, sends, spacing = at(6), list[dt.datetime](), SPACING
    for n in range(1000):
        day, rng = day_of(n, quota), Random(n)
        live(day, OPENS, until=at(6 - away), seed=n)
        first = next_send_at(day, back, spacing, rng, resumes=True)
        assert first is not None
        day.taken, day.attempts = day.taken + 1, day.attempts + 1
        sends += [first, *live(day, first, seed=n)]
        assert day.taken == quota
    spans, mean = by_spans(sends, back), 1000 * quota / (16 * 6)
    assert spans[0] <= 3.5 * mean
    assert max(spans.values()) <= 10 / 6 * 1050  # when all of them catch up: a send in 2 to 10 minutes each
    assert max(by_spans(sends, back, minutes=1).values()) <= 210
    assert all(spans[n] <= 1.2 * mean + 5 * mean**0.5 for n in range(36, 56))  # six hours later it is a day like any


@given(mailbox_id=ids, quota=quotas, stopped=shares, hours=st.floats(0, 15), seed=st.integers(0, 9))
def test_an_outage_of_any_length_costs_only_what_no_spacing_could_save(
    mailbox_id: int, quota: int, stopped: float, hours: float, seed: int
) -> None:
    day = day_of(mailbox_id, quota)
    before = live(day, OPENS, until=at(16 * stopped), seed=seed)
    back = at(min(15.99, 16 * stopped + hours))
    left, room = day.left, (day.closes_at - back).total_seconds()
    after = live(day, back, seed=seed)
    assert len(after) >= min(left, room // SPACING.mailbox_min - 1)
    assert all(gap >= SPACING.mailbox_min for gap in gaps([*before, *after]) if before or after)
    assert all(day.opens_at <= send < day.closes_at for send in after)


@given(zone=st.sampled_from(sorted(available_timezones())), quota=st.integers(12, 60), hours=st.sampled_from(SPANS))
@example(zone="Europe/Berlin", quota=40, hours=(0, 24))
@example(zone="Antarctica/Troll", quota=60, hours=(0, 6))
def test_days_of_clock_changes_are_spread_like_any_other(zone: str, quota: int, hours: tuple[int, int]) -> None:
    for changed in changes_in_2027(zone):
        window = window_of(changed, zone, Hours(start=hours[0], end=hours[1]))
        assert window is not None
        day = DayRow(
            mailbox_id=quota,
            day=changed,
            quota=quota,
            floor=0,
            opens_at=window.opens_at,
            closes_at=window.closes_at,
        )
        sends = live(day, window.opens_at)
        assert len(sends) == quota
        assert all(send in window for send in sends)
        assert max(gaps(sends)) <= 1.7 * window.seconds / quota
        assert min(gaps(sends)) >= max(SPACING.mailbox_min, 0.35 * window.seconds / quota)


def test_nothing_is_planned_that_is_not_owed() -> None:
    now = at(5)
    assert next_send_at(day_of(taken=40), now, SPACING, Random(1)) is None
    assert next_send_at(day_of(taken=35), now, SPACING, Random(1), reserved=5) is None
    assert next_send_at(day_of(taken=35), now, SPACING, Random(1), reserved=4) is not None
    assert next_send_at(day_of(), at(16), SPACING, Random(1)) is None
    tried = day_of(taken=10)
    tried.attempts = tried.most_attempts
    assert next_send_at(tried, now, SPACING, Random(1)) is None


def test_places_used_early_put_the_next_one_off() -> None:
    day, now = day_of(), at(4)
    live(day, OPENS, until=now)
    day.taken += 10  # answers
    day.attempts += 10
    due = next_send_at(day, now, SPACING, Random(1))
    assert due is not None
    assert due - now > dt.timedelta(minutes=9 * 24)


def test_a_place_that_is_given_back_is_filled_soon() -> None:
    day, now = day_of(), at(8)
    live(day, OPENS, until=now)
    day.taken -= 2
    due = next_send_at(day, now, SPACING, Random(1))
    assert due is not None
    assert SPACING.mailbox_min <= (due - now).total_seconds() <= SPACING.mailbox_max


@given(quota=quotas, length=lengths, hour=st.floats(-1, 17))
def test_on_time_the_deficit_stays_within_two_sends(quota: int, length: float, hour: float) -> None:
    day, now = day_of(7, quota, length), at(hour)
    live(day, OPENS, until=now)
    assert -1.6 <= deficit(day, now) <= 1.6
    assert relative_deficit(day, now) == deficit(day, now) / quota


def test_elapsed_runs_from_the_opening_to_the_tail() -> None:
    day = day_of()
    assert [round(elapsed(day, at(hour)), 3) for hour in (-1, 0, 7.76, 15.52, 16)] == [0, 0, 0.5, 1, 1]
    assert relative_deficit(day_of(quota=0), at(8)) == 0


@given(mailboxes=st.integers(1, 5000), quota=quotas, length=lengths, seed=st.integers(0, 99))
def test_the_users_spacing_takes_half_of_the_window_at_most(
    mailboxes: int, quota: int, length: float, seed: int
) -> None:
    rng, needed = Random(seed), length * 3600 / (mailboxes * quota)
    gaps = [user_gap(SPACING, needed / 2, rng) for _ in range(50)]
    assert max(gaps) <= SPACING.user_max
    assert max(gaps) <= needed / 2
    assert all(gap >= min(SPACING.user_min, needed / 2) for gap in gaps)


def test_the_users_spacing_shrinks_when_its_quotas_need_it() -> None:
    rng = Random(1)
    assert all(1.0 <= user_gap(SPACING, 60.0, rng) <= 5.0 for _ in range(100))
    assert user_gap(SPACING, 0.2, rng) == 0.2
