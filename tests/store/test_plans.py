"""Plans: what they allow holds where mailboxes are enrolled and where sends are reserved, and follows its changes."""

import asyncio
import datetime as dt
import random
from uuid import UUID

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    TODAY,
    Ground,
    after,
    ask,
    laid_ground,
    reasons,
    somebody_waits,
)
from tests.store.test_accounts import _add as enrol_one
from tests.store.test_days import DEFAULTS
from warmupd.core.health import HealthRules
from warmupd.core.ramp import resolve_budget
from warmupd.errors import NotFound, UsageError
from warmupd.store import mailboxes, users
from warmupd.store.access import end_everything
from warmupd.store.links import Draft, LinkKind, list_invitations, put_link
from warmupd.store.plans import OverLimit, find_plan, over_limit, set_plan
from warmupd.store.removals import remove_mailboxes, undo_removal
from warmupd.store.user_changes import LastAdmin, change_user
from warmupd.store.user_removals import Restored, remove_user, removed_users, restore_user
from warmupd.store.users import Role, add_user, find_user, user_by_id

DAY = dt.timedelta(days=1)


async def plan(ground: Ground, **numbers: int | None) -> None:
    await set_plan(ground.db, "small", numbers, actor="cli", at=NOON)


async def give(ground: Ground, user: UUID, **changes: str | None) -> None:
    await change_user(ground.db, user, changes, actor="cli", at=NOON)


async def user(ground: Ground, email: str = "owner@example.test", **options: str) -> UUID:
    return await add_user(
        ground.db, email=email, role=Role(options.pop("role", "USER")), actor="cli", at=NOON, **options
    )


async def enrolled(ground: Ground, owner: UUID, number: int, start: int = 0) -> list[int]:
    return [await enrol_one(ground, owner, address=f"p{n}@example.test") for n in range(start, start + number)]


# -- sending --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", ["per_hour", "per_minute"])
async def test_cap_of_another_plan_holds_with_the_next_send(ground: Ground, cap: str) -> None:
    owner, worker = await ground.user(), await ground.worker()
    a, b, c = await ground.mailboxes(3, owner)
    await plan(ground, **{cap: 1})
    assert reasons(await ground.reserve(worker, ask(a, b))) == ["granted"]
    await give(ground, owner, plan="small")
    assert reasons(await ground.reserve(worker, ask(b, c), at=after(1))) == [cap.replace("per_", "user_")]


@pytest.mark.parametrize("cap", ["per_hour", "per_minute"])
async def test_cap_that_is_changed_holds_with_the_next_send(ground: Ground, cap: str) -> None:
    owner, worker = await ground.user(), await ground.worker()
    a, b, c = await ground.mailboxes(3, owner)
    await plan(ground, **{cap: 1})
    await give(ground, owner, plan="small")
    assert reasons(await ground.reserve(worker, ask(a, b))) == ["granted"]
    assert reasons(await ground.reserve(worker, ask(b, c), at=after(1))) == [cap.replace("per_", "user_")]
    await plan(ground, **{cap: 2})
    assert reasons(await ground.reserve(worker, ask(b, c), at=after(2))) == ["granted"]


async def test_most_sends_a_day_bound_the_days_that_are_opened_from_then_on(ground: Ground) -> None:
    owner = await ground.user()
    (box,) = await ground.mailboxes(1, owner, quota=30)
    await plan(ground, sends_per_day=3)
    await give(ground, owner, plan="small")
    (mailbox,) = await mailboxes.load_mailboxes(ground.db, DEFAULTS, [box])
    budget = resolve_budget(mailbox, TODAY + DAY, variance=0.0, rules=HealthRules())
    assert (budget.quota, budget.factors[-1]) == (3, ("plan", 3))
    assert await ground.db.fetchval("SELECT quota FROM mailbox_days") == 30


async def test_workers_hear_of_another_plan_and_of_a_changed_one(ground: Ground) -> None:
    owner = await ground.user()
    (box,) = await ground.mailboxes(1, owner)
    await plan(ground)
    since = await mailboxes.change_clock(ground.db) + dt.timedelta(seconds=10)  # it looks back so far
    await ground.db.execute("UPDATE mailboxes SET changed_at = 'epoch'")
    assert await mailboxes.changed_since(ground.db, since) == {}
    await give(ground, owner, plan="small")
    assert set(await mailboxes.changed_since(ground.db, since - dt.timedelta(seconds=10))) == {box}
    assert not await ground.db.fetchval("SELECT isfinite(triggered_at) FROM settings")
    await plan(ground, sends_per_day=5)
    assert await ground.db.fetchval("SELECT isfinite(triggered_at) FROM settings")


# -- enrolling ------------------------------------------------------------------------------------------------------


