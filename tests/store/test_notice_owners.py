"""What there is to tell owners: nothing is missed, nothing is told twice, and a storm is one notice."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

import pytest

from tests.store.rows import NOON, Ground, after, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.mailbox import MailboxState
from warmupd.core.notice import Notice, Standing, Turned
from warmupd.core.notice_pace import quiet_after
from warmupd.core.notice_words import trouble_notice
from warmupd.store import notice_owners
from warmupd.store.notice_settings import NoticeSettings, load_notice_settings, save_notice_settings
from warmupd.store.notices import list_notices
from warmupd.store.removals import remove_mailboxes, undo_removal
from warmupd.store.states import change_state, end_suspensions
from warmupd.store.user_removals import remove_user, restore_user

AUTH_FAILED, SUSPENDED, ACTIVE, PAUSED = (
    MailboxState.AUTH_FAILED,
    MailboxState.SUSPENDED,
    MailboxState.ACTIVE,
    MailboxState.PAUSED,
)


async def turn(
    ground: Ground, box: int, state: MailboxState, *, at: dt.datetime = NOON, until: dt.datetime | None = None
) -> None:
    actor = "daemon" if state in {AUTH_FAILED, SUSPENDED} else "cli"
    await change_state(ground.db, box, state, actor=actor, reason="535 no", at=at, until=until)


async def sessions_wait(ground: Ground, count: int) -> None:
    """Return once so many sessions wait for locks."""
    waiting = (
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    )
    async with asyncio.timeout(10):
        while await ground.db.fetchval(waiting) < count:
            pass


def all_of(settings: NoticeSettings, turned: Sequence[Turned]) -> Notice | None:
    return trouble_notice(turned, settings.events)


async def tell(ground: Ground, *, at: dt.datetime) -> int:
    """Tell whom there is something to tell; how many were told."""
    due = await notice_owners.due(ground.db, limit=50, at=at)
    told = [
        await notice_owners.tell_troubles(ground.db, owner, all_of, quiet=quiet_after, mail=True, at=at)
        for owner in due.troubled
    ]
    return sum(told)


async def subjects(ground: Ground, owner: UUID | None = None) -> list[str]:
    return [notice.subject for notice in reversed(await list_notices(ground.db, owner, limit=500))]


async def test_trouble_is_told_after_a_minute_and_once(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await turn(ground, box, AUTH_FAILED)
    assert await tell(ground, at=after(59)) == 0
    assert await tell(ground, at=after(60)) == 1
    assert await tell(ground, at=after(7200)) == 0
    assert len(await subjects(ground)) == 1


async def test_500_mailboxes_at_once_are_one_notice(ground: Ground) -> None:
    owner = await ground.user()
    boxes = await ground.mailboxes(500, owner)
    await ground.db.execute(
        "WITH c AS (UPDATE mailboxes SET state = 'AUTH_FAILED' WHERE id = ANY ($1) RETURNING id)"
        " INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
        " SELECT $2, 'daemon', 'mailbox', id::text, 'ACTIVE', 'AUTH_FAILED', 'no' FROM c",
        boxes,
        NOON,
    )
    assert await tell(ground, at=after(60)) == 1
    assert await subjects(ground, owner) == ["500 mailboxes cannot log in"]


async def test_end_is_told_when_the_trouble_was(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await turn(ground, box, SUSPENDED, until=after(3000))
    await tell(ground, at=after(60))
    await end_suspensions(ground.db, at=after(3000))
    await tell(ground, at=after(3060))
    assert [subject.split(": ")[1] for subject in await subjects(ground)] == ["suspended", "back to normal"]


async def test_what_was_over_before_it_was_told_is_no_news(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await turn(ground, box, AUTH_FAILED)
    await turn(ground, box, ACTIVE, at=after(30))
    assert await tell(ground, at=after(600)) == 0


async def test_what_flaps_after_it_was_told_is_no_news_either(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await turn(ground, box, AUTH_FAILED)
    await tell(ground, at=after(60))
    for n in range(10):
        await turn(ground, box, ACTIVE, at=after(100 + n))
        await turn(ground, box, AUTH_FAILED, at=after(100 + n))
    assert await tell(ground, at=after(7200)) == 0


async def test_what_its_owner_stops_is_no_trouble_any_more(ground: Ground) -> None:
    first, second = await ground.mailboxes(2, await ground.user())
    for box in (first, second):
        await turn(ground, box, AUTH_FAILED)
    await turn(ground, first, PAUSED, at=after(10))
    await remove_mailboxes(ground.db, [second], actor="cli", reason="", clean=False, at=after(10))
    assert await tell(ground, at=after(600)) == 0


async def test_a_mailbox_that_comes_back_as_it_was_is_told_of(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await turn(ground, box, AUTH_FAILED)
    await remove_mailboxes(ground.db, [box], actor="cli", reason="", clean=False, at=after(10))
    await undo_removal(ground.db, box, actor="cli", at=after(20))
    assert await tell(ground, at=after(600)) == 1


async def test_what_happens_while_it_is_quiet_waits_and_is_told_together(ground: Ground) -> None:
    boxes = await ground.mailboxes(10, await ground.user())
    await turn(ground, boxes[0], AUTH_FAILED)
    assert await tell(ground, at=after(60)) == 1
    for n, box in enumerate(boxes[1:]):
        await turn(ground, box, AUTH_FAILED, at=after(70 + n))
    assert await tell(ground, at=after(900)) == 0
    assert await tell(ground, at=after(960)) == 1
    assert (await subjects(ground))[1] == "9 mailboxes cannot log in"


async def test_who_comes_late_in_the_quiet_waits(ground: Ground) -> None:
    """Another worker has told meanwhile, and the quiet has begun since it was found due."""
    owner = await ground.user()
    boxes = await ground.mailboxes(2, owner)
    await turn(ground, boxes[0], AUTH_FAILED)
    due = await notice_owners.due(ground.db, limit=50, at=after(60))
    assert await tell(ground, at=after(60)) == 1
    await turn(ground, boxes[1], AUTH_FAILED, at=after(60))
    (late,) = due.troubled
    telling = notice_owners.tell_troubles
    assert not await telling(ground.db, late, all_of, quiet=quiet_after, mail=True, at=after(61))


async def test_health_and_state_in_one_statement_are_one_change(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await ground.db.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)"
        " VALUES ($1, 'daemon', 'mailbox', $2, 'state', 'ACTIVE', 'AUTH_FAILED', 'a login'),"
        "        ($1, 'daemon', 'mailbox', $2, 'health', 'THROTTLED', 'SUSPENDED', 'spam')",
        NOON,
        str(box),
    )
    await tell(ground, at=after(60))
    assert [subject.split(": ")[1] for subject in await subjects(ground)] == ["cannot log in"]


async def test_two_workers_at_once_tell_it_once(ground: Ground) -> None:
    owner = await ground.user()
    for box in await ground.mailboxes(5, owner):
        await turn(ground, box, AUTH_FAILED)
    telling = notice_owners.tell_troubles
    told = await asyncio.gather(
        *(telling(ground.db, owner, all_of, quiet=quiet_after, mail=True, at=after(60)) for _ in range(6))
    )
    assert sum(told) == 1
    assert len(await subjects(ground)) == 1


async def test_who_dies_while_telling_has_told_nothing_and_lost_nothing(ground: Ground) -> None:
    owner = await ground.user()
    (box,) = await ground.mailboxes(1, owner)
    await turn(ground, box, AUTH_FAILED)

    def dies(settings: NoticeSettings, turned: Sequence[Turned]) -> Notice | None:
        assert turned[0].stands is Standing.AUTH_FAILED
        raise LookupError

    with pytest.raises(LookupError):
        await notice_owners.tell_troubles(ground.db, owner, dies, quiet=quiet_after, mail=True, at=after(60))
    assert await tell(ground, at=after(60)) == 1


async def test_a_change_that_is_rolled_back_is_not_told(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    async with ground.db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
            " VALUES ($1, 'daemon', 'mailbox', $2, 'ACTIVE', 'AUTH_FAILED', 'no')",
            NOON,
            str(box),
        )
        await transaction.rollback()
    assert await tell(ground, at=after(600)) == 0


async def test_changes_of_users_and_of_health_are_no_standing(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await ground.db.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)"
        " VALUES ($1, 'cli', 'user', gen_random_uuid()::text, 'state', '', 'SUSPENDED', ''),"
        "        ($1, 'daemon', 'mailbox', $2, 'health', 'THROTTLED', 'SUSPENDED', 'spam')",
        NOON,
        str(box),
    )
    assert await tell(ground, at=after(600)) == 0


async def test_channels_are_those_that_lead_somewhere(ground: Ground) -> None:
    owner = await ground.user()
    settings = await load_notice_settings(ground.db, owner)
    assert settings.channels(mail=True) == ()  # the address is not confirmed
    await ground.db.execute("UPDATE users SET email_confirmed_at = now()")
    await ground.db.execute("UPDATE notice_settings SET webhook = 'sealed'")
    settings = await load_notice_settings(ground.db, owner)
    assert settings.channels(mail=True) == ("EMAIL", "WEBHOOK")
    assert settings.channels(mail=False) == ("WEBHOOK",)
    assert "sealed" not in repr(settings)


async def test_another_hour_is_found_anew_and_the_same_one_is_not(ground: Ground) -> None:
    owner = await ground.user()
    await ground.db.execute("UPDATE notice_settings SET daily_at = $1", after(600))
    for hour, found in ((8, after(600)), (9, None)):
        await save_notice_settings(ground.db, owner, email=True, events=["suspended"], digest=True, daily_hour=hour)
        assert (await load_notice_settings(ground.db, owner)).daily_at == found


async def test_a_user_who_is_removed_is_told_nothing_more_unless_that_is_undone(ground: Ground) -> None:
    owner = await ground.user()
    (box,) = await ground.mailboxes(1, owner)
    await turn(ground, box, AUTH_FAILED)
    await remove_user(ground.db, owner, actor="cli", at=after(10))
    due = await notice_owners.due(ground.db, limit=50, at=after(86400 * 3))
    assert (due.troubled, due.daily) == ([], [])
    await restore_user(ground.db, owner, actor="cli", at=after(20))
    assert (await notice_owners.due(ground.db, limit=50, at=after(86400))).daily == [owner]
    assert (await load_notice_settings(ground.db, owner)).daily_at is None


@pytest.mark.parametrize("state", [ACTIVE, SUSPENDED])
@pytest.mark.parametrize("first", ["removal", "change"])
async def test_removing_a_user_and_a_change_of_their_mailbox_wait_for_each_other(
    ground: Ground, first: str, state: MailboxState
) -> None:
    """Each in the order of locks of the other: neither is a deadlock's victim, and nothing is left to be told."""
    owner = await ground.user()
    known, fresh = await ground.mailboxes(2, owner)
    await turn(ground, known, AUTH_FAILED)
    box = known if state is ACTIVE else fresh  # the standing of the one is changed, that of the other begun
    deeds = [turn(ground, box, state), remove_user(ground.db, owner, actor="cli", at=after(10))]
    async with ground.db.transaction() as connection:
        await connection.execute("SELECT FROM mailboxes WHERE id = $1 FOR UPDATE", box)
        under_way = []
        for count, deed in enumerate(deeds if first == "change" else reversed(deeds), start=1):
            under_way.append(asyncio.create_task(deed))
            await sessions_wait(ground, count)
    await asyncio.gather(*under_way)
    assert await ground.db.fetchval("SELECT count(*) FROM notice_standings") == 0


async def test_who_removes_the_user_at_this_moment_is_not_waited_for(ground: Ground) -> None:
    owner = await ground.user()
    (box,) = await ground.mailboxes(1, owner)
    await turn(ground, box, AUTH_FAILED)
    async with ground.db.transaction() as connection:
        await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", owner)
        assert await asyncio.wait_for(tell(ground, at=after(60)), 5.0) == 0
    assert await tell(ground, at=after(60)) == 1
