"""When notices go out: not as a storm, again and again but not for ever, and once a day at the hour that was chosen."""

import datetime as dt
from random import Random

import pytest

from warmupd.core.notice_pace import LONGEST_ASKED, MOST_TRIES, next_daily, quiet_after, try_again_in

UTC = dt.UTC


def test_an_owner_hears_ever_less_often_while_it_goes_on() -> None:
    minutes = [quiet_after(told).total_seconds() / 60 for told in (1, 2, 3, 4, 5, 6, 100)]
    assert minutes == [15, 30, 60, 120, 240, 240, 240]


def test_tries_lie_ever_further_apart_and_end_within_two_days() -> None:
    waits = [try_again_in(tries, Random(1)) for tries in range(1, MOST_TRIES)]
    assert None not in waits
    assert waits == sorted(waits, key=lambda wait: wait or 0)
    assert 12 * 3600 < sum(wait or 0 for wait in waits) < 48 * 3600
    assert try_again_in(MOST_TRIES, Random(1)) is None


def test_a_recipient_that_asks_for_more_time_gets_it_within_reason() -> None:
    assert try_again_in(1, Random(1), asked=300.0) == 300.0
    assert try_again_in(1, Random(1), asked=1e9) == LONGEST_ASKED


@pytest.mark.parametrize(
    ("now", "hour", "zone", "expected"),
    [
        (dt.datetime(2026, 6, 3, 5, 59, tzinfo=UTC), 8, "Europe/Berlin", dt.datetime(2026, 6, 3, 6, tzinfo=UTC)),
        (dt.datetime(2026, 6, 3, 6, tzinfo=UTC), 8, "Europe/Berlin", dt.datetime(2026, 6, 4, 6, tzinfo=UTC)),
        (dt.datetime(2026, 6, 3, 23, tzinfo=UTC), 8, "Pacific/Auckland", dt.datetime(2026, 6, 4, 20, tzinfo=UTC)),
        # 02:00 to 03:00 does not exist on that day: the mail comes, a little later by the wall
        (dt.datetime(2026, 3, 28, 12, tzinfo=UTC), 2, "Europe/Berlin", dt.datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ],
)
def test_next_daily_is_the_hour_in_the_owners_zone(
    now: dt.datetime, hour: int, zone: str, expected: dt.datetime
) -> None:
    assert next_daily(now, hour, zone) == expected
