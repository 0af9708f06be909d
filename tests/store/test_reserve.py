"""Reserving: one round trip grants what is sound, and says of the rest why not and when to ask again."""

import asyncio
import datetime as dt
from uuid import uuid4

import asyncpg
import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    CLOSES,
    NOON,
    TODAY,
    Ground,
    after,
    ask,
    granted,
    laid_ground,
    reasons,
    retry,
    somebody_waits,
)
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.store.jobs import Denied
from warmupd.store.partitions import make_partitions
from warmupd.store.spares import load_spares, spare_recipient


async def test_sound_request_is_granted_and_counted(ground: Ground) -> None:
    sender, recipient = await ground.pair()
    job = await ground.grant(await ground.worker(), ask(sender, recipient))
    row = await ground.job(job)
    assert (row["status"], row["attempt_token"], row["local_day"]) == ("PROCESSING", job.attempt_token, TODAY)
    assert (row["picked_at"], row["send_by"]) == (NOON, after(5))
    assert (job.not_before, job.deadline) == (0.0, 5.0)
    assert job.window_end == (CLOSES - NOON).total_seconds()
    assert await ground.day(sender) == (1, 1, 0, 0)


async def test_batch_asked_again_gets_its_answer_and_reserves_nothing(ground: Ground) -> None:
    (a, b), worker, batch = await ground.pair(), await ground.worker(), uuid4()
    first = await ground.reserve(worker, ask(a, b), ask(a, b), batch_id=batch)
    again = await ground.reserve(worker, ask(a, b), ask(a, b), batch_id=batch, at=after(1))
    assert again == first
    assert reasons(first) == ["granted", "spacing"]
    assert await ground.jobs() == 1