async def test_limit_below_what_is_enrolled_removes_nothing_and_takes_nothing_more(ground: Ground) -> None:
    owner = await user(ground)
    boxes = await enrolled(ground, owner, 3)
    await plan(ground, mailbox_limit=2)
    await give(ground, owner, plan="small")
    assert (await user_by_id(ground.db, owner)).over_limit == 1
    with pytest.raises(UsageError, match="allows 2 mailboxes, and 3 are enrolled"):
        await enrolled(ground, owner, 1, start=9)
    await remove_mailboxes(ground.db, boxes[:2], actor="cli", reason="", clean=False, at=NOON)
    assert await undo_removal(ground.db, boxes[0], actor="cli", at=NOON) == "ACTIVE"
    with pytest.raises(UsageError, match="allows 2 mailboxes, and 2 are enrolled"):
        await undo_removal(ground.db, boxes[1], actor="cli", at=NOON)


async def test_who_is_over_the_limit_is_told(ground: Ground) -> None:
    owner, other = await user(ground), await user(ground, "other@example.test")
    await enrolled(ground, owner, 3)
    await plan(ground, mailbox_limit=2)
    await give(ground, owner, plan="small")
    await give(ground, other, plan="small")
    told = OverLimit(user_id=owner, email="owner@example.test", plan="small", mailbox_limit=2, mailboxes=3)
    assert await over_limit(ground.db) == [told]
    assert await over_limit(ground.db, other) == []


async def test_enrolment_under_a_change_of_plan_goes_by_the_new_one(ground: Ground) -> None:
    owner = await user(ground)
    await plan(ground, mailbox_limit=0)
    async with ground.db.transaction() as connection:
        await connection.execute(
            "UPDATE users SET plan_id = (SELECT id FROM plans WHERE name = 'small') WHERE id = $1", owner
        )
        waiting = asyncio.create_task(enrolled(ground, owner, 1))
        await somebody_waits(connection)
    with pytest.raises(UsageError, match="allows 0 mailboxes"):
        await waiting


async def test_enrolment_under_a_removal_finds_nobody(ground: Ground) -> None:
    owner = await user(ground)
    async with ground.db.transaction() as connection:
        await connection.execute("UPDATE users SET removed_at = $2 WHERE id = $1", owner, NOON)
        waiting = asyncio.create_task(enrolled(ground, owner, 1))
        await somebody_waits(connection)
    with pytest.raises(NotFound):
        await waiting


# -- users who come and go ------------------------------------------------------------------------------------------


async def test_removed_user_leaves_with_their_mailboxes_and_comes_back_with_them(ground: Ground) -> None:
    owner = await user(ground)
    boxes = await enrolled(ground, owner, 2)
    await remove_mailboxes(ground.db, boxes[:1], actor="cli", reason="sold", clean=False, at=NOON - DAY)
    assert (await remove_user(ground.db, owner, actor="cli", at=NOON)).mailboxes == 1
    states = await ground.db.fetch("SELECT state FROM mailboxes")
    assert {row["state"] for row in states} == {"REMOVED"}
    with pytest.raises(NotFound):
        await undo_removal(ground.db, boxes[1], actor="cli", at=NOON)
    assert await removed_users(ground.db, "OWNER@example.test") == [owner]
    assert await restore_user(ground.db, owner, actor="cli", at=NOON + DAY) == Restored(mailboxes=1, left_out=0)
    found = await find_user(ground.db, "owner@example.test")
    assert (found.id, found.mailboxes) == (owner, 1)
    assert await ground.db.fetchval("SELECT count(*) FROM notice_settings") == 1


async def test_restored_user_has_as_many_mailboxes_as_the_plan_allows(ground: Ground) -> None:
    owner = await user(ground)
    boxes = await enrolled(ground, owner, 3)
    await remove_user(ground.db, owner, actor="cli", at=NOON)
    await enrol_one(ground, await ground.user(), address="p0@example.test")  # it takes no room
    await set_plan(ground.db, "default", {"mailbox_limit": 1}, actor="cli", at=NOON)
    assert await restore_user(ground.db, owner, actor="cli", at=NOON) == Restored(mailboxes=1, left_out=2)
    back = await ground.db.fetch("SELECT id FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED'", owner)
    assert [row["id"] for row in back] == [boxes[1]]
    assert await ground.db.fetchval("SELECT count(*) FROM removals") == 2


async def test_removed_user_does_not_come_back_beside_a_new_one(ground: Ground) -> None:
    owner = await user(ground)
    await remove_user(ground.db, owner, actor="cli", at=NOON)
    await user(ground)
    with pytest.raises(UsageError, match="new user"):
        await restore_user(ground.db, owner, actor="cli", at=NOON)


