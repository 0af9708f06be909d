"""Service tokens: made by people, scoped, revoked at once, shown once."""

import datetime as dt
import json
from typing import Any

import httpx
import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, House
from warmupd.http.bearer import PREFIX

PATH = "/api/auth/tokens"
READ = {"name": "nightly report", "scopes": ["read"]}


async def made(house: House, email: str = OWNER, **wanted: Any) -> dict[str, Any]:
    answer = await (await house.as_user(email)).post(PATH, json={**READ, **wanted})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def shows(house: House, token: str) -> httpx.AsyncClient:
    client = house.open()
    client.headers["authorization"] = f"Bearer {token}"
    return client


async def test_token_is_shown_once_and_stored_as_a_hash(house: House) -> None:
    told = await made(house)
    assert told["token"].startswith(PREFIX)
    listed = await (await house.as_user(OWNER)).get(PATH)
    assert [item["name"] for item in listed.json()["items"]] == ["nightly report"]
    assert told["token"] not in listed.text
    rows = await house.site.db.fetch("SELECT t::text FROM service_tokens t")
    assert told["token"].removeprefix(PREFIX) not in rows[0][0]


async def test_token_makes_no_tokens_and_sees_none(house: House) -> None:
    client = shows(house, (await made(house, ADMIN, scopes=["read", "mailboxes", "admin"]))["token"])
    for answer in (await client.get(PATH), await client.post(PATH, json=READ), await client.delete(f"{PATH}/1")):
        assert (answer.status_code, answer.json()["detail"]) == (403, "a service token may not do this")


async def test_token_of_a_user_is_never_an_admins(house: House) -> None:
    answer = await (await house.as_user(OWNER)).post(PATH, json={**READ, "scopes": ["admin"]})
    assert answer.status_code == 422
    assert "only an admin" in answer.json()["detail"]


async def test_revoked_token_is_refused_at_once(house: House) -> None:
    told = await made(house)
    owner = await house.as_user(OWNER)
    assert (await owner.delete(f"{PATH}/{told['id']}")).status_code == 204
    assert (await shows(house, told["token"]).get(PATH)).status_code == 401
    assert (await owner.delete(f"{PATH}/{told['id']}")).status_code == 404
    assert (await owner.get(PATH)).json()["items"] == []
    await made(house)  # under the same name again


async def test_token_ends_with_its_days(house: House) -> None:
    told = await made(house, days=30)
    client = shows(house, told["token"])
    assert (await client.get(PATH)).status_code == 403
    house.site.clock._start += dt.timedelta(days=30)  # type: ignore[attr-defined]  # time is the clock's
    assert (await client.get(PATH)).status_code == 401


async def test_token_outlives_a_new_password(house: House) -> None:
    token = (await made(house))["token"]
    await house.site.db.execute("UPDATE users SET credentials_version = credentials_version + 1")
    assert (await shows(house, token).get(PATH)).status_code == 403


async def test_anothers_token_is_as_one_that_is_not_there(house: House) -> None:
    told = await made(house)
    other = await house.as_user(OTHER)
    theirs, nobodys = await other.delete(f"{PATH}/{told['id']}"), await other.delete(f"{PATH}/999")
    assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text) == (404, nobodys.text)
    assert (await other.get(PATH)).json()["items"] == []
    assert [item["user"] for item in (await (await house.as_user(ADMIN)).get(PATH)).json()["items"]] == [OWNER]


async def test_list_comes_in_pages(house: House) -> None:
    names = ["a", "b", "c"]
    for name in names:
        await made(house, name=name)
    owner = await house.as_user(OWNER)
    first = (await owner.get(PATH, params={"limit": 2})).json()
    second = (await owner.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["name"] for item in first["items"] + second["items"]] == names
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": " "}, {"name": "a\0b"}, {"name": "x" * 101}, {"name": "\ud800"}, {"scopes": []},
     {"scopes": ["all"]}, {"days": 0}, {"days": 3651}, {"days": 10**30}, {"more": 1}],
)  # fmt: skip
async def test_unfit_request_is_told_its_field(house: House, wrong: dict[str, Any]) -> None:
    client = await house.as_user(OWNER)
    client.headers["content-type"] = "application/json"
    answer = await client.post(PATH, content=json.dumps({**READ, **wrong}))
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["errors"][0]["field"]


async def test_there_is_an_end_of_tokens(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warmupd.store.service_tokens.MOST", 1)
    await made(house)
    answer = await (await house.as_user(OWNER)).post(PATH, json={**READ, "name": "second"})
    assert (answer.status_code, answer.json()["remedy"]) == (422, "revoke one that is not used")


async def test_name_is_taken_once(house: House) -> None:
    await made(house)
    answer = await (await house.as_user(OWNER)).post(PATH, json={**READ, "name": "Nightly Report"})
    assert answer.status_code == 422
    await made(house, OTHER)


async def test_use_is_noted(house: House) -> None:
    await shows(house, (await made(house))["token"]).get(PATH)
    assert (await (await house.as_user(OWNER)).get(PATH)).json()["items"][0]["used_at"] is not None
