"""An attempt counts as one in vain when the mail server's own record says so, and not by the ledger's word alone."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from tests.store.rows import CLOSES, NOON, OPENS, TODAY
from warmupd.core.job import JobStatus
from warmupd.sandbox.attempts import count_in_vain
from warmupd.sandbox.holdup import Holdup
from warmupd.store.evidence import Reservation

AWAY = Holdup(begin=NOON, end=NOON + dt.timedelta(hours=1), cause="away", words="nobody answered")


def attempt(minutes: float, *, became: JobStatus | None = JobStatus.PENDING, mailbox_id: int = 1) -> Reservation:
    """One that was made so many minutes after noon, and took ten of them."""
    at = NOON + dt.timedelta(minutes=minutes)
    return Reservation(
        job_day=TODAY,
        job_id=1,
        mailbox_id=mailbox_id,
        user_id=UUID(int=1),
        picked_at=at,
        start_at=at,
        send_by=at,
        opens_at=OPENS,
        closes_at=CLOSES,
        took=dt.timedelta(seconds=1) if became else None,
        became=became,
    )


def in_vain(attempts: Sequence[Reservation], *refused: float, away: Sequence[Holdup] = (), mailbox_id: int = 1) -> int:
    """How many of mailbox 1, when as many minutes after noon somebody was refused."""
    refusals = [(mailbox_id, NOON + dt.timedelta(minutes=minutes)) for minutes in refused]
    counts = count_in_vain(
        attempts, refusals, away, speed=600, early=dt.timedelta(minutes=1), late=dt.timedelta(minutes=2)
    )
    return counts[1, OPENS]


def test_an_attempt_is_in_vain_when_the_server_refused_it() -> None:
    assert in_vain([attempt(0), attempt(20, became=JobStatus.FAILED), attempt(40)], 3, 29) == 2
    assert in_vain([attempt(0)]) == 0


def test_a_refusal_speaks_for_one_attempt_of_its_own_mailbox_and_moment() -> None:
    assert in_vain([attempt(0), attempt(5)], 7) == 1
    assert in_vain([attempt(0), attempt(20)], 1, 2, 3) == 1
    assert [in_vain([attempt(0)], minutes) for minutes in (-2, -1, 12, 13)] == [0, 1, 1, 0]
    assert in_vain([attempt(0)], 5, mailbox_id=2) == 0


def test_an_attempt_whose_place_was_not_given_back_is_not_in_vain() -> None:
    kept = [attempt(0, became=status) for status in (JobStatus.SENT, JobStatus.UNKNOWN, None)]
    assert [in_vain([one], 5) for one in kept] == [0, 0, 0]
    assert [in_vain([one], away=[AWAY]) for one in kept] == [0, 0, 0]


def test_an_attempt_at_a_server_that_was_away_is_in_vain_and_one_before_or_after_is_not() -> None:
    assert [in_vain([attempt(minutes)], away=[AWAY]) for minutes in (-20, -5, 30, 62)] == [0, 1, 1, 0]
