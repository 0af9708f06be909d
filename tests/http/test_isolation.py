"""Every route of the description, walked with tokens that must not open it: nobody learns or changes another's."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.http.belongings import MARKS, Belongings, settle_in

from tests.http.conftest import ADMIN, OTHER, OWNER, SECRET, House, known_token
from warmupd.http.bearer import PREFIX, Signer, new_token, token_hash
from warmupd.http.identity import Scope
from warmupd.store.access import access_by_email
from warmupd.store.service_tokens import add_service_token

OPEN = {("POST", "/api/auth/token")}  # for anybody, rate-limited


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One method of one path, as described."""

    method: str
    path: str
    said: dict[str, Any]

    def address(self, ids: dict[str, str]) -> str:
        """The path with these ids in it; a name that nobody has thought of is an error of the test."""
        return self.path.format_map(ids)


def operations(house: House) -> Iterator[Operation]:
    """All of /api that is not open to anybody."""
    app = house.app
    for path, methods in app.openapi()["paths"].items():
        for method, said in methods.items():
            if path.startswith("/api/") and (method.upper(), path) not in OPEN:
                yield Operation(method=method.upper(), path=path, said=said)


async def ask(
    client: httpx.AsyncClient, operation: Operation, belongings: Belongings, ids: dict[str, str]
) -> httpx.Response:
    body = belongings.bodies.get(f"{operation.method} {operation.path}", {})
    return await client.request(operation.method, operation.address(ids), **body)


@pytest.fixture
async def belongings(house: House) -> Belongings:
    return await settle_in(house)


def test_every_route_with_a_body_is_asked_with_one(house: House, belongings: Belongings) -> None:
    needed = {
        f"{one.method} {one.path}" for one in operations(house) if one.said.get("requestBody", {}).get("required")
    }
    assert needed <= belongings.bodies.keys()


async def test_nothing_opens_without_a_token_that_counts(house: House, belongings: Belongings) -> None:
    owner = await access_by_email(house.site.db, OWNER)
    assert owner is not None
    now, version = house.site.clock.now(), owner.credentials_version
    tokens = {
        "none": "",
        "over": Signer(SECRET).sign(
            owner.user_id, credentials_version=version, now=now - dt.timedelta(hours=2), minutes=60
        ),
        "of another key": Signer("x" * 32).sign(owner.user_id, credentials_version=version, now=now, minutes=60),
        "of an old password": Signer(SECRET).sign(owner.user_id, credentials_version=version - 1, now=now, minutes=60),
        "unknown": new_token(PREFIX),
    }
    before = await belongings.snapshot()
    for name, token in tokens.items():
        client = house.open()
        if token:
            client.headers["authorization"] = f"Bearer {token}"
        for operation in operations(house):
            answer = await ask(client, operation, belongings, belongings.ids)
            assert answer.status_code == 401, (name, operation.method, operation.path, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await belongings.snapshot() == before


@pytest.mark.parametrize("scope", [Scope.READ, Scope.MAILBOXES])
async def test_service_token_opens_no_more_than_its_scope(house: House, belongings: Belongings, scope: Scope) -> None:
    """The owner's own token: with `read` nothing changes, with `mailboxes` alone nothing is read."""
    owner = await access_by_email(house.site.db, OWNER)
    assert owner is not None
    token = new_token(PREFIX)
    await add_service_token(
        house.site.db, owner.user_id, name=scope, scopes=[scope], token_hash=token_hash(token), actor=OWNER,
        at=house.site.clock.now(), expires_at=None,
    )  # fmt: skip
    client = house.open()
    client.headers["authorization"] = f"Bearer {token}"
    before = await belongings.snapshot()
    for operation in operations(house):
        changes = operation.method not in {"GET", "HEAD"}
        if changes is (scope is Scope.READ):
            answer = await ask(client, operation, belongings, belongings.ids)
            assert answer.status_code == 403, (operation.method, operation.path, answer.text)
    if scope is Scope.READ:
        assert await belongings.snapshot() == before


async def test_another_user_sees_changes_and_infers_nothing(house: House, belongings: Belongings) -> None:
    """What is another's answers as what does not exist, and no list, count or export tells of it."""
    client = house.open()
    client.headers["authorization"] = f"Bearer {await known_token(house, OTHER)}"
    before = await belongings.snapshot()
    for operation in operations(house):
        if f"{operation.method} {operation.path}" in belongings.self_destructive:
            continue
        answer = await ask(client, operation, belongings, belongings.ids)
        assert answer.status_code < 500, (operation.method, operation.path, answer.text)
        for mark in MARKS:
            assert mark not in answer.text, (operation.method, operation.path, mark)
        if "{" in operation.path:
            nobodys = await ask(client, operation, belongings, belongings.nobodys_ids)
            assert (answer.status_code, answer.text) == (nobodys.status_code, nobodys.text), operation.path
            assert answer.status_code in {403, 404}, (operation.method, operation.path, answer.status_code)
    assert await belongings.snapshot() == before


async def test_user_is_no_admin_anywhere(house: House, belongings: Belongings) -> None:
    """Routes that change more than one's own are for admins; an admin's token does open them."""
    admin = house.open()
    admin.headers["authorization"] = f"Bearer {await known_token(house, ADMIN)}"
    user = house.open()
    user.headers["authorization"] = f"Bearer {await known_token(house, OTHER)}"
    for operation in operations(house):
        if operation.method == "GET" and operation.path in belongings.for_admins:
            assert (await ask(user, operation, belongings, belongings.ids)).status_code in {403, 404}, operation.path
            assert (await ask(admin, operation, belongings, belongings.ids)).status_code == 200, operation.path
