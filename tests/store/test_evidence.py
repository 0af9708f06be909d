"""A database that keeps evidence writes down what its rows forget: earlier reservations of a job, and earlier rests."""

import datetime as dt

from tests.store.rows import CLOSES, NOON, OPENS, Ground, after, ask, laid_ground, retry  # noqa: F401  a fixture
from warmupd.core.job import JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.store.evidence import keep_evidence, load_reservations, load_rests
from warmupd.store.states import rest_mailbox


async def test_every_reservation_of_a_job_is_kept(ground: Ground) -> None:
    await keep_evidence(ground.db)
    worker, (first, second) = await ground.worker(), await ground.pair()
    job = await ground.grant(worker, ask(first, second))
    put_off = await ground.deferred(job, retry_at=after(300))
    again = await ground.grant(worker, retry(put_off), at=after(300))
    await ground.settle(again, OutcomeKind.SENT, at=after(302))
    one, two = await load_reservations(ground.db)
    assert [(seen.job_day, seen.job_id, seen.mailbox_id) for seen in (one, two)] == [(job.day, job.id, first)] * 2
    assert [one.picked_at, one.start_at, two.picked_at, two.start_at] == [NOON, NOON, after(300), after(300)]
    assert [seen.send_by - seen.picked_at for seen in (one, two)] == [dt.timedelta(seconds=5)] * 2
    assert {(seen.opens_at, seen.closes_at) for seen in (one, two)} == {(OPENS, CLOSES)}
    assert [seen.became for seen in (one, two)] == [JobStatus.PENDING, JobStatus.SENT]
    assert all(seen.took and dt.timedelta(0) < seen.took < dt.timedelta(minutes=1) for seen in (one, two))


async def test_a_send_without_an_outcome_never_ended(ground: Ground) -> None:
    await keep_evidence(ground.db)
    worker, (first, second) = await ground.worker(), await ground.pair()
    await ground.grant(worker, ask(first, second))
    assert [(seen.took, seen.became) for seen in await load_reservations(ground.db)] == [(None, None)]


async def test_an_attempt_that_was_given_back_became_nothing(ground: Ground) -> None:
    await keep_evidence(ground.db)
    worker, (first, second) = await ground.worker(), await ground.pair()
    job = await ground.grant(worker, ask(first, second))
    await ground.settle(job, OutcomeKind.RETURNED, retry_at=after(300))
    assert [(seen.took is None, seen.became) for seen in await load_reservations(ground.db)] == [(False, None)]


async def test_every_rest_is_kept_with_its_beginning_and_what_brought_it(ground: Ground) -> None:
    await keep_evidence(ground.db)
    (mailbox,) = await ground.mailboxes(1)
    for at, until, reason in ((NOON, after(60), "rate"), (after(90), CLOSES, "daily_limit")):
        message = f"450 {reason}"
        await rest_mailbox(ground.db, mailbox, until=until, reason=reason, message=message, remedy="", at=at)
    found = [(rest.mailbox_id, rest.began_at, rest.until, rest.reason) for rest in await load_rests(ground.db)]
    assert found == [(mailbox, NOON, after(60), "rate"), (mailbox, after(90), CLOSES, "daily_limit")]
    assert [rest.message for rest in await load_rests(ground.db)] == ["450 rate", "450 daily_limit"]


async def test_reserving_begins_no_rest(ground: Ground) -> None:
    await keep_evidence(ground.db)
    worker, (first, second) = await ground.worker(), await ground.pair()
    await ground.grant(worker, ask(first, second))
    assert await load_rests(ground.db) == []
