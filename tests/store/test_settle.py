"""Settling: outcomes are matched by attempt token, count once, and give back what was not used."""

import asyncio
import datetime as dt
import random

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    CLOSES,
    NOON,
    Ground,
    Worker,
    after,
    ask,
    granted,
    laid_ground,
    retry,
    somebody_waits,
)
from warmupd.core.job import Job, JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.core.outcome import OutcomeKind
from warmupd.store import jobs
from warmupd.store.jobs import Settlement
from warmupd.store.states import change_state, stop_mailbox

SENT, FAILED, DEFERRED = OutcomeKind.SENT, OutcomeKind.FAILED, OutcomeKind.DEFERRED
RETURNED, UNKNOWN = OutcomeKind.RETURNED, OutcomeKind.UNKNOWN


async def test_sent_counts(ground: Ground) -> None:
    job = await _reserved(ground)
    assert await ground.settle(job, SENT, at=after(2)) is JobStatus.SENT
    row = await ground.job(job)
    assert (row["status"], row["completed_at"], row["outcome"]) == ("SENT", after(2), "sent")
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("meanwhile", "became"),
    [
        ("SELECT reap_jobs('0', '1 minute', '2026-06-02')", JobStatus.SENT),
        ("UPDATE warmup_jobs SET topic = 'moved'", JobStatus.SENT),
        ("UPDATE warmup_jobs SET attempt_token = gen_random_uuid()", None),
    ],
)
async def test_settlement_goes_by_the_job_as_it_is_behind_its_lock(
    ground: Ground, meanwhile: str, became: JobStatus | None
) -> None:
    job = await _reserved(ground)
    async with ground.db.transaction() as connection:
        await connection.execute(meanwhile)
        settling = asyncio.create_task(ground.settle(job, SENT))
        await somebody_waits(connection)
    assert await settling is became
    assert (await ground.job(job))["status"] == (became or "PROCESSING")
    assert await ground.day(job.mailbox_id) == (1, 1, int(became is not None), 0)


async def test_job_that_was_written_while_its_lock_was_waited_for_is_locked(ground: Ground) -> None:
    job = await _reserved(ground)
    async with ground.db.transaction() as holder:
        async with ground.db.transaction() as connection:
            await connection.execute("UPDATE warmup_jobs SET topic = 'moved'")
            locking = asyncio.create_task(holder.execute("SELECT lock_jobs($1, $2)", [job.day], [job.id]))
            await somebody_waits(connection)
        await locking
        assert await ground.db.fetch("SELECT FROM warmup_jobs FOR UPDATE SKIP LOCKED") == []


async def test_sent_twice_counts_once(ground: Ground) -> None:
    job = await _reserved(ground)
    told = Settlement(job=job, kind=SENT, reason="sent")
    assert await jobs.settle(ground.db, [told, told], at=NOON) == [JobStatus.SENT, JobStatus.SENT]
    assert await jobs.settle(ground.db, [told], at=NOON) == [JobStatus.SENT]
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


async def test_failed_twice_gives_back_once(ground: Ground) -> None:
    job = await _reserved(ground)
    await ground.settle(job, FAILED)
    assert await ground.settle(job, FAILED) is JobStatus.FAILED
    assert await ground.day(job.mailbox_id) == (0, 1, 0, 1)


async def test_stale_token_changes_nothing(ground: Ground) -> None:
    first = await _reserved(ground)
    waiting = await ground.deferred(first, retry_at=after(300))
    second = await ground.grant(await _holder(ground), retry(waiting), at=after(300))
    for kind in (SENT, FAILED, UNKNOWN, DEFERRED):
        assert await ground.settle(first, kind, at=after(301)) is None
    assert (await ground.job(second))["status"] == "PROCESSING"
    assert await ground.day(first.mailbox_id) == (1, 2, 0, 0)


