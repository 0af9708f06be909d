"""Local days and their windows, around the days on which clocks change."""

import datetime as dt
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warmupd.core.mailbox import Hours
from warmupd.core.window import Window, is_zone, local_day, next_opening, window_of

QUARTER = dt.timedelta(minutes=15)
DAY = dt.timedelta(days=1)
ALL_DAY = Hours(start=0, end=24)

# Zones with changes of an hour and of half an hour, at night and at midnight, a day that never was, odd offsets.
CHANGES = [
    ("Europe/Berlin", dt.date(2026, 3, 29)),
    ("Europe/Berlin", dt.date(2026, 10, 25)),
    ("America/New_York", dt.date(2026, 3, 8)),
    ("America/New_York", dt.date(2026, 11, 1)),
    ("Australia/Lord_Howe", dt.date(2026, 4, 5)),
    ("Australia/Lord_Howe", dt.date(2026, 10, 4)),
    ("America/Havana", dt.date(2025, 3, 9)),  # 00:00 does not exist
    ("America/Havana", dt.date(2025, 11, 2)),  # 00:00 comes twice
    ("America/Sao_Paulo", dt.date(2018, 2, 17)),  # its last hour comes twice
    ("Pacific/Apia", dt.date(2011, 12, 30)),
    ("Asia/Kathmandu", dt.date(1986, 1, 1)),  # a quarter of an hour is skipped
    ("Asia/Kathmandu", dt.date(2026, 3, 29)),
]
hours = st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda span: span[0] < span[1])
zones = st.sampled_from(sorted(available_timezones()))


def quarters(day: dt.date, zone: str, start: int, end: int) -> list[dt.datetime]:
    """Every quarter of an hour whose wall clock shows `day` and an hour of the window, counted one by one."""
    first = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) - 2 * DAY
    moments = (first + n * QUARTER for n in range(5 * 96))
    shown = ((moment, moment.astimezone(ZoneInfo(zone))) for moment in moments)
    return [moment for moment, wall in shown if wall.date() == day and start <= wall.hour < end]


def longest_run(moments: list[dt.datetime]) -> list[dt.datetime]:
    """Without what lies apart: where clocks are put back by hours, a day may show the window's hours twice."""
    runs: list[list[dt.datetime]] = [[]]
    for moment in moments:
        if runs[-1] and moment - runs[-1][-1] > QUARTER:
            runs.append([])
        runs[-1].append(moment)
    return max(runs, key=len)


@pytest.mark.parametrize(("zone", "changed"), CHANGES)
@pytest.mark.parametrize("away", [-1, 0, 1])
def test_windows_hold_what_the_wall_clock_shows(zone: str, changed: dt.date, away: int) -> None:
    day = changed + away * DAY
    for start, end in ((0, 24), (6, 22), (9, 17), (0, 2), (1, 3), (2, 3), (2, 10), (3, 24)):
        window, shown = window_of(day, zone, Hours(start=start, end=end)), quarters(day, zone, start, end)
        if window is None:
            assert shown == []
            continue
        inside = [moment for moment in quarters(day, zone, 0, 24) if moment in window]
        assert inside == shown
        assert window.opens_at == shown[0]
        assert window.seconds == len(inside) * QUARTER.total_seconds()


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("Europe/Berlin", dt.date(2026, 3, 29), 23),
        ("Europe/Berlin", dt.date(2026, 10, 25), 25),
        ("America/New_York", dt.date(2026, 3, 8), 23),
        ("America/New_York", dt.date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", dt.date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", dt.date(2026, 10, 4), 23.5),
        ("Asia/Kathmandu", dt.date(2026, 10, 25), 24),
    ],
)
def test_days_of_23_and_25_hours_are_just_spans(zone: str, day: dt.date, length: float) -> None:
    window = window_of(day, zone, ALL_DAY)
    assert window is not None
    assert window.seconds == length * 3600
    morning = window_of(day, zone, Hours(start=6, end=22))
    assert morning is not None
    assert morning.seconds == 16 * 3600  # the change is over by six


@pytest.mark.parametrize(("zone", "changed"), CHANGES)
def test_whole_days_follow_each_other_without_gap_or_overlap(zone: str, changed: dt.date) -> None:
    day, last = changed - 3 * DAY, window_of(changed - 3 * DAY, zone, ALL_DAY)
    assert last is not None
    while day < changed + 3 * DAY:
        day, window = next_opening(day, zone, ALL_DAY)
        assert window.opens_at == last.closes_at
        assert local_day(window.opens_at, zone) == day
        last = window


@given(change=st.sampled_from(CHANGES), away=st.integers(-3, 3), span=hours)
def test_windows_never_overlap(change: tuple[str, dt.date], away: int, span: tuple[int, int]) -> None:
    zone, day = change[0], change[1] + away * DAY
    hours = Hours(start=span[0], end=span[1])
    windows = [window for n in range(4) if (window := window_of(day + n * DAY, zone, hours))]
    assert all(earlier.closes_at <= later.opens_at for earlier, later in pairwise(windows))
    assert all(window.seconds > 0 for window in windows)
    assert all(local_day(window.opens_at, zone) == local_day(window.closes_at - QUARTER, zone) for window in windows)


