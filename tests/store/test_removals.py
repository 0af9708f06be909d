"""Removed mailboxes: out at once, back within a week as they were, their secrets gone after it."""

import asyncio
import datetime as dt

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    Ground,
    after,
    ask,
    laid_ground,
    reasons,
)
from warmupd.core.mailbox import MailboxState
from warmupd.errors import UsageError
from warmupd.store import clearings, removals
from warmupd.store.accounts import load_accounts
from warmupd.store.removals import find_removals, remove_mailboxes, undo_removal, wipe_removed

DAY = dt.timedelta(days=1)
SECRETS = "SELECT smtp_secret, imap_secret FROM mailboxes WHERE id = $1"


async def remove(ground: Ground, *boxes: int, clean: bool = False) -> list[int]:
    return await remove_mailboxes(ground.db, boxes, actor="cli", reason="sold", clean=clean, at=NOON)


async def seal(ground: Ground, box: int) -> None:
    await ground.db.execute("UPDATE mailboxes SET smtp_secret = 'a', imap_secret = 'b' WHERE id = $1", box)


async def waits(ground: Ground, sender: int, recipient: int) -> None:
    await ground.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,"
        " created_at) SELECT $3, 'WARMUP', 'PENDING', id, user_id, $2, $4, 1, $4 FROM mailboxes WHERE id = $1",
        sender,
        recipient,
        NOON.date(),
        NOON,
    )


async def address_of(ground: Ground, box: int) -> str:
    address: str = await ground.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", box)
    return address


async def again(ground: Ground, box: int) -> int:
    """The same address, enrolled anew."""
    new: int = await ground.db.fetchval(
        "INSERT INTO mailboxes (user_id, pool_id, address, smtp_host, smtp_port, smtp_security, smtp_username,"
        " imap_host, imap_port, imap_security, imap_username)"
        " SELECT user_id, pool_id, address, 'h', 1, 'TLS', 'u', 'h', 1, 'TLS', 'u' FROM mailboxes WHERE id = $1"
        " RETURNING id",
        box,
    )
    return new


async def test_nothing_is_reserved_from_it_or_to_it(ground: Ground) -> None:
    (a, b, c), d = await ground.mailboxes(3), (await ground.mailboxes(1))[0]
    worker = await ground.worker()
    assert await remove(ground, a) == [a]
    asked = (ask(a, b), ask(b, a), ask(d, c))
    assert reasons(await ground.reserve(worker, *asked)) == ["mailbox_gone", "recipient", "granted"]


async def test_what_waits_to_be_sent_from_it_or_to_it_ends_and_says_why(ground: Ground) -> None:
    a, b, c = await ground.mailboxes(3)
    for sender, recipient in ((a, b), (b, a), (b, c)):
        await waits(ground, sender, recipient)
    await remove(ground, a)
    rows = await ground.db.fetch("SELECT status, outcome, error_message FROM warmup_jobs ORDER BY id")
    said = "its mailbox, or that of its recipient, was removed"
    assert [tuple(row) for row in rows] == [("FAILED", "removed", said)] * 2 + [("PENDING", None, None)]


async def test_an_answer_that_was_written_in_that_moment_ends_with_the_next_round(ground: Ground) -> None:
    a, b = await ground.mailboxes(2)
    await remove(ground, a)
    await waits(ground, b, a)
    assert await removals.end_pending(ground.db, at=NOON) == 1


@pytest.mark.parametrize("state", ["ACTIVE", "RECEIVE_ONLY", "PAUSED", "SUSPENDED", "AUTH_FAILED"])
async def test_it_comes_back_as_it_was(ground: Ground, state: str) -> None:
    (box,) = await ground.mailboxes(1, state=state)
    await ground.db.execute(
        "UPDATE mailboxes SET labels = '{x}', ramp_days = 7, state_reason = 'w', state_until = now()"
    )
    await seal(ground, box)
    before = await ground.db.fetchrow("SELECT * FROM mailboxes WHERE id = $1", box)
    assert before is not None
    await remove(ground, box)
    assert await undo_removal(ground.db, box, actor="cli", at=NOON + 6 * DAY) == state
    now = await ground.db.fetchrow("SELECT * FROM mailboxes WHERE id = $1", box)
    assert now is not None
    assert {k: v for k, v in now.items() if before[k] != v}.keys() == {"changed_at"}
    rows = await ground.db.fetch("SELECT was, became, actor, reason FROM state_changes ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (state, "REMOVED", "cli", "sold"),
        ("REMOVED", state, "cli", "its removal was undone"),
    ]


