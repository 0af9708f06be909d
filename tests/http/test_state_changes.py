"""The history over HTTP: whose changes are told to whom, and by whom they were made."""

import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, House
from tests.http.test_reports import fill
from warmupd.core.mailbox import MailboxState
from warmupd.http.paging import cursor_of
from warmupd.store.states import change_state

PATH = "/api/warmup/state-changes"


async def _pause(house: House, mailbox: int, actor: str) -> None:
    await change_state(house.site.db, mailbox, MailboxState.PAUSED, actor=actor, reason="why", at=NOW)


async def test_a_user_sees_changes_of_their_own_and_not_who_the_admin_was(house: House) -> None:
    mine = await fill(house.site.db, OWNER, 3, sent=0)
    (theirs,) = await fill(house.site.db, OTHER, 1, sent=0)
    for box, actor in zip([*mine, theirs], [OWNER, ADMIN, "daemon", ADMIN], strict=True):
        await _pause(house, box, actor)
    told = (await (await house.as_user(OWNER)).get(PATH)).json()["items"]
    assert [one["actor"] for one in told if one["subject"] == "mailbox"] == ["daemon", "an admin", OWNER]
    assert {one["name"] for one in told} == {OWNER, *(f"box{n}@owner.test" for n in (1, 2, 3))}
    assert ADMIN not in str(told)
    everything = (await (await house.as_user(ADMIN)).get(PATH, params={"subject": "mailbox"})).json()["items"]
    assert [one["actor"] for one in everything] == [ADMIN, "daemon", ADMIN, OWNER]


async def test_anothers_mailbox_has_no_history(house: House) -> None:
    (theirs,) = await fill(house.site.db, OTHER, 1, sent=0)
    await _pause(house, theirs, OTHER)
    for mailbox in (theirs, 10**12):
        answer = await (await house.as_user(OWNER)).get(PATH, params={"mailbox": mailbox})
        assert answer.json() == {"items": [], "next_cursor": None}
    assert len((await (await house.as_user(OTHER)).get(PATH, params={"mailbox": theirs})).json()["items"]) == 1


async def test_the_fleets_and_plans_changes_are_no_users_business(house: House) -> None:
    await (await house.as_user(ADMIN)).post("/api/warmup/control", json={"action": "stop"})
    answer = await (await house.as_user(OWNER)).get(PATH, params={"subject": ["fleet", "plan"]})
    assert answer.json()["items"] == []


async def test_pages_follow_one_another(house: House) -> None:
    for box in await fill(house.site.db, OWNER, 3, sent=0):
        await _pause(house, box, OWNER)
    client, read, cursor = await house.as_user(OWNER), [], None
    while True:
        page = (
            await client.get(PATH, params={"limit": 1, "subject": "mailbox", **({"cursor": cursor} if cursor else {})})
        ).json()
        read += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [one["name"] for one in read] == [f"box{n}@owner.test" for n in (3, 2, 1)]


@pytest.mark.parametrize("asked", [{"mailbox": 0}, {"mailbox": 2**63}, {"subject": "pool"}, {"cursor": "W251bGxd"}])
async def test_what_cannot_be_asked_for_is_refused(house: House, asked: dict[str, str]) -> None:
    answer = await (await house.as_user(OWNER)).get(PATH, params=asked)
    assert answer.status_code in {200, 422}
    if "cursor" not in asked:
        assert answer.status_code == 422


async def test_ids_and_cursors_do_not_tell_how_much_happened_to_others(house: House) -> None:
    for owner in (OWNER, OTHER):
        for box in await fill(house.site.db, owner, 1, sent=0):
            await _pause(house, box, "daemon")
    numbers = [str(row["id"]) for row in await house.site.db.fetch("SELECT id FROM state_changes")]
    client = await house.as_user(OWNER)
    page = (await client.get(PATH, params={"limit": 1})).json()
    assert {len(one["id"]) for one in page["items"]} == {16}
    assert not {one["id"].lstrip("0") for one in page["items"]} & set(numbers)
    for forged in (cursor_of([int(numbers[-1])]), cursor_of([None])):
        assert (await client.get(PATH, params={"cursor": forged})).status_code == 422
