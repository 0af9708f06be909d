"""A day is missed when something was owed on it: not by a mailbox that its owner lets start nothing."""

import datetime as dt

import pytest

from tests.store.rows import CLOSES, NOON, Ground, after, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.mailbox import MailboxState
from warmupd.core.notice import DaySum
from warmupd.store.notice_owners import LookedBack, look_back
from warmupd.store.states import change_state

MORNING = CLOSES + dt.timedelta(hours=8)
LONG_AFTER = (MORNING - NOON).total_seconds() - 60


async def looked_back(ground: Ground) -> LookedBack:
    """What is told the next morning of the days of the only owner."""
    found: list[LookedBack] = []
    owner = await ground.db.fetchval("SELECT user_id FROM mailboxes LIMIT 1")
    await ground.db.execute("UPDATE notice_settings SET daily_at = $2 WHERE user_id = $1", owner, MORNING)
    await look_back(
        ground.db, owner, found.append, next_at=lambda _: MORNING + dt.timedelta(days=1), mail=True, at=MORNING
    )
    return found[0]


async def sent(ground: Ground, box: int, number: int) -> None:
    await ground.db.execute(
        "UPDATE mailbox_days SET taken = $2, sent = $2, attempts = $2 WHERE mailbox_id = $1", box, number
    )


@pytest.mark.parametrize("state", ["RECEIVE_ONLY", "PAUSED"])
async def test_a_mailbox_that_is_to_start_nothing_misses_nothing(ground: Ground, state: str) -> None:
    (box,) = await ground.mailboxes(1, quota=40, state=state)
    await sent(ground, box, 7)
    told = await looked_back(ground)
    assert (told.missed.count, told.missed.worst) == (0, [])
    assert told.day == DaySum(mailboxes=0, met=0, quota=7, sent=7, inbox=0, spam=0)


async def test_that_it_was_to_start_nothing_is_known_when_it_starts_again(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1, quota=40, state="RECEIVE_ONLY")
    await change_state(ground.db, box, MailboxState.ACTIVE, actor="cli", reason="", at=after(LONG_AFTER))
    assert (await looked_back(ground)).missed.count == 0


@pytest.mark.parametrize("later", [None, MailboxState.PAUSED, MailboxState.RECEIVE_ONLY])
async def test_a_mailbox_that_owed_its_quota_missed_it_whatever_it_does_now(
    ground: Ground, later: MailboxState | None
) -> None:
    (box,) = await ground.mailboxes(1, quota=40)
    await sent(ground, box, 7)
    if later is not None:
        await change_state(ground.db, box, later, actor="cli", reason="", at=after(LONG_AFTER))
    told = await looked_back(ground)
    assert (told.missed.count, told.missed.quota, told.missed.sent, len(told.missed.worst)) == (1, 40, 7, 1)
    assert (told.day.mailboxes, told.day.quota) == (1, 40)
