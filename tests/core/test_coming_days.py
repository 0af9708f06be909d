"""The plan of the days to come is what is opened then, if each day until then is met."""

import datetime as dt
from dataclasses import replace
from itertools import islice
from uuid import UUID

import pytest

from warmupd.core.forecast import Outlook, coming_days, foreseen
from warmupd.core.health import Band, HealthRules
from warmupd.core.mailbox import DayLimit, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.opening import next_day
from warmupd.core.pacing import Spacing
from warmupd.core.ramp import resolve_budget

NOON = dt.datetime(2026, 10, 23, 12, tzinfo=dt.UTC)  # a Friday, before the clocks go back
RULES = HealthRules()


def outlook(**changes: object) -> Outlook:
    mailbox = Mailbox(
        id=7,
        user_id=UUID(int=1),
        pool_id=1,
        domain="example.com",
        state=MailboxState.ACTIVE,
        priority=0,
        zone="Europe/Berlin",
        hours=Hours(start=6, end=22),
        ramp=Ramp(start=5, step=3, target=40, floor=30),
        ramp_days=4,
    )
    return Outlook(
        mailbox=replace(mailbox, **changes),  # type: ignore[arg-type]  # fields of the mailbox
        last_day=None,
        waiting=(),
        spacing=Spacing(),
        variance=0.1,
        rules=RULES,
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"hours": Hours(start=6, end=22, weekdays_only=True)}, {"health": Band.WATCH}, {"zone": "Pacific/Apia"}],
)
def test_plan_is_what_is_then_opened_when_each_day_is_met(changes: dict[str, object]) -> None:
    seen = outlook(**changes)
    planned = [(one.day, budget) for one, budget in islice(coming_days(seen, NOON, ramp_days=4), 12)]
    mailbox, last, at, opened = seen.mailbox, None, NOON, []
    for _ in range(12):
        following = next_day(mailbox, at, last)
        budget = following.budget(resolve_budget(mailbox, following.day, variance=0.1, rules=RULES))
        opened.append((following.day, budget))
        last = foreseen(replace(seen, mailbox=mailbox), following)
        mailbox, at = replace(mailbox, ramp_days=mailbox.ramp_days + 1), last.closes_at
    assert planned == opened


def test_plan_begins_after_the_day_that_is_open() -> None:
    seen = outlook()
    (first, _), (second, _) = islice(coming_days(seen, NOON, ramp_days=4), 2)
    today = foreseen(seen, first)
    (after, _) = next(coming_days(replace(seen, last_day=today), NOON, ramp_days=5))
    assert (first.day, after.day, second.day) == (NOON.date(), second.day, NOON.date() + dt.timedelta(days=1))


def test_ramp_stands_still_on_days_that_owe_nothing() -> None:
    seen = outlook(day_limits=(DayLimit("plan", 0),))
    assert {budget.ramp_day for _, budget in islice(coming_days(seen, NOON, ramp_days=4), 5)} == {5}
