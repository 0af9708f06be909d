"""The scheduler's numbers, written down slowly: whatever is done to compute them faster, they stay the same."""

import datetime as dt
from hashlib import blake2b
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.mailbox import DayRow, MailboxState, draw_lot, most_attempts
from warmupd.core.pacing import JITTER, TAIL, Spacing, next_send_at, relative_deficit

OPENS = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
SPACING = Spacing()
numbers = st.lists(st.integers(-(2**63), 2**63), min_size=0, max_size=3)


@st.composite
def days(draw: st.DrawFn) -> DayRow:
    quota = draw(st.integers(1, 60))
    return DayRow(
        mailbox_id=draw(st.integers(1, 10**9)),
        day=OPENS.date(),
        quota=quota,
        floor=min(quota, 25),
        opens_at=OPENS,
        closes_at=OPENS + dt.timedelta(minutes=draw(st.integers(60, 1440))),
        taken=draw(st.integers(0, quota + 1)),
        attempts=draw(st.integers(0, quota + 15)),
    )


moments = st.integers(-3600, 90_000).map(lambda seconds: OPENS + dt.timedelta(seconds=seconds))


@given(numbers)
def test_lots_are_drawn_from_the_numbers_as_python_writes_them(drawn: list[int]) -> None:
    digest = blake2b(repr(tuple(drawn)).encode(), digest_size=6).digest()
    assert draw_lot(*drawn) == int.from_bytes(digest, "big") / 2**48


@given(days(), moments, st.integers(0, 3), st.booleans())
def test_next_send_is_where_it_always_was(day: DayRow, now: dt.datetime, reserved: int, resumes: bool) -> None:
    found = next_send_at(day, now, SPACING, Random(1), reserved=reserved, resumes=resumes)
    assert found == _next_send_at(day, now, Random(1), reserved=reserved, resumes=resumes)


@given(days(), moments)
def test_need_is_what_it_always_was(day: DayRow, now: dt.datetime) -> None:
    usable = (day.closes_at - day.opens_at).total_seconds() * (1 - TAIL)
    elapsed = min(1.0, max(0.0, (now - day.opens_at).total_seconds() / usable))
    assert relative_deficit(day, now) == (day.quota * elapsed - day.taken) / day.quota
    assert day.left == max(0, day.quota - day.taken)
    assert most_attempts(day.quota) == day.quota + max(3, -(-day.quota // 5))


def test_states_allow_what_they_always_did() -> None:
    active, receiving = MailboxState.ACTIVE, MailboxState.RECEIVE_ONLY
    assert [state for state in MailboxState if state.sends] == [active, receiving]
    assert [state for state in MailboxState if state.receives] == [active, receiving]
    assert [state for state in MailboxState if state.starts] == [active]
    idle = {receiving, MailboxState.PAUSED, MailboxState.REMOVED}
    assert {state for state in MailboxState if not state.owes} == idle
    assert MailboxState("PAUSED") is MailboxState.PAUSED


def _next_send_at(day: DayRow, now: dt.datetime, rng: Random, *, reserved: int, resumes: bool) -> dt.datetime | None:
    left = max(0, day.quota - day.taken)
    most = day.quota + max(3, -(-day.quota // 5))
    if left - reserved <= 0 or day.attempts >= most or now >= day.closes_at:
        return None
    number, length = day.day.toordinal(), (day.closes_at - day.opens_at).total_seconds()
    places = day.taken + draw_lot(day.mailbox_id, number) + JITTER * draw_lot(day.mailbox_id, number, day.taken)
    due_at = day.opens_at + dt.timedelta(seconds=length * (1 - TAIL) * places / (day.quota + JITTER))
    span = (day.closes_at - max(now, day.opens_at)).total_seconds()
    usable = span - length * TAIL if span > 2 * length * TAIL else span / 2
    gap = max(usable / left, min(SPACING.mailbox_min, usable))
    if day.attempts == 0 or resumes:
        return due_at if due_at >= now else now + dt.timedelta(seconds=gap * rng.random())
    if due_at < now + dt.timedelta(seconds=SPACING.mailbox_min):
        widest = max(SPACING.mailbox_min, min(SPACING.mailbox_max, gap))
        due_at = now + dt.timedelta(seconds=rng.uniform(SPACING.mailbox_min, widest))
    return due_at if due_at < day.closes_at else None