async def test_stale_token_does_not_hide_the_right_one_in_the_same_batch(ground: Ground) -> None:
    first = await _reserved(ground)
    waiting = await ground.deferred(first, retry_at=after(300))
    second = await ground.grant(await _holder(ground), retry(waiting), at=after(300))
    both = [Settlement(job=first, kind=UNKNOWN, reason="lost"), Settlement(job=second, kind=SENT, reason="sent")]
    assert await jobs.settle(ground.db, both, at=after(301)) == [None, JobStatus.SENT]


async def test_failure_gives_the_place_back_and_keeps_the_attempt(ground: Ground) -> None:
    job = await _reserved(ground)
    assert await ground.settle(job, FAILED) is JobStatus.FAILED
    assert await ground.day(job.mailbox_id) == (0, 1, 0, 1)


async def test_deferred_job_waits_without_its_place(ground: Ground) -> None:
    job = await _reserved(ground)
    waiting = await ground.deferred(job, retry_at=after(300))
    assert (waiting.id, waiting.scheduled_for, waiting.retry_count) == (job.id, after(300), 1)
    assert await ground.day(job.mailbox_id) == (0, 1, 0, 0)


async def test_retries_end_with_the_window(ground: Ground) -> None:
    job = await _reserved(ground, closes=after(600))
    assert await ground.settle(job, DEFERRED, retry_at=after(600)) is JobStatus.FAILED
    assert await ground.day(job.mailbox_id) == (0, 1, 0, 1)


async def test_returned_job_gives_back_its_attempt_too(ground: Ground) -> None:
    job = await _reserved(ground)
    assert await ground.settle(job, RETURNED, retry_at=NOON) is JobStatus.PENDING
    assert await ground.day(job.mailbox_id) == (0, 0, 0, 0)
    assert (await ground.waiting(job.mailbox_id)).retry_count == 0


@pytest.mark.parametrize(("late", "counts"), [(SENT, (1, 1, 1, 0)), (FAILED, (0, 1, 0, 1))])
async def test_unknown_keeps_its_place_until_a_late_reply(
    ground: Ground, late: OutcomeKind, counts: tuple[int, ...]
) -> None:
    job = await _reserved(ground)
    assert await ground.settle(job, UNKNOWN) is JobStatus.UNKNOWN
    assert await ground.day(job.mailbox_id) == (1, 1, 0, 0)
    assert await ground.settle(job, late, at=after(3600)) == late.value
    assert await ground.day(job.mailbox_id) == counts


async def test_reply_counts_more_than_the_lack_of_one_in_the_same_batch(ground: Ground) -> None:
    job = await _reserved(ground)
    both = [Settlement(job=job, kind=UNKNOWN, reason="lost"), Settlement(job=job, kind=SENT, reason="sent")]
    await jobs.settle(ground.db, both, at=NOON)
    assert (await ground.job(job))["status"] == "SENT"


async def test_unknown_message_is_looked_for_within_minutes(ground: Ground) -> None:
    job = await _reserved(ground)
    await ground.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(36000))
    await ground.settle(job, UNKNOWN)
    assert await _visit(ground, job.recipient_id) == (after(180), True)
    assert await _visit(ground, job.mailbox_id) == (after(180), False)  # its server may have kept a copy


async def test_unproven_recipient_is_visited_soon_after_the_first_message(ground: Ground) -> None:
    job = await _reserved(ground, proven=False)
    await ground.settle(job, SENT)
    assert await _visit(ground, job.recipient_id) == (after(180), False)


async def test_message_of_another_to_who_is_proven_to_his_own_alone_hastens_the_visit(ground: Ground) -> None:
    owner = await ground.user()
    (own, box), (other,) = await ground.mailboxes(2, owner), await ground.mailboxes(1)
    await ground.db.execute("UPDATE proofs SET own_only = true WHERE mailbox_id = $1", box)
    worker = await ground.worker()
    for sender, visit in ((own, (None, False)), (other, (after(180), False))):
        await ground.settle(await ground.grant(worker, ask(sender, box)), SENT)
        assert await _visit(ground, box) == visit


