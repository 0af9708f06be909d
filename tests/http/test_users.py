"""Users, plans and accounts by the API: who may change what, and what that does."""

import io
import json
import zipfile
from uuid import UUID, uuid4

import httpx
import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, House
from warmupd.store.users import find_user


async def user_id(house: House, email: str) -> UUID:
    return (await find_user(house.site.db, email)).id


@pytest.fixture
async def admin(house: House) -> httpx.AsyncClient:
    return await house.as_user(ADMIN)


async def test_users_come_in_pages_by_address(house: House, admin: httpx.AsyncClient) -> None:
    first = (await admin.get("/api/users?limit=2")).json()
    assert [user["email"] for user in first["users"]] == [ADMIN, OTHER]
    second = (await admin.get("/api/users", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [user["email"] for user in second["users"]] == [OWNER]
    assert second["next_cursor"] is None


async def test_users_are_found_by_a_part_of_their_address(house: House, admin: httpx.AsyncClient) -> None:
    found = (await admin.get("/api/users", params={"search": "OWNER\0"})).json()
    assert [user["email"] for user in found["users"]] == [OWNER]


async def test_user_is_added_and_can_log_in(house: House, admin: httpx.AsyncClient) -> None:
    new = {"email": "new@site.test", "name": "Nia", "password": "a password for Nia", "timezone": "Europe/Berlin"}
    answer = await admin.post("/api/users", json=new)
    assert answer.status_code == 201, answer.text
    assert "password" not in answer.text
    assert await house.token("new@site.test", "a password for Nia")
    assert (await admin.post("/api/users", json=new)).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [{"email": "nobody"}, {"email": "a\0@site.test"}, {"email": "x@site.test", "timezone": "Mars/Base"},
     {"email": "x@site.test", "plan": "none"}, {"email": "x@site.test", "password": "short"},
     {"email": "x@site.test", "name": "two\nlines"}, {"email": "x@site.test", "role": "KING"}],
)  # fmt: skip
async def test_what_cannot_be_is_refused(admin: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    answer = await admin.post("/api/users", json=wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_change_is_written_into_the_history(house: House, admin: httpx.AsyncClient) -> None:
    await admin.put("/api/plans/large", json={})
    owner = await user_id(house, OWNER)
    answer = await admin.patch(f"/api/users/{owner}", json={"name": "Olga", "plan": "large", "timezone": "Asia/Tokyo"})
    assert (answer.json()["name"], answer.json()["plan"], answer.json()["timezone"]) == ("Olga", "large", "Asia/Tokyo")
    rows = await house.site.db.fetch(
        "SELECT what, was, became, actor FROM state_changes WHERE subject_id = $1 AND what <> 'state' ORDER BY what",
        str(owner),
    )
    assert [tuple(row) for row in rows] == [
        ("name", "", "Olga", ADMIN),
        ("plan", "default", "large", ADMIN),
        ("timezone", "", "Asia/Tokyo", ADMIN),
    ]


async def test_last_admin_stays(house: House, admin: httpx.AsyncClient) -> None:
    last = await user_id(house, ADMIN)
    assert (await admin.delete(f"/api/users/{last}")).status_code == 409
    assert (await admin.patch(f"/api/users/{last}", json={"role": "USER"})).status_code == 409
    owner = await user_id(house, OWNER)
    assert (await admin.patch(f"/api/users/{owner}", json={"role": "ADMIN"})).status_code == 200
    assert (await admin.patch(f"/api/users/{last}", json={"role": "USER"})).status_code == 200
    assert (await admin.get("/api/users")).status_code == 403


async def test_removed_user_is_out_at_once(house: House, admin: httpx.AsyncClient) -> None:
    client, browser = await house.as_user(OWNER), await house.browser(OWNER)
    owner = await user_id(house, OWNER)
    answer = await admin.delete(f"/api/users/{owner}")
    assert answer.json() == {"mailboxes_removed": 0, "erasing": False}
    assert (await client.get("/api/account")).status_code == 401
    assert (await browser.post("/sign-out")).headers["location"].startswith("/sign-in?then=")
    assert (await admin.get(f"/api/users/{owner}")).status_code == 404
    assert (await admin.delete(f"/api/users/{owner}")).status_code == 404
    assert (await admin.post(f"/api/users/{owner}/restore")).json()["email"] == OWNER
    assert (await admin.post(f"/api/users/{owner}/restore")).status_code == 404
    assert (await admin.delete(f"/api/users/{owner}?erase=true")).json()["erasing"] is True
    assert (await admin.post(f"/api/users/{owner}/restore")).status_code == 409


async def test_unknown_user_is_not_found(admin: httpx.AsyncClient) -> None:
    for path in (f"/api/users/{uuid4()}", f"/api/users/{uuid4()}/export"):
        assert (await admin.get(path)).status_code == 404
    assert (await admin.get("/api/users/me")).status_code == 422


async def test_users_cannot_see_each_other(house: House) -> None:
    client, other = await house.as_user(OWNER), await user_id(house, OTHER)
    answers = [
        await client.get("/api/users"),
        await client.get(f"/api/users/{other}"),
        await client.get(f"/api/users/{other}/export"),
        await client.delete(f"/api/users/{uuid4()}"),
        await client.get("/api/plans"),
        await client.put("/api/plans/large", json={"mailbox_limit": None}),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1


async def test_plan_is_made_changed_and_listed(admin: httpx.AsyncClient) -> None:
    made = await admin.put("/api/plans/large", json={"priority": 5, "mailbox_limit": 100, "per_hour": 60})
    assert made.status_code == 201
    changed = await admin.put("/api/plans/large", json={"mailbox_limit": None})
    assert (changed.status_code, changed.json()["mailbox_limit"], changed.json()["per_hour"]) == (200, None, 60)
    assert [plan["name"] for plan in (await admin.get("/api/plans")).json()["plans"]] == ["large", "default"]


@pytest.mark.parametrize("changes", [{"per_hour": 0}, {"mailbox_limit": -1}, {"priority": None}, {"x": 1}])
async def test_plan_that_cannot_be_is_refused(admin: httpx.AsyncClient, changes: dict[str, int]) -> None:
    assert (await admin.put("/api/plans/large", json=changes)).status_code == 422
    assert (await admin.put("/api/plans/a%00b", json={})).status_code == 422


async def test_account_is_ones_own(house: House) -> None:
    client = await house.as_user(OWNER)
    answer = await client.patch("/api/account", json={"name": "Olga", "timezone": "Asia/Tokyo"})
    assert (answer.json()["email"], answer.json()["timezone"]) == (OWNER, "Asia/Tokyo")
    assert (await client.patch("/api/account", json={"role": "ADMIN"})).status_code == 422
    assert (await client.get("/api/account")).json()["plan"]["mailbox_limit"] is None


async def test_own_data_is_handed_over_as_a_zip(house: House) -> None:
    answer = await (await house.as_user(OWNER)).get("/api/account/export")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="warmupd-owner-site.test-')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("profile.json"))["email"] == OWNER
        assert {"README.txt", "profile.json", "state_changes.jsonl"} <= set(archive.namelist())
