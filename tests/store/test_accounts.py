"""Accounts and users: an address is enrolled once, by its owner, within the plan; secrets are shown sealed only."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.store.rows import NOON, Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.errors import NotFound, SecretsError, UsageError
from warmupd.store import accounts, users
from warmupd.store.accounts import NewMailbox
from warmupd.store.changes import change_mailboxes
from warmupd.store.enrolment import Sealed, Wish, enrol
from warmupd.store.grants import Grant, load_grant
from warmupd.store.selection import Selection, ids_of
from warmupd.store.users import Role


async def test_mailbox_is_enrolled_with_its_secrets(ground: Ground) -> None:
    mailbox = await _add(ground, await _user(ground))
    assert await _state(ground, mailbox) == "ACTIVE"
    account = (await accounts.load_accounts(ground.db, [mailbox, 10**9]))[mailbox]
    assert (account.address, account.smtp_secret, account.imap_secret) == ("a@example.test", b"s%d" % mailbox, b"i")
    assert (account.smtp_host, account.smtp_port, account.smtp_security) == ("smtp.example.test", 465, "TLS")


async def test_mailbox_may_be_enrolled_paused(ground: Ground) -> None:
    mailbox = await _add(ground, await _user(ground), pause_reason="warmup was off")
    assert await _state(ground, mailbox) == "PAUSED"
    assert await ground.db.fetchval("SELECT became FROM state_changes WHERE subject = 'mailbox'") == "PAUSED"


async def test_grant_is_not_connected_when_what_is_set_beside_it_cannot_be(ground: Ground) -> None:
    mailbox = await _add(ground, await _user(ground))
    grant = Grant(
        mailbox_id=mailbox, provider="GOOGLE", refresh_secret=b"r", access_secret=None, renew_at=None, expires_at=None
    )
    with pytest.raises(UsageError):
        await change_mailboxes(ground.db, [mailbox], {"smtp_port": 0}, grant=grant)
    assert await load_grant(ground.db, mailbox) is None
    await change_mailboxes(ground.db, [mailbox], {}, grant=grant)
    assert await load_grant(ground.db, mailbox) == grant
    assert (await accounts.load_accounts(ground.db, [mailbox]))[mailbox].smtp_secret is None


async def test_sealed_secrets_are_not_printed(ground: Ground) -> None:
    mailbox = await _add(ground, await _user(ground))
    assert f"s{mailbox}" not in repr(await accounts.load_accounts(ground.db, [mailbox]))


async def test_mailbox_whose_secrets_cannot_be_sealed_is_not_there(ground: Ground) -> None:
    def fail(_: int) -> Sealed:
        raise SecretsError("no key")

    owner = await _user(ground)
    with pytest.raises(SecretsError):
        await enrol(ground.db, owner, [_wish(owner), replace(_wish(owner), seal=fail)], actor="cli", at=NOON)
    assert await ground.db.fetchval("SELECT count(*) FROM mailboxes") == 0


async def test_of_a_batch_each_that_can_be_is_enrolled(ground: Ground) -> None:
    owner, other = await _user(ground), await _user(ground, "other@example.test")
    await _add(ground, other, address="taken@example.test")
    bad = _wish(owner, address="b@example.test", settings={"target_daily": -1})
    wishes = [_wish(owner), _wish(owner, address="TAKEN@example.test"), bad, _wish(owner, address="c@example.test")]
    for some in (wishes[:2], wishes[2:]):
        answers = await enrol(ground.db, owner, some, actor="cli", at=NOON)
        assert sorted(isinstance(answer, UsageError) for answer in answers) == [False, True]
    assert await ground.db.fetchval("SELECT count(*) FROM mailboxes WHERE user_id = $1", owner) == 2


async def test_address_is_enrolled_once_whatever_its_case(ground: Ground) -> None:
    await _add(ground, await _user(ground))
    with pytest.raises(UsageError, match="enrolled already"):
        await _add(ground, await _user(ground, "other@example.test"), address="A@EXAMPLE.TEST")


async def test_address_enrolled_twice_at_once_is_enrolled_once(ground: Ground) -> None:
    owner = await _user(ground)
    added = await asyncio.gather(*(_add(ground, owner) for _ in range(5)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in added) == ["Conflict"] * 4 + ["int"]


async def test_removed_address_can_be_enrolled_again(ground: Ground) -> None:
    owner = await _user(ground)
    first = await _add(ground, owner)
    await ground.db.execute("UPDATE mailboxes SET state = 'REMOVED'")
    assert await _add(ground, owner) != first
    assert await accounts.load_accounts(ground.db, [first]) == {}


async def test_plans_limit_holds_for_enrolments_at_once(ground: Ground) -> None:
    owner = await _user(ground)
    await ground.db.execute("UPDATE plans SET mailbox_limit = 2")
    wishes = (_add(ground, owner, address=f"m{n}@example.test") for n in range(6))
    added = await asyncio.gather(*wishes, return_exceptions=True)
    assert sorted(type(one).__name__ for one in added) == ["Conflict"] * 4 + ["int"] * 2
    assert await ground.db.fetchval("SELECT count(*) FROM mailboxes") == 2


async def test_nobody_gets_into_another_users_private_pool(ground: Ground) -> None:
    owner, other = await _user(ground), await _user(ground, "other@example.test")
    private = await ground.db.fetchval("SELECT id FROM pools WHERE owner_id = $1", owner)
    with pytest.raises(UsageError, match="private"):
        await _add(ground, other, pool_id=private)
    mailbox = await _add(ground, other)
    with pytest.raises(UsageError, match="private"):
        await change_mailboxes(ground.db, [mailbox], {"pool_id": private})
    shared = await users.shared_pool(ground.db, "shared")
    await change_mailboxes(ground.db, [mailbox], {"pool_id": shared})


@pytest.mark.parametrize("address", ["nobody", "a@b@c", "with space@example.test"])
async def test_what_is_no_address_is_refused(ground: Ground, address: str) -> None:
    with pytest.raises(UsageError):
        await _add(ground, await _user(ground), address=address)


async def test_many_are_changed_at_once_and_watchers_see_it(ground: Ground) -> None:
    boxes = await ground.mailboxes(3)
    await ground.db.execute("UPDATE mailboxes SET changed_at = 'epoch'")
    await change_mailboxes(ground.db, boxes[:2], {"target_daily": 50, "labels": ["north"]})
    rows = await ground.db.fetch("SELECT target_daily, labels, changed_at > 'epoch' FROM mailboxes ORDER BY id")
    assert [tuple(row) for row in rows] == [(50, ["north"], True)] * 2 + [(None, [], False)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"smtp_secret": b"x"}, "cannot be"), ({"state = 'ACTIVE' --": 1}, "cannot be"), ({"start_hour": 24}, "range")],
)
async def test_change_that_is_not_allowed_is_refused(ground: Ground, changes: dict[str, Any], said: str) -> None:
    boxes = await ground.mailboxes(1)
    with pytest.raises(UsageError, match=said) as raised:
        await change_mailboxes(ground.db, boxes, changes)
    assert "Failing row" not in str(raised.value)  # the row has secrets, if sealed ones


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start_hour": 20, "end_hour": 10}, "start hour is not before the end hour"),
        ({"smtp_port": 0}, "SMTP port is out of range"),
        ({"min_daily": -1}, "daily minimum is out of range"),
    ],
)
async def test_value_out_of_range_is_refused_in_words(ground: Ground, changes: dict[str, Any], said: str) -> None:
    boxes = await ground.mailboxes(1)
    with pytest.raises(UsageError, match=said) as raised:
        await change_mailboxes(ground.db, boxes, changes)
    assert "constraint" not in str(raised.value)


async def test_mailboxes_are_found_by_all_that_is_given(ground: Ground) -> None:
    owner, other = await _user(ground), await _user(ground, "other@example.test")
    a = await _add(ground, owner, labels=["north"])
    b = await _add(ground, other, address="b@elsewhere.test", labels=["north"])
    assert await ids_of(ground.db, Selection(label="north"), owner=None) == [a, b]
    assert await ids_of(ground.db, Selection(label="north", user="OTHER@example.test"), owner=None) == [b]
    assert await ids_of(ground.db, Selection(domain="Example.Test"), owner=None) == [a]
    assert await accounts.find_mailbox(ground.db, "A@example.test") == a
    assert await accounts.find_mailbox(ground.db, str(b)) == b
    with pytest.raises(NotFound):
        await accounts.find_mailbox(ground.db, "c@example.test")


# -- users ----------------------------------------------------------------------------------------------------------


async def test_user_is_created_with_a_private_pool(ground: Ground) -> None:
    user_id = await _user(ground, "Me@example.test")
    await _add(ground, user_id)
    found = await users.find_user(ground.db, "me@EXAMPLE.test")
    assert (found.id, found.role, found.plan, found.mailboxes) == (user_id, Role.USER, "default", 1)
    assert await ground.db.fetchval("SELECT count(*) FROM pools WHERE owner_id = $1", user_id) == 1


async def test_users_address_is_taken_once(ground: Ground) -> None:
    await _user(ground)
    with pytest.raises(UsageError, match="already"):
        await _user(ground, "OWNER@example.test")


@pytest.mark.parametrize("options", [{"email": "nobody"}, {"plan": "none"}])
async def test_user_without_address_or_plan_is_refused(ground: Ground, options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        await users.add_user(ground.db, **{"email": "x@example.test", **options}, role=Role.USER, actor="cli", at=NOON)


async def test_unknown_user_cannot_enrol(ground: Ground) -> None:
    with pytest.raises(NotFound):
        await _add(ground, uuid4())


async def test_shared_pool_is_created_once_and_on_purpose(ground: Ground) -> None:
    with pytest.raises(NotFound):
        await users.shared_pool(ground.db, "agency")
    made = await asyncio.gather(*(users.shared_pool(ground.db, "agency", create=True) for _ in range(5)))
    assert len(set(made)) == 1
    assert await users.shared_pool(ground.db, "AGENCY") == made[0]


async def _user(ground: Ground, email: str = "owner@example.test") -> UUID:
    return await users.add_user(ground.db, email=email, role=Role.USER, actor="cli", at=NOON)


async def _add(ground: Ground, user_id: UUID, **other: Any) -> int:
    (answer,) = await enrol(ground.db, user_id, [_wish(user_id, **other)], actor="cli", at=NOON)
    if not isinstance(answer, int):
        raise answer
    return answer


def _wish(user_id: UUID, **other: Any) -> Wish:
    new = NewMailbox(
        user_id=user_id,
        address="a@example.test",
        display_name="A",
        smtp_host="smtp.example.test",
        smtp_port=465,
        smtp_security="TLS",
        smtp_username="a",
        imap_host="imap.example.test",
        imap_port=993,
        imap_security="TLS",
        imap_username="a",
    )
    return Wish(new=replace(new, **other), seal=lambda mailbox: Sealed(smtp=b"s%d" % mailbox, imap=b"i"))


async def _state(ground: Ground, mailbox: int) -> str:
    state: str = await ground.db.fetchval("SELECT state FROM mailboxes WHERE id = $1", mailbox)
    return state
