"""Changes of a mailbox's state: who may make them, and what a suspension leaves behind."""

import datetime as dt

from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.mailbox import MailboxState
from warmupd.store.states import change_state, end_suspensions

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
