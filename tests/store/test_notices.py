"""The outbox: who claims a delivery has it for a while, and only who has it says how it ended."""

import asyncio
from uuid import UUID

from tests.store.rows import Ground, after, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.notice import Kind, Notice
from warmupd.core.notice_pace import MOST_TRIES
from warmupd.store.notices import Delivery, add_notice, claim_deliveries, drop_old, end_delivery, list_notices

NOTICE = Notice(kind=Kind.TROUBLE, subject="something", body="happened", facts={"events": []})
BOTH = (("EMAIL", ""), ("WEBHOOK", ""))


async def tell(ground: Ground, user: UUID | None, *, at: float = 0, to: tuple[tuple[str, str], ...] = BOTH) -> UUID:
    return await add_notice(ground.db, NOTICE, user_id=user, to=to, at=after(at))


async def claim(ground: Ground, *, at: float = 0, limit: int = 100) -> list[Delivery]:
    return await claim_deliveries(ground.db, limit=limit, lasts=60, at=after(at))


async def test_a_delivery_is_one_workers_for_a_while(ground: Ground) -> None:
    await tell(ground, await ground.user())
    assert [one.channel for one in await claim(ground)] == ["EMAIL", "WEBHOOK"]
    assert await claim(ground, at=59) == []
    again = await claim(ground, at=61)  # who had it has died
    assert [one.tries for one in again] == [2, 2]


async def test_who_asks_for_one_notice_waits_for_who_has_it(ground: Ground) -> None:
    notice = await tell(ground, await ground.user())
    assert len(await claim(ground)) == 2
    assert await claim_deliveries(ground.db, limit=9, lasts=60, at=after(1), notice_id=notice) == []


async def test_a_delivery_that_kills_its_workers_ends(ground: Ground) -> None:
    await tell(ground, await ground.user(), to=BOTH[1:])
    claims = [await claim(ground, at=61 * n) for n in range(MOST_TRIES + 2)]
    assert [len(some) for some in claims] == [1] * MOST_TRIES + [0, 0]
    (told,) = await list_notices(ground.db, None, limit=5)
    assert told.deliveries[0].state == "failed"
    assert told.deliveries[0].error.startswith("gave up")


async def test_the_last_try_is_not_given_up_while_it_lasts(ground: Ground) -> None:
    await tell(ground, await ground.user(), to=BOTH[1:])
    for n in range(MOST_TRIES):
        (last,) = await claim(ground, at=61 * n)
    assert await claim(ground, at=61 * (MOST_TRIES - 1) + 59) == []
    assert await end_delivery(ground.db, last, at=after(61 * MOST_TRIES))


async def test_workers_that_claim_at_once_share(ground: Ground) -> None:
    for _ in range(20):
        await tell(ground, await ground.user())
    claims = await asyncio.gather(*(claim(ground, limit=10) for _ in range(6)))
    taken = [(one.notice_id, one.channel) for some in claims for one in some]
    assert len(taken) == len(set(taken)) >= 10


async def test_who_lost_its_claim_changes_nothing(ground: Ground) -> None:
    await tell(ground, await ground.user(), to=BOTH[:1])
    (late,) = await claim(ground)
    (ours,) = await claim(ground, at=61)
    assert not await end_delivery(ground.db, late, at=after(62), error="too late")
    assert await end_delivery(ground.db, ours, at=after(62))
    (told,) = await list_notices(ground.db, None, limit=5)
    assert (told.deliveries[0].state, told.deliveries[0].error) == ("delivered", "")


async def test_what_failed_waits_for_its_time_and_what_ended_is_over(ground: Ground) -> None:
    await tell(ground, await ground.user())
    mail, hook = await claim(ground)
    await end_delivery(ground.db, mail, at=after(1), error="away", again_in=99)
    await end_delivery(ground.db, hook, at=after(1), error="gone")
    assert await claim(ground, at=99) == []
    assert [one.channel for one in await claim(ground, at=100)] == ["EMAIL"]
    (told,) = await list_notices(ground.db, None, limit=5)
    assert [(one.state, one.error) for one in told.deliveries] == [("waiting", "away"), ("failed", "gone")]


async def test_one_recipient_has_one_delivery_under_way(ground: Ground) -> None:
    slow, other = await ground.user(), await ground.user()
    first = await tell(ground, slow, to=BOTH[1:])
    await tell(ground, slow, at=1, to=BOTH[1:])
    third = await tell(ground, other, at=2, to=BOTH[1:])
    assert {one.notice_id for one in await claim(ground, at=3)} == {first, third}
    assert await claim(ground, at=4) == []


async def test_mail_goes_to_the_confirmed_address_that_holds_when_it_is_delivered(ground: Ground) -> None:
    owner = await ground.user()
    await tell(ground, owner, to=BOTH[:1])
    (unconfirmed,) = await claim(ground)
    assert unconfirmed.address is None
    await ground.db.execute("UPDATE users SET email = 'new@owners.test'")
    await ground.db.execute("UPDATE users SET email_confirmed_at = now()")
    (confirmed,) = await claim(ground, at=61)
    assert confirmed.address == "new@owners.test"


async def test_lists_are_of_ones_own_and_the_operators_are_for_admins(ground: Ground) -> None:
    one, other = await ground.user(), await ground.user()
    mine, theirs, fleets = [await tell(ground, user) for user in (one, other, None)]
    assert [told.id for told in await list_notices(ground.db, one, limit=9)] == [mine]
    assert {told.id for told in await list_notices(ground.db, None, limit=9)} == {mine, theirs, fleets}


async def test_pages_of_the_list_meet(ground: Ground) -> None:
    owner = await ground.user()
    ids = [await tell(ground, owner, at=n // 2) for n in range(9)]
    seen, before = [], None
    while page := await list_notices(ground.db, owner, limit=2, before=before):
        seen += [told.id for told in page]
        before = (page[-1].at, page[-1].id)
    assert sorted(seen) == sorted(ids)
    assert len(seen) == 9


async def test_notices_are_forgotten_after_a_month(ground: Ground) -> None:
    await tell(ground, None)
    await drop_old(ground.db, at=after(29 * 86400))
    assert len(await list_notices(ground.db, None, limit=9)) == 1
    await drop_old(ground.db, at=after(31 * 86400))
    assert await ground.db.fetchval("SELECT count(*) FROM notice_deliveries") == 0
