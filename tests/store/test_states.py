"""Changes of a mailbox's state: who may make them, and what a suspension leaves behind."""

import asyncio
import datetime as dt

import pytest

from tests.store.rows import Ground, laid_ground, somebody_waits  # noqa: F401  laid_ground is a fixture
from warmupd.core.mailbox import MailboxState
from warmupd.store.resuming import mend_login
from warmupd.store.states import change_state, count_refusal, end_suspensions

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)


async def _state(ground: Ground, mailbox_id: int) -> str:
    state: str = await ground.db.fetchval("SELECT state FROM mailboxes WHERE id = $1", mailbox_id)
    return state


async def _suspend(ground: Ground, mailbox_id: int) -> MailboxState | None:
    return await change_state(
        ground.db, mailbox_id, MailboxState.SUSPENDED, actor="daemon", reason="spam", at=NOW, until=LATER
    )


async def test_the_daemon_leaves_a_mailbox_that_its_owner_has_paused(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1, state="PAUSED")
    assert await _suspend(ground, box) is None
    assert await end_suspensions(ground.db, at=LATER) == []
    assert await _state(ground, box) == "PAUSED"


async def test_a_receive_only_mailbox_comes_back_as_such(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1, state="RECEIVE_ONLY")
    assert await _suspend(ground, box) is MailboxState.RECEIVE_ONLY
    assert await end_suspensions(ground.db, at=LATER) == [box]
    assert await _state(ground, box) == "RECEIVE_ONLY"


async def test_an_active_mailbox_comes_back_active(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    assert await _suspend(ground, box) is MailboxState.ACTIVE
    assert await end_suspensions(ground.db, at=LATER) == [box]
    assert await _state(ground, box) == "ACTIVE"


# -- logins and addresses that are doubted ----------------------------------------------------------------------------

WEEK = dt.timedelta(days=7)


async def _refused(ground: Ground, box: int, *said: tuple[int, dt.timedelta]) -> list[bool]:
    """Whether each refusal, told to a sender so long after NOW, is the second one."""
    return [
        await count_refusal(ground.db, box, sender, within=WEEK.total_seconds(), at=NOW + later)
        for sender, later in said
    ]


async def test_address_is_believed_refused_when_two_senders_were_told_so(ground: Ground) -> None:
    box, one, other = await ground.mailboxes(3)
    minute = dt.timedelta(minutes=1)
    assert await _refused(ground, box, (one, 0 * minute), (other, minute)) == [False, True]


async def test_second_witness_is_heard_when_it_is_told_again(ground: Ground) -> None:
    box, one, other = await ground.mailboxes(3)
    told = [(one, dt.timedelta(0)), (other, dt.timedelta(0)), (other, dt.timedelta(0))]
    assert await _refused(ground, box, *told) == [False, True, True]


async def test_sender_who_is_refused_again_and_again_is_one(ground: Ground) -> None:
    box, one = await ground.pair()
    hour = dt.timedelta(hours=1)
    assert await _refused(ground, box, (one, 0 * hour), (one, hour), (one, 2 * hour)) == [False] * 3


async def test_two_senders_of_one_user_are_one_witness_against_anothers_mailbox(ground: Ground) -> None:
    one, other = await ground.pair()
    (box,) = await ground.mailboxes(1)
    (third,) = await ground.mailboxes(1)
    told = [(one, dt.timedelta(0)), (other, dt.timedelta(0)), (third, dt.timedelta(0))]
    assert await _refused(ground, box, *told) == [False, False, True]


async def test_refusals_a_week_apart_are_two_stories(ground: Ground) -> None:
    box, one, other = await ground.mailboxes(3)
    assert await _refused(ground, box, (one, 0 * WEEK), (other, WEEK)) == [False, False]


async def test_refusals_told_at_once_are_both_counted(ground: Ground) -> None:
    box, one, other = await ground.mailboxes(3)
    async with ground.db.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE proofs SET refused_to = $2, refused_at = $3 WHERE mailbox_id = $1", box, one, NOW
        )
        counting = asyncio.create_task(_refused(ground, box, (other, dt.timedelta(0))))
        await somebody_waits(connection)
    assert await counting == [True]


@pytest.mark.parametrize("state", [MailboxState.ACTIVE, MailboxState.RECEIVE_ONLY])
async def test_mailbox_that_is_resumed_starts_with_a_clean_sheet(ground: Ground, state: MailboxState) -> None:
    box, one, other = await ground.mailboxes(3)
    await ground.db.execute("UPDATE mailboxes SET auth_doubts = 2")
    await _refused(ground, box, (one, dt.timedelta(0)))
    await change_state(ground.db, box, MailboxState.PAUSED, actor="cli", reason="holidays", at=NOW)
    await change_state(ground.db, box, state, actor="cli", reason="", at=NOW)
    assert await _refused(ground, box, (other, dt.timedelta(minutes=1))) == [False]
    row = await ground.db.fetchrow("SELECT auth_doubts, state_reason FROM mailboxes WHERE id = $1", box)
    assert row is not None
    assert row["auth_doubts"] == 0
    assert (row["state_reason"] == "") == (state is MailboxState.ACTIVE)


@pytest.mark.parametrize("state", [MailboxState.ACTIVE, MailboxState.RECEIVE_ONLY])
async def test_mended_login_brings_back_what_was_before(ground: Ground, state: MailboxState) -> None:
    (box,) = await ground.mailboxes(1, state=state.value)
    await change_state(ground.db, box, MailboxState.AUTH_FAILED, actor="daemon", reason="535", at=NOW)
    assert await mend_login(ground.db, box, actor="cli", at=LATER)
    assert await _state(ground, box) == state
    assert not await mend_login(ground.db, box, actor="cli", at=LATER)