async def test_proven_recipient_is_visited_as_planned(ground: Ground) -> None:
    job = await _reserved(ground)
    await ground.settle(job, SENT)
    assert await _visit(ground, job.recipient_id) == (None, False)


async def test_parent_that_is_written_in_this_moment_is_replied_to(ground: Ground) -> None:
    parent = await _reserved(ground)
    await ground.settle(parent, SENT)
    answer = await ground.grant(await _holder(ground), retry(await ground.answer(parent)))
    async with ground.db.transaction() as connection:
        await connection.execute("UPDATE warmup_jobs SET topic = 'moved' WHERE id = $1", parent.id)
        settling = asyncio.create_task(ground.settle(answer, SENT))
        await somebody_waits(connection)
    assert await settling is JobStatus.SENT
    assert (await ground.job(parent))["status"] == "REPLIED"


async def test_answer_settles_its_parent_as_replied(ground: Ground) -> None:
    parent = await _reserved(ground)
    await ground.settle(parent, SENT)
    answer = await ground.grant(await _holder(ground), retry(await ground.answer(parent)))
    await ground.settle(answer, SENT)
    assert (await ground.job(parent))["status"] == "REPLIED"


# -- what was lost, and what is over --------------------------------------------------------------------------------


async def test_lost_job_becomes_unknown_after_its_grace_and_is_looked_for(ground: Ground) -> None:
    job = await _reserved(ground)
    assert await jobs.reap(ground.db, grace=60, look_within=300, at=after(65)) == 0
    assert await jobs.reap(ground.db, grace=60, look_within=300, at=after(65.001)) == 1
    assert (await ground.job(job))["status"] == "UNKNOWN"
    assert await ground.day(job.mailbox_id) == (1, 1, 0, 0)
    assert await _visit(ground, job.recipient_id) == (after(365.001), True)
    assert await _visit(ground, job.mailbox_id) == (after(365.001), False)


async def test_reaped_job_takes_a_late_reply(ground: Ground) -> None:
    job = await _reserved(ground)
    await jobs.reap(ground.db, grace=60, look_within=300, at=after(66))
    assert await ground.settle(job, SENT, at=after(67)) is JobStatus.SENT
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


async def test_retry_whose_window_closed_expires_and_is_counted(ground: Ground) -> None:
    job = await _reserved(ground, closes=after(600))
    await ground.deferred(job, retry_at=after(599))
    assert await jobs.expire(ground.db, at=after(599)) == 0
    assert await jobs.expire(ground.db, at=after(600)) == 1
    row = await ground.job(job)
    assert (row["status"], row["outcome"]) == ("FAILED", "window_over")
    assert await ground.day(job.mailbox_id) == (0, 1, 0, 1)


async def test_answer_that_found_no_time_expires_a_day_later(ground: Ground) -> None:
    a, b = await ground.pair()
    await ground.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,"
        " parent_day, parent_id, created_at) SELECT $1::timestamptz::date, 'REPLY', 'PENDING', id, user_id, $3, $1, 1,"
        " $1::timestamptz::date, 0, $1 FROM mailboxes WHERE id = $2",
        NOON,
        a,
        b,
    )
    assert await jobs.expire(ground.db, at=after(86399)) == 0
    assert await jobs.expire(ground.db, at=after(86400)) == 1


async def test_unknown_is_given_up_only_after_a_complete_visit_that_came_late_enough(ground: Ground) -> None:
    job, two_days = await _reserved(ground), 48 * 3600
    await ground.settle(job, UNKNOWN)
    for began, ended in ((two_days, 0), (two_days + 1, 1)):
        await ground.db.execute("UPDATE mailbox_visits SET everywhere_at = $1", after(began))
        assert await jobs.give_up_unknown(ground.db, at=after(two_days + 100)) == ended
    row = await ground.job(job)
    assert (row["status"], row["outcome"]) == ("FAILED", "unverified")
    assert row["error_message"].endswith("not found in the mailbox of its recipient")
    assert await ground.day(job.mailbox_id) == (1, 1, 0, 1)  # the place stays taken