async def test_its_secrets_stay_sealed_for_a_week_and_are_wiped_then(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await seal(ground, box)
    await ground.db.execute(
        "INSERT INTO oauth_grants (mailbox_id, provider, refresh_secret) VALUES ($1, 'GOOGLE', 'c')", box
    )
    await remove(ground, box)
    assert await wipe_removed(ground.db, at=NOON + 7 * DAY - dt.timedelta(seconds=1)) == []
    assert tuple(await ground.db.fetchrow(SECRETS, box) or ()) == (b"a", b"b")
    assert await wipe_removed(ground.db, at=NOON + 7 * DAY) == [box]
    assert tuple(await ground.db.fetchrow(SECRETS, box) or ()) == (None, None)
    assert await ground.db.fetchval("SELECT count(*) FROM oauth_grants") == 0
    assert await ground.db.fetchval("SELECT became FROM state_changes ORDER BY id DESC LIMIT 1") == "WIPED"
    assert await undo_removal(ground.db, box, actor="cli", at=NOON) is None
    assert await ground.db.fetchval("SELECT count(*) FROM mailbox_days WHERE mailbox_id = $1", box) == 1


async def test_an_address_that_was_enrolled_anew_does_not_come_back_twice(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await remove(ground, box)
    await again(ground, box)
    with pytest.raises(UsageError, match="enrolled anew"):
        await undo_removal(ground.db, box, actor="cli", at=NOON)
    assert [one.mailbox_id for one in await find_removals(ground.db)] == [box]


async def test_of_one_address_the_last_removed_comes_back(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await remove(ground, box)
    new = await again(ground, box)
    await remove_mailboxes(ground.db, [new], actor="cli", reason="", clean=False, at=after(60))
    (found,) = await find_removals(ground.db, address=(await address_of(ground, box)).upper())
    assert found.mailbox_id == new


async def test_the_plan_has_its_say_when_it_comes_back(ground: Ground) -> None:
    box, _ = await ground.pair()
    await remove(ground, box)
    await ground.db.execute("UPDATE plans SET mailbox_limit = 1")
    with pytest.raises(UsageError, match="allows 1 mailboxes"):
        await undo_removal(ground.db, box, actor="cli", at=NOON)


async def test_undoing_and_wiping_in_one_moment_leave_it_whole_or_gone(ground: Ground) -> None:
    boxes = await ground.mailboxes(20)
    for box in boxes:
        await seal(ground, box)
    await remove(ground, *boxes)
    undoing = [undo_removal(ground.db, box, actor="cli", at=NOON) for box in boxes]
    states, wiped = await asyncio.gather(asyncio.gather(*undoing), wipe_removed(ground.db, at=NOON + 7 * DAY))
    back = {box for box, state in zip(boxes, states, strict=True) if state is MailboxState.ACTIVE}
    assert back.isdisjoint(wiped)
    assert back.union(wiped) == set(boxes)
    rows = await ground.db.fetch(
        "SELECT id, state = 'ACTIVE' AS active, smtp_secret IS NOT NULL AS whole FROM mailboxes"
    )
    assert all(row["active"] == row["whole"] == (row["id"] in back) for row in rows)


async def test_accounts_of_removed_mailboxes_are_apart(ground: Ground) -> None:
    a, b = await ground.mailboxes(2)
    await remove(ground, a)
    assert list(await load_accounts(ground.db, [a, b])) == [b]
    assert list(await load_accounts(ground.db, [a, b], removed=True)) == [a]


async def test_two_workers_never_clear_one_folder(ground: Ground) -> None:
    boxes = await ground.mailboxes(8)
    await remove(ground, *boxes, clean=True)
    claims = [clearings.claim_clearings(ground.db, limit=4, lasts=60, at=after(1)) for _ in range(4)]
    found = [one.mailbox_id for those in await asyncio.gather(*claims) for one in those]
    assert sorted(found) == boxes
    assert len(await clearings.claim_clearings(ground.db, limit=9, lasts=60, at=after(62))) == 8


@pytest.mark.parametrize("by", ["address", "login"])
async def test_folder_of_an_account_that_is_enrolled_anew_is_left_alone(ground: Ground, by: str) -> None:
    (box,) = await ground.mailboxes(1)
    await remove(ground, box, clean=True)
    assert await clearings.is_to_be_cleared(ground.db, box)
    new = await again(ground, box)
    await ground.db.execute("UPDATE mailboxes SET imap_host = 'elsewhere' WHERE id = $1", new)
    if by == "login":
        await ground.db.execute(
            "UPDATE mailboxes n SET address = 'alias@x.test', imap_host = upper(o.imap_host),"
            " imap_username = o.imap_username FROM mailboxes o WHERE n.id = $1 AND o.id = $2",
            new,
            box,
        )
    assert not await clearings.is_to_be_cleared(ground.db, box)
    assert await clearings.claim_clearings(ground.db, limit=4, lasts=900, at=NOON + DAY) == []
    await remove(ground, new)
    assert [one.mailbox_id for one in await clearings.claim_clearings(ground.db, limit=4, lasts=900, at=NOON)] == [box]