@cache
def changes_of(zone: str) -> list[dt.date]:
    """The days from 2012 to 2037 on which the zone's clocks change."""
    noons = [dt.datetime(2012, 1, 1, 12, tzinfo=ZoneInfo(zone)) + n * DAY for n in range(26 * 365)]
    return [noon.date() for eve, noon in pairwise(noons) if eve.utcoffset() != noon.utcoffset()] or [noons[0].date()]


@given(zone=zones, which=st.integers(0, 10**6), away=st.integers(-1, 1), span=hours)
@example(zone="Antarctica/Troll", which=1, away=0, span=(0, 24))  # two hours at once
@example(zone="Antarctica/Casey", which=0, away=0, span=(0, 24))  # three
@example(zone="Antarctica/Casey", which=0, away=0, span=(0, 2))  # of which one came before
@example(zone="Antarctica/Casey", which=0, away=0, span=(3, 24))  # the clock is put back past the start
@example(zone="Antarctica/Casey", which=1, away=0, span=(0, 1))  # one of three hours that are skipped
@example(zone="Africa/Cairo", which=-1, away=0, span=(0, 6))  # at midnight
def test_in_every_zone_a_window_holds_what_the_wall_clock_shows(
    zone: str, which: int, away: int, span: tuple[int, int]
) -> None:
    changes = changes_of(zone)
    day = changes[which % len(changes)] + away * DAY
    window, shown = window_of(day, zone, Hours(start=span[0], end=span[1])), longest_run(quarters(day, zone, *span))
    assert (window is None) == (shown == [])
    if window is not None:
        assert [moment for moment in quarters(day, zone, 0, 24) if moment in window] == shown
        assert window.seconds == len(shown) * QUARTER.total_seconds()


@given(zone=zones, start=st.dates(dt.date(1980, 1, 1), dt.date(2037, 1, 1)), which=st.none() | st.integers(0, 10**6))
def test_in_every_zone_no_instant_is_lost_or_counted_twice(zone: str, start: dt.date, which: int | None) -> None:
    changes = changes_of(zone)
    day = start if which is None else changes[which % len(changes)] - 3 * DAY
    windows = []
    for _ in range(7):
        day, window = next_opening(day, zone, ALL_DAY)
        windows.append(window)
    assert all(earlier.closes_at == later.opens_at for earlier, later in pairwise(windows))
    assert all(20 * 3600 <= window.seconds <= 28 * 3600 for window in windows)


@given(zone=zones, which=st.integers(0, 10**6), span=hours)
def test_in_every_zone_weekdays_only_means_local_weekdays(zone: str, which: int, span: tuple[int, int]) -> None:
    changes = changes_of(zone)
    day, openings = changes[which % len(changes)] - 7 * DAY, []
    for _ in range(10):
        day, window = next_opening(day, zone, Hours(start=span[0], end=span[1], weekdays_only=True))
        openings.append(window)
        assert window.opens_at.astimezone(ZoneInfo(zone)).weekday() < 5
        assert (window.closes_at - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() == day
    assert all(earlier.closes_at <= later.opens_at for earlier, later in pairwise(openings))


def test_a_day_that_never_was_has_no_window() -> None:
    assert window_of(dt.date(2011, 12, 30), "Pacific/Apia", Hours(start=6, end=22)) is None
    assert next_opening(dt.date(2011, 12, 29), "Pacific/Apia", Hours(start=6, end=22))[0] == dt.date(2011, 12, 31)


def test_an_hour_that_is_skipped_is_no_window() -> None:
    assert window_of(dt.date(2026, 3, 29), "Europe/Berlin", Hours(start=2, end=3)) is None


def test_weekdays_only_means_no_window_on_saturday_and_sunday() -> None:
    monday, office = dt.date(2026, 3, 2), Hours(start=9, end=17, weekdays_only=True)
    week = [window_of(monday + n * DAY, "Europe/Berlin", office) is not None for n in range(7)]
    assert week == [True] * 5 + [False] * 2
    assert next_opening(monday + 4 * DAY, "Europe/Berlin", office)[0] == monday + 7 * DAY


@given(day=st.dates(dt.date(2020, 1, 1), dt.date(2035, 1, 1)), zone=st.sampled_from(sorted({z for z, _ in CHANGES})))
def test_the_next_opening_lies_ahead(day: dt.date, zone: str) -> None:
    found, window = next_opening(day, zone, Hours(start=6, end=22, weekdays_only=True))
    assert found > day
    assert found.weekday() < 5
    assert window.opens_at.astimezone(ZoneInfo(zone)).hour == 6
    assert window == window_of(found, zone, Hours(start=6, end=22))


def test_a_window_holds_its_opening_and_not_its_close() -> None:
    opens_at = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
    window = Window(opens_at=opens_at, closes_at=opens_at + 16 * dt.timedelta(hours=1))
    assert window.opens_at in window
    assert window.closes_at not in window
    assert window.opens_at - dt.timedelta(microseconds=1) not in window


@pytest.mark.parametrize("name", ["", "Europe", "Europe/Atlantis", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_what_is_no_zone_is_told_so(name: str) -> None:
    assert not is_zone(name)
    assert is_zone("Europe/Berlin")