async def test_recipient_that_cannot_be_visited_holds_an_unknown_for_six_days_at_most(ground: Ground) -> None:
    job, six_days = await _reserved(ground), 6 * 86400
    await ground.settle(job, UNKNOWN)
    for seconds, ended in ((six_days, 0), (six_days + 1, 1)):
        assert await jobs.give_up_unknown(ground.db, at=after(seconds)) == ended
    assert (await ground.job(job))["error_message"].endswith("could not be looked into")


# -- at once --------------------------------------------------------------------------------------------------------


async def test_reserving_and_settling_at_once_never_deadlocks(ground: Ground) -> None:
    """Four connections over the same thirty mailboxes, some unproven, in random orders."""
    boxes, worker = await ground.mailboxes(20, quota=2000), await ground.worker()
    boxes += await ground.mailboxes(10, quota=2000, proven=False)
    await ground.limit(mailbox_gap_seconds=0, slack_seconds=0)
    before = await _deadlocks(ground)
    open_jobs: list[Job] = []

    async def go(seed: int) -> None:
        rng = random.Random(seed)
        for turn in range(60):
            now = after(turn * 10)
            pairs = [rng.sample(boxes, 2) for _ in range(rng.randint(1, 10))]
            if rng.random() < 0.5:
                answers = await ground.reserve(worker, *(ask(a, b, gap=0) for a, b in pairs), at=now)
                open_jobs.extend(granted(answers))
            elif open_jobs:
                rng.shuffle(open_jobs)
                told = [open_jobs.pop() for _ in range(min(len(open_jobs), 8))]
                await jobs.settle(ground.db, [_any_outcome(job, now, rng) for job in told], at=now)
            else:
                await jobs.reap(ground.db, grace=0, look_within=60, at=now)

    await asyncio.gather(*(go(seed) for seed in range(4)))
    assert await ground.jobs() > 200
    assert await _deadlocks(ground) == before


async def _reserved(ground: Ground, *, closes: dt.datetime = CLOSES, proven: bool = True) -> Job:
    (sender,), worker = await ground.mailboxes(1, closes=closes), await ground.worker()
    (recipient,) = await ground.mailboxes(1, proven=proven)
    return await ground.grant(worker, ask(sender, recipient))


async def _holder(ground: Ground) -> Worker:
    """A worker that took all slots over."""
    await ground.db.execute("UPDATE slots SET lease_until = '-infinity'")
    return await ground.worker()


async def _visit(ground: Ground, mailbox_id: int) -> tuple[dt.datetime | None, bool]:
    row = await ground.db.fetchrow(
        "SELECT next_visit_at, everywhere FROM mailbox_visits WHERE mailbox_id = $1", mailbox_id
    )
    assert row is not None
    return row["next_visit_at"], row["everywhere"]


async def _deadlocks(ground: Ground) -> int:
    await ground.db.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await ground.db.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return count


def _any_outcome(job: Job, now: dt.datetime, rng: random.Random) -> Settlement:
    kind = rng.choice([SENT, SENT, FAILED, DEFERRED, RETURNED, UNKNOWN])
    return Settlement(job=job, kind=kind, reason="any", retry_at=now + dt.timedelta(seconds=60))


@pytest.mark.parametrize(
    ("kind", "reason", "bounced"),
    [
        (OutcomeKind.FAILED, "recipient_unknown", 1),
        (OutcomeKind.FAILED, "removed", 0),
        (OutcomeKind.FAILED, "not_composed", 0),
        (OutcomeKind.FAILED, "bad_address", 0),
        (OutcomeKind.FAILED, "secrets_gave_up", 0),
        (OutcomeKind.FAILED, "temporary_gave_up", 0),
        (OutcomeKind.DEFERRED, "temporary", 0),  # its window is over
        (OutcomeKind.UNKNOWN, "unknown", 0),
    ],
)
async def test_bounce_is_told_from_what_no_server_refused(
    ground: Ground, kind: OutcomeKind, reason: str, bounced: int
) -> None:
    sender, recipient = await ground.pair()
    job = await ground.grant(await ground.worker(), ask(sender, recipient))
    settlement = Settlement(job=job, kind=kind, reason=reason, retry_at=CLOSES)
    await jobs.settle(ground.db, [settlement], at=NOON)
    await jobs.settle(ground.db, [settlement], at=NOON)
    assert await ground.db.fetchval("SELECT bounced FROM mailbox_days WHERE mailbox_id = $1", sender) == bounced