async def test_lock_of_the_caps_is_timed_once_a_batch(ground: Ground) -> None:
    (a, b), worker, batch = await ground.pair(), await ground.worker(ttl=1e10), uuid4()
    await ground.db.execute(
        "UPDATE mailbox_days SET opens_at = now() - interval '1 h', closes_at = now() + interval '1 h'"
    )
    await make_partitions(ground.db, await ground.db.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date"))
    told: list[float] = []
    for _ in range(2):  # the second answer is the first one's
        (answer,) = await ground.reserve(worker, ask(a, b), batch_id=batch, at=None, on_lock=told.append)
        assert isinstance(answer, Job)
    assert len(told) == 1
    assert 0 < told[0] < 10


async def test_snapshot_older_than_the_locks_is_refused(ground: Ground) -> None:
    worker = await ground.worker()
    async with ground.db.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        with pytest.raises(asyncpg.RaiseError, match="READ COMMITTED"):
            await connection.fetchval(
                "SELECT reserve_sends($1, '', $1, 0, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
                worker.id,
            )


# -- whose slot -----------------------------------------------------------------------------------------------------


async def test_stale_epoch_reserves_nothing(ground: Ground) -> None:
    (a, b), old = await ground.pair(), await ground.worker(ttl=10)
    await ground.worker(at=after(11))
    assert (await ground.deny(old, ask(a, b), at=after(12))).why == "not_owner"


async def test_own_epoch_of_before_reserves_nothing(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.db.execute("UPDATE slots SET epoch = nextval('slot_epoch')")
    assert (await ground.deny(worker, ask(a, b))).why == "not_owner"


async def test_lease_that_is_over_reserves_nothing(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker(ttl=10)
    await ground.grant(worker, ask(a, b), at=after(9))
    assert (await ground.deny(worker, ask(b, a), at=after(10))).why == "not_owner"


async def test_epoch_of_one_slot_is_none_of_another(ground: Ground) -> None:
    await ground.fleet(2)
    a, b = await ground.pair()
    worker = await ground.worker(only=[1 - slot_hash(a) % 2])
    assert (await ground.deny(worker, ask(a, b))).why == "not_owner"


async def test_resized_fleet_refuses_leases_of_the_old_size(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.fleet(65)
    assert (await ground.deny(worker, ask(a, b))).why == "not_owner"


# -- the window -----------------------------------------------------------------------------------------------------


async def test_window_includes_its_opening_and_not_its_closing(ground: Ground) -> None:
    a, b = await ground.pair(opens=NOON, closes=after(3600))
    worker = await ground.worker(at=after(-60))
    early = await ground.deny(worker, ask(a, b), at=after(-0.001))
    assert (early.why, early.ask_again_at) == ("window", NOON)
    await ground.grant(worker, ask(a, b), at=NOON)
    late = await ground.deny(worker, ask(b, a), at=after(3600))
    assert (late.why, late.ask_again_at) == ("window", None)


async def test_send_by_ends_with_the_window(ground: Ground) -> None:
    a, b = await ground.pair(closes=after(2))
    job = await ground.grant(await ground.worker(), ask(a, b))
    assert (job.deadline, job.window_end) == (2.0, 2.0)
    assert (await ground.job(job))["send_by"] == after(2)


async def test_start_is_never_put_behind_the_closing(ground: Ground) -> None:
    a, b = await ground.pair(closes=after(1))
    answers = await ground.reserve(await ground.worker(), ask(a, b, user_gap=1), ask(b, a, user_gap=1))
    assert reasons(answers) == ["granted", "user_spacing"]


async def test_day_that_was_not_opened_is_refused(ground: Ground) -> None:
    a, b = await ground.pair()
    assert (await ground.deny(await ground.worker(), ask(a, b, day=TODAY + dt.timedelta(days=1)))).why == "no_day"


# -- the budget -----------------------------------------------------------------------------------------------------


async def test_full_day_grants_no_more(ground: Ground) -> None:
    (a, b), worker = await ground.pair(quota=1), await ground.worker()
    await ground.grant(worker, ask(a, b))
    denied = await ground.deny(worker, ask(a, b), at=after(600))
    assert (denied.why, denied.ask_again_at) == ("quota", None)


async def test_attempts_of_a_day_are_bounded(ground: Ground) -> None:
    (a, b), worker = await ground.pair(quota=1), await ground.worker()
    for turn in range(4):
        job = await ground.grant(worker, ask(a, b), at=after(turn * 300))
        await ground.settle(job, OutcomeKind.FAILED, at=after(turn * 300))
    assert (await ground.deny(worker, ask(a, b), at=after(1200))).why == "attempts"


async def test_spacing_counts_from_the_last_moment_of_the_send_before(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.grant(worker, ask(a, b, gap=130))
    denied = await ground.deny(worker, ask(a, b), at=after(134.9))
    assert (denied.why, denied.ask_again_at) == ("spacing", after(135))
    await ground.grant(worker, ask(a, b), at=after(135))


async def test_gap_that_is_asked_for_never_undercuts_the_configured_one(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.grant(worker, ask(a, b, gap=1))
    assert (await ground.deny(worker, ask(a, b), at=after(124))).why == "spacing"


async def test_second_wish_of_a_mailbox_in_one_batch_waits_for_its_spacing(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    _, second = await ground.reserve(worker, ask(a, b), ask(a, b))
    assert isinstance(second, Denied)
    assert (second.why, second.ask_again_at) == ("spacing", after(125))
    await ground.grant(worker, ask(a, b), at=after(125))


async def test_resting_mailbox_says_until_when(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.db.execute("UPDATE mailbox_pace SET resting_until = $1", after(900))
    denied = await ground.deny(worker, ask(a, b))
    assert (denied.why, denied.ask_again_at) == ("resting", after(900))
    await ground.grant(worker, ask(a, b), at=after(900))


async def test_stopped_fleet_sends_nothing(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.limit(sending_stopped=True)
    denied = await ground.deny(worker, ask(a, b))
    assert (denied.why, denied.ask_again_at) == ("fleet_stopped", after(30))


async def test_concurrent_reserves_of_one_mailbox_grant_one(ground: Ground) -> None:
    (a, b), worker = await ground.pair(quota=1), await ground.worker()
    answers = await asyncio.gather(*(ground.reserve(worker, ask(a, b)) for _ in range(8)))
    assert sum(len(granted(answer)) for answer in answers) == 1
    assert await ground.day(a) == (1, 1, 0, 0)


# -- one user's sends -----------------------------------------------------------------------------------------------


async def test_sends_of_one_user_start_one_after_the_other(ground: Ground) -> None:
    boxes, worker = await ground.mailboxes(4), await ground.worker()
    answers = await ground.reserve(worker, *(ask(m, boxes[m == boxes[0]], user_gap=0.9) for m in boxes))
    assert reasons(answers) == ["granted", "granted", "granted", "user_spacing"]
    assert [job.not_before for job in granted(answers)] == pytest.approx([0, 0.9, 1.8])
    last = answers[3]
    assert isinstance(last, Denied)
    assert last.ask_again_at == after(2.7)
    later = await ground.grant(worker, last.request, at=after(2.7))
    assert later.not_before == 0


async def test_all_of_a_user_who_come_too_soon_are_told_the_same_moment(ground: Ground) -> None:
    boxes, worker = await ground.mailboxes(5), await ground.worker()
    answers = await ground.reserve(worker, *(ask(m, boxes[m == boxes[0]], user_gap=4) for m in boxes))
    denied = [answer for answer in answers if isinstance(answer, Denied)]
    assert [(one.why, one.ask_again_at) for one in denied] == [("user_spacing", after(4))] * 4


async def test_users_spacing_holds_from_batch_to_batch(ground: Ground) -> None:
    boxes, worker = await ground.mailboxes(3), await ground.worker()
    await ground.grant(worker, ask(boxes[0], boxes[1], user_gap=5))
    denied = await ground.deny(worker, ask(boxes[1], boxes[2], user_gap=5), at=after(1))
    assert (denied.why, denied.ask_again_at) == ("user_spacing", after(5))
    await ground.grant(worker, ask(boxes[1], boxes[2], user_gap=5), at=after(5))


# -- who writes, and to whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["PAUSED", "SUSPENDED", "AUTH_FAILED", "RECEIVE_ONLY"])
async def test_mailbox_that_may_not_start_is_refused(ground: Ground, state: str) -> None:
    (a,), (b,) = await ground.mailboxes(1, state=state), await ground.mailboxes(1)
    assert (await ground.deny(await ground.worker(), ask(a, b))).why == "mailbox_state"


async def test_removed_mailbox_is_gone(ground: Ground) -> None:
    (a,), (b,) = await ground.mailboxes(1, state="REMOVED"), await ground.mailboxes(1)
    assert (await ground.deny(await ground.worker(), ask(a, b))).why == "mailbox_gone"


async def test_removed_and_paused_recipients_are_refused(ground: Ground) -> None:
    a, b = await ground.pair()
    worker = await ground.worker()
    for state in ("REMOVED", "PAUSED", "SUSPENDED", "AUTH_FAILED"):
        await ground.db.execute("UPDATE mailboxes SET state = $2 WHERE id = $1", b, state)
        assert (await ground.deny(worker, ask(a, b))).why == "recipient"


async def test_recipient_who_is_spared_is_refused_until_then(ground: Ground) -> None:
    a, b = await ground.pair()
    worker = await ground.worker()
    await ground.db.execute("UPDATE proofs SET spared_until = $2 WHERE mailbox_id = $1", b, after(600))
    denied = await ground.deny(worker, ask(a, b))
    assert (denied.why, denied.ask_again_at) == ("spared", after(600))
    await ground.grant(worker, ask(a, b), at=after(600))


async def test_longer_spare_stays(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    for seconds in (86_400, 3600):
        await spare_recipient(ground.db, box, until=after(seconds))
    assert await load_spares(ground.db, at=after(0)) == {box: after(86_400)}


async def test_recipient_of_another_pool_is_refused(ground: Ground) -> None:
    (a,), (b,) = await ground.mailboxes(1), await ground.mailboxes(1, pool="other")
    assert (await ground.deny(await ground.worker(), ask(a, b))).why == "recipient"


async def test_stranger_and_oneself_are_refused(ground: Ground) -> None:
    (a, _), worker = await ground.pair(), await ground.worker()
    assert (await ground.deny(worker, ask(a, a))).why == "recipient"
    assert (await ground.deny(worker, ask(a, 10**9))).why == "recipient"


async def test_receive_only_mailbox_answers(ground: Ground) -> None:
    (a,), (b,) = await ground.mailboxes(1, state="RECEIVE_ONLY"), await ground.mailboxes(1)
    await ground.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,"
        " parent_day, parent_id, created_at)"
        " SELECT $1, 'REPLY', 'PENDING', $2, user_id, $3, $4, 1, $1, 0, $4 FROM mailboxes WHERE id = $2",
        TODAY,
        a,
        b,
        NOON,
    )
    waiting = await ground.waiting(a)
    job = await ground.grant(await ground.worker(), retry(waiting))
    assert (job.kind, job.id) == ("REPLY", waiting.id)


# -- proof ----------------------------------------------------------------------------------------------------------


async def test_unproven_recipient_gets_three_messages_from_all_together(ground: Ground) -> None:
    await ground.fleet(2)
    senders = await ground.mailboxes(12)
    (stranger,) = await ground.mailboxes(1, proven=False)
    workers = [await ground.worker(only=[0]), await ground.worker(only=[1])]
    wishes = [[ask(m, stranger) for m in senders if slot_hash(m) % 2 == slot] for slot in (0, 1)]
    answers = await asyncio.gather(
        *(ground.reserve(worker, *wish) for worker, wish in zip(workers, wishes, strict=True))
    )
    words = reasons([answer for batch in answers for answer in batch])
    assert (words.count("granted"), words.count("unproven")) == (3, 9)


async def test_message_that_never_arrived_does_not_count_against_proof(ground: Ground) -> None:
    senders, worker = await ground.mailboxes(4), await ground.worker()
    (stranger,) = await ground.mailboxes(1, proven=False)
    answers = await ground.reserve(worker, *(ask(m, stranger) for m in senders))
    assert reasons(answers) == ["granted", "granted", "granted", "unproven"]
    await ground.settle(granted(answers)[0], OutcomeKind.FAILED)
    await ground.grant(worker, ask(senders[3], stranger))
    assert (await ground.deny(worker, ask(senders[0], stranger), at=after(300))).why == "unproven"


# -- jobs that waited -----------------------------------------------------------------------------------------------


async def test_retry_keeps_its_job_and_thread_and_gets_a_new_token(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    first = await ground.grant(worker, ask(a, b))
    waiting = await ground.deferred(first, retry_at=after(300))
    early = await ground.deny(worker, retry(waiting), at=after(299))
    assert (early.why, early.ask_again_at) == ("scheduled", after(300))
    second = await ground.grant(worker, retry(waiting), at=after(300))
    assert (second.day, second.id, second.thread, second.retry_count) == (first.day, first.id, first.thread, 1)
    assert second.attempt_token != first.attempt_token
    row = await ground.job(second)
    assert (row["status"], row["attempt_token"]) == ("PROCESSING", second.attempt_token)
    assert (row["picked_at"], row["start_at"], row["send_by"]) == (after(300), after(300), after(305))
    assert await ground.day(a) == (1, 2, 0, 0)


async def test_job_that_no_longer_waits_is_not_reserved_again(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    waiting = await ground.deferred(await ground.grant(worker, ask(a, b)), retry_at=after(300))
    await ground.grant(worker, retry(waiting), at=after(300))
    assert (await ground.deny(worker, retry(waiting), at=after(600))).why == "job_gone"


async def test_retry_reserved_twice_at_once_is_granted_once(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    waiting = await ground.deferred(await ground.grant(worker, ask(a, b)), retry_at=after(300))
    answers = await asyncio.gather(*(ground.reserve(worker, retry(waiting), at=after(300)) for _ in range(4)))
    assert [len(granted(answer)) for answer in answers].count(1) == 1


@pytest.mark.parametrize("moved", ["UPDATE warmup_jobs SET topic = 'moved'", "UPDATE warmup_jobs SET retry_count = 5"])
async def test_retry_that_is_written_in_this_moment_is_granted_as_it_is_then(ground: Ground, moved: str) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    waiting = await ground.deferred(await ground.grant(worker, ask(a, b)), retry_at=after(300))
    async with ground.db.transaction() as connection:
        await connection.execute(moved)
        reserving = asyncio.create_task(ground.grant(worker, retry(waiting), at=after(300)))
        await somebody_waits(connection)
    assert (await reserving).retry_count == (5 if "retry_count" in moved else 1)


async def test_hash_in_sql_is_the_hash_in_python(ground: Ground) -> None:
    rows = await ground.db.fetch(
        "SELECT id, mailbox_hash(id) AS hash FROM (SELECT (random() * 9e18)::bigint AS id FROM generate_series(1, 500)"
        " UNION SELECT unnest(ARRAY[0, 1, 9223372036854775807])) AS ids"
    )
    assert all(row["hash"] == slot_hash(row["id"]) for row in rows)


async def test_answers_come_in_the_order_of_the_batch(ground: Ground) -> None:
    boxes, worker = await ground.mailboxes(20), await ground.worker()
    wishes = [ask(m, boxes[m == boxes[0]]) for m in reversed(boxes)]
    answers = await ground.reserve(worker, *wishes)
    assert [answer.mailbox_id for answer in answers if isinstance(answer, Job)] == boxes[::-1]


async def test_what_cannot_be_charged_is_not_granted(ground: Ground) -> None:
    """A day that is opened while the batch waits is not locked by it, and can be changed before it is charged."""
    (sender, recipient), worker = await ground.pair(), await ground.worker()
    await ground.db.execute("UPDATE mailbox_days SET day = day - 1 WHERE mailbox_id = $1", sender)
    async with ground.db.acquire() as other:
        async with ground.db.acquire() as caps, caps.transaction():
            await caps.execute("SELECT pg_advisory_xact_lock(1463898733, 1)")
            reserving = asyncio.create_task(ground.reserve(worker, ask(sender, recipient)))
            await somebody_waits(caps)
            await ground.db.execute("UPDATE mailbox_days SET day = day + 1 WHERE mailbox_id = $1", sender)
            change = other.transaction()
            await change.start()
            await other.execute("UPDATE mailbox_days SET quota = quota - 1 WHERE mailbox_id = $1", sender)
        await somebody_waits(other)
        await change.commit()
    assert reasons(await reserving) == ["granted"]
    assert await ground.day(sender) == (1, 1, 0, 0)


async def test_mailbox_that_lost_its_pace_is_denied_and_the_others_are_not(ground: Ground) -> None:
    (lost, sender, recipient), worker = await ground.mailboxes(3), await ground.worker()
    await ground.db.execute("DELETE FROM mailbox_pace WHERE mailbox_id = $1", lost)
    answers = await ground.reserve(worker, ask(lost, recipient), ask(sender, recipient))
    assert reasons(answers) == ["mailbox_gone", "granted"]
