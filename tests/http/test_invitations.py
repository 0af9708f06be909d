"""Invitations and links for a new password, as admins make them over the API."""

from typing import Any

import pytest

from tests.http.conftest import ADMIN, OWNER, House
from tests.http.post import Post, opened_post  # noqa: F401  opened_post is a fixture
from warmupd.store.access import access_by_email

PATH = "/api/invitations"
GUEST = "guest@site.test"


async def made(house: House, **wanted: Any) -> dict[str, Any]:
    answer = await (await house.as_user(ADMIN)).post(PATH, json={"email": GUEST, **wanted})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_link_is_told_only_where_it_was_not_mailed(house: House, post: Post) -> None:
    assert (await made(house))["link"] == ""
    assert [to for to, _ in post.sent] == [GUEST]
    post.fails = True
    told = await made(house)
    assert told["link"].startswith("http://site.test/invite/")
    assert told["why"] == "the relay did not take it"


async def test_open_invitations_come_in_pages_and_are_withdrawn(house: House) -> None:
    link = (await made(house))["link"].removeprefix("http://127.0.0.1:3000")
    await made(house, email="another@site.test", role="ADMIN")
    admin = await house.as_user(ADMIN)
    first = (await admin.get(PATH, params={"limit": 1})).json()
    second = (await admin.get(PATH, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [(item["email"], item["role"]) for item in first["items"] + second["items"]] == [
        ("another@site.test", "ADMIN"),
        (GUEST, "USER"),
    ]
    assert (await admin.delete(f"{PATH}/{GUEST.upper()}")).status_code == 204
    assert (await admin.delete(f"{PATH}/{GUEST}")).status_code == 404
    assert (await house.open().get(link)).status_code == 410


async def test_admin_gives_a_user_a_link_for_a_new_password(house: House) -> None:
    owner = await access_by_email(house.site.db, OWNER)
    assert owner is not None
    admin = await house.as_user(ADMIN)
    told = (await admin.post(f"/api/users/{owner.user_id}/reset-link")).json()
    assert (await house.open().get(told["link"].removeprefix("http://127.0.0.1:3000"))).status_code == 200
    nobody = await admin.post("/api/users/00000000-0000-0000-0000-000000000001/reset-link")
    assert nobody.status_code == 404


@pytest.mark.parametrize(("who", "scopes"), [(OWNER, None), (ADMIN, ["admin"])])
async def test_only_an_admin_in_person_makes_links(house: House, who: str, scopes: list[str] | None) -> None:
    client = await house.as_user(who)
    if scopes:
        token = (await client.post("/api/auth/tokens", json={"name": "x", "scopes": scopes})).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
    owner = await access_by_email(house.site.db, OWNER)
    assert owner is not None
    assert (await client.post(PATH, json={"email": GUEST})).status_code == 403
    assert (await client.post(f"/api/users/{owner.user_id}/reset-link")).status_code == 403


@pytest.mark.parametrize(
    "wrong", [{"email": "nobody"}, {"email": "a\0@b.test"}, {"email": OWNER}, {"plan": "none"}, {"role": "KING"}]
)
async def test_invitation_that_cannot_be_is_refused(house: House, wrong: dict[str, str]) -> None:
    answer = await (await house.as_user(ADMIN)).post(PATH, json={"email": GUEST, **wrong})
    assert answer.status_code == 422