async def test_ramp_climbs_once_half_of_the_day_was_sent(ground: Ground) -> None:
    sender, recipient = await ground.pair(quota=4)
    worker = await ground.worker()
    climbed = []
    for turn in range(4):
        at = after(600 * turn)
        await ground.settle(await ground.grant(worker, ask(sender, recipient), at=at), SENT, at=at)
        climbed.append(await _ramp_days(ground, sender))
    assert climbed == [0, 1, 1, 1]


@pytest.mark.parametrize(("ramp_days", "state"), [(9, "ACTIVE"), (0, "RECEIVE_ONLY")])
async def test_ramp_that_was_changed_or_only_receives_is_left_alone(ground: Ground, ramp_days: int, state: str) -> None:
    sender, recipient = await ground.pair(quota=1)
    job = await ground.grant(await ground.worker(), ask(sender, recipient))
    await ground.db.execute("UPDATE mailboxes SET ramp_days = $1, state = $2::mailbox_state", ramp_days, state)
    await ground.settle(job, SENT)
    assert await _ramp_days(ground, sender) == ramp_days


async def test_day_whose_half_was_reached_in_a_pause_counts_with_the_next_message(ground: Ground) -> None:
    sender, recipient = await ground.pair(quota=4)
    worker = await ground.worker()
    climbed = []
    for turn in range(4):
        at = after(600 * turn)
        job = await ground.grant(worker, ask(sender, recipient), at=at)
        if turn == 1:
            await change_state(ground.db, sender, MailboxState.PAUSED, actor="cli", reason="", at=at)
        await ground.settle(job, SENT, at=at)
        climbed.append(await _ramp_days(ground, sender))
        await change_state(ground.db, sender, MailboxState.ACTIVE, actor="cli", reason="", at=at)
    assert climbed == [0, 0, 1, 1]


async def test_stop_in_the_middle_of_a_day_is_not_undone_by_its_later_messages(ground: Ground) -> None:
    sender, recipient = await ground.pair(quota=4)
    worker = await ground.worker()
    for turn in range(4):
        at = after(600 * turn)
        await ground.settle(await ground.grant(worker, ask(sender, recipient), at=at), SENT, at=at)
        if turn == 1:
            assert await _ramp_days(ground, sender) == 1
            await stop_mailbox(ground.db, sender, actor="cli", reason="", at=at)
            await change_state(ground.db, sender, MailboxState.ACTIVE, actor="cli", reason="", at=at)
    assert await _ramp_days(ground, sender) == 0


async def test_ramp_that_was_reset_climbs_anew_on_the_next_day(ground: Ground) -> None:
    sender, recipient = await ground.pair(quota=1)
    await ground.db.execute("UPDATE mailboxes SET ramp_days = 5")
    yesterday = NOON - dt.timedelta(days=1)
    await stop_mailbox(ground.db, sender, actor="cli", reason="", at=yesterday)
    await change_state(ground.db, sender, MailboxState.ACTIVE, actor="cli", reason="", at=yesterday)
    await ground.settle(await ground.grant(await ground.worker(), ask(sender, recipient)), SENT)
    assert await _ramp_days(ground, sender) == 1


async def _ramp_days(ground: Ground, mailbox_id: int) -> int:
    days: int = await ground.db.fetchval("SELECT ramp_days FROM mailboxes WHERE id = $1", mailbox_id)
    return days