async def test_erasure_cannot_be_undone(ground: Ground) -> None:
    owner = await user(ground)
    await remove_user(ground.db, owner, actor="cli", at=NOON, erase=True)
    with pytest.raises(UsageError, match="erased"):
        await restore_user(ground.db, owner, actor="cli", at=NOON)


@pytest.mark.parametrize("leaves", [False, True])
async def test_last_admin_stays_while_another_is_demoted(ground: Ground, leaves: bool) -> None:
    first, second = [await user(ground, f"{name}@example.test", role="ADMIN") for name in ("a", "b")]
    async with ground.db.transaction() as connection:
        await connection.execute("UPDATE users SET role = 'USER' WHERE id = $1", first)
        leaving = remove_user(ground.db, second, actor="cli", at=NOON)
        demotion = give(ground, second, role="USER")
        waiting = asyncio.create_task(leaving if leaves else demotion)
        (demotion if leaves else leaving).close()
        await somebody_waits(connection)
    with pytest.raises(LastAdmin):
        await waiting


async def test_last_admin_is_the_last_who_can_log_in(ground: Ground) -> None:
    able = await user(ground, "a@example.test", role="ADMIN", password_hash="hash")
    unable = await user(ground, "b@example.test", role="ADMIN")
    with pytest.raises(LastAdmin):
        await give(ground, able, role="USER")
    with pytest.raises(LastAdmin):
        await remove_user(ground.db, able, actor="cli", at=NOON)
    await give(ground, unable, role="USER")


@pytest.mark.parametrize("leaves", ["removed", "demoted", "ended"])
async def test_invitations_end_with_who_made_them(ground: Ground, leaves: str) -> None:
    admin, _ = [await user(ground, f"{name}@example.test", role="ADMIN") for name in ("A", "b")]
    for n, by in enumerate(("a@example.test", "b@example.test", "cli")):
        draft = Draft(kind=LinkKind.INVITATION, email=f"n{n}@x.test", created_by=by, role=Role.ADMIN, plan="default")
        await put_link(ground.db, draft, token_hash=bytes([n]), mailed=False, at=NOON, expires_at=NOON + DAY)
    if leaves == "removed":
        await remove_user(ground.db, admin, actor="cli", at=NOON)
    elif leaves == "demoted":
        await give(ground, admin, role="USER")
    else:
        await end_everything(ground.db, admin, actor="cli", at=NOON)
    assert [one.created_by for one in await list_invitations(ground.db, at=NOON)] == ["b@example.test", "cli"]


async def test_nothing_that_is_the_same_is_written_down(ground: Ground) -> None:
    owner = await user(ground)
    await plan(ground, mailbox_limit=5)
    before = await ground.db.fetchval("SELECT count(*) FROM state_changes")
    await plan(ground, mailbox_limit=5)
    await give(ground, owner, plan="default", name="", timezone=None)
    assert await ground.db.fetchval("SELECT count(*) FROM state_changes") == before


async def test_change_of_a_plan_is_written_with_who_did_it(ground: Ground) -> None:
    await plan(ground, mailbox_limit=5)
    await set_plan(ground.db, "small", {"mailbox_limit": None}, actor="admin@site.test", at=NOON)
    rows = await ground.db.fetch("SELECT actor, what, was, became FROM state_changes WHERE subject_id = 'small'")
    assert [tuple(row) for row in rows] == [
        ("cli", "state", "", "CREATED"),
        ("cli", "mailbox_limit", "", "5"),
        ("admin@site.test", "mailbox_limit", "5", ""),
    ]
    assert (await find_plan(ground.db, "small")).mailbox_limit is None


async def test_users_come_in_pages_without_a_gap(ground: Ground) -> None:
    names = [f"{random.Random(n).randrange(10**6)}-{n}@example.test" for n in range(25)]
    for name in names:
        await user(ground, name.upper() if len(name) % 2 else name)
    seen: list[str] = []
    while page := await users.list_users(ground.db, after=seen[-1] if seen else "", limit=7):
        seen += [one.email.lower() for one in page]
    assert sorted(seen) == sorted(names)
    assert len(seen) == len(names)


async def test_use_of_a_session_and_of_a_token_is_noted(ground: Ground) -> None:
    owner = await user(ground)
    await ground.db.execute(
        "INSERT INTO service_tokens (user_id, name, scopes, token_hash, created_at)"
        " VALUES ($1, 'n', '{read}', 's', $2)",
        owner,
        NOON,
    )
    assert (await user_by_id(ground.db, owner)).seen_at is None
    await ground.db.execute("UPDATE service_tokens SET used_at = $1", after(60))
    await ground.db.execute("UPDATE service_tokens SET used_at = $1", NOON)  # another worker's, late
    assert (await user_by_id(ground.db, owner)).seen_at == after(60)
