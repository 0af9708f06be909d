"""Every route of the description, walked with tokens that must not open it: nobody learns or changes another's."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.http.belongings import MARKS, Belongings, settle_in
from tests.http.conftest import ADMIN, OTHER, OWNER, SECRET, House, known_token
from warmupd.clock import ScaledClock
from warmupd.http import pages
from warmupd.http.bearer import PREFIX, Signer, new_token, token_hash
from warmupd.http.identity import Scope
from warmupd.store.access import access_by_email
from warmupd.store.service_tokens import add_service_token

OPEN = {("POST", "/api/auth/token")}  # for anybody, rate-limited
FOR_STRANGERS = {"/sign-in", "/reset", "/reset/{token}", "/invite/{token}", "/confirm/{token}"}
OWN_FORMS = {"/sign-out", "/account/sessions/end-others"} | FOR_STRANGERS  # those end the session that asks
DEEDS = (
    "UPDATE mailboxes SET state = 'PAUSED', last_error = 'trouble' WHERE user_id = $1 AND id % 2 = 0",
    "UPDATE mailbox_days SET failed = failed + 1 WHERE user_id = $1",
    "UPDATE mailbox_days SET spam = spam + 1, inbox = inbox + 2 WHERE user_id = $1",
    "INSERT INTO service_tokens (user_id, name, scopes, token_hash, created_at) VALUES ($1, 'n', '{read}', 'h', now())",
    "DELETE FROM mailbox_days WHERE user_id = $1 AND mailbox_id % 3 = 0",
)


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
    for path, methods in house.app.openapi()["paths"].items():
        for method, said in methods.items():
            if path.startswith("/api/") and (method.upper(), path) not in OPEN:
                yield Operation(method=method.upper(), path=path, said=said)


async def ask(
    client: httpx.AsyncClient, operation: Operation, belongings: Belongings, ids: dict[str, str]
) -> httpx.Response:
    body = belongings.bodies.get(f"{operation.method} {operation.path}", {})
    return await client.request(operation.method, operation.address(ids), **body)


def told(answer: httpx.Response) -> str:
    """What is in it; of a zip what is in its files."""
    if answer.headers.get("content-type") != "application/zip":
        return answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return "".join(f"{name}\n{archive.read(name).decode()}" for name in archive.namelist())


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
        house.site.db,
        owner.user_id,
        name=scope,
        scopes=[scope],
        token_hash=token_hash(token),
        actor="test",
        at=house.site.clock.now(),
        expires_at=None,
    )
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
        answer = await ask(client, operation, belongings, belongings.ids)
        assert answer.status_code < 500, (operation.method, operation.path, answer.text)
        for mark in MARKS:
            assert mark not in told(answer), (operation.method, operation.path, mark)
        if "{" in operation.path:
            nobodys = await ask(client, operation, belongings, belongings.nobodys_ids)
            assert (answer.status_code, answer.text) == (nobodys.status_code, nobodys.text), operation.path
            assert answer.status_code in {403, 404}, (operation.method, operation.path, answer.status_code)
    assert await belongings.snapshot() == before


async def test_what_another_does_changes_no_answer(house: House, belongings: Belongings) -> None:
    """Sums, shares and reasons tell nothing of it either: all that can be read is the same before and after."""
    house.site.clock = ScaledClock(house.site.clock.now(), 1e-9)
    client = house.open()
    client.headers["authorization"] = f"Bearer {await known_token(house, OTHER)}"
    reads = [one for one in operations(house) if one.method == "GET"]
    before = {one.path: told(await ask(client, one, belongings, belongings.nobodys_ids)) for one in reads}
    for statement in DEEDS:
        await house.site.db.execute(statement, belongings.owner)
    after = {one.path: told(await ask(client, one, belongings, belongings.nobodys_ids)) for one in reads}
    assert after == before


async def test_admin_is_let_in_where_a_user_is_not(house: House, belongings: Belongings) -> None:
    """So what a user may not read is refused for who they are, and not because it is broken."""
    clients = {}
    for email in (ADMIN, OTHER):
        clients[email] = house.open()
        clients[email].headers["authorization"] = f"Bearer {await known_token(house, email)}"
    for operation in operations(house):
        if operation.method == "GET":
            refused = (await ask(clients[OTHER], operation, belongings, belongings.ids)).status_code in {403, 404}
            answer = await ask(clients[ADMIN], operation, belongings, belongings.ids)
            assert not refused or answer.status_code == 200, (operation.path, answer.text)


def pages_shown() -> Iterator[APIRoute]:
    for router in pages.routers():
        yield from (route for route in router.routes if isinstance(route, APIRoute))


async def test_no_page_shows_another_users_things(house: House, belongings: Belongings) -> None:
    browser = await house.browser(OTHER)
    before = await belongings.snapshot()
    for route in pages_shown():
        if "GET" in (route.methods or ()):
            answer = await browser.get(belongings.address(route.path), headers={"accept": "text/html"})
            assert answer.status_code < 500, (route.path, answer.text)
            assert not [mark for mark in MARKS if mark in answer.text], route.path
            if "{mailbox_id}" in route.path or "{user_id}" in route.path:
                assert answer.status_code in {403, 404}, (route.path, answer.status_code)
    assert await belongings.snapshot() == before


async def test_no_form_changes_another_users_things(house: House, belongings: Belongings) -> None:
    browser = await house.browser(OTHER)
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/account")).text)
    assert csrf is not None
    before = await belongings.snapshot()
    for route in pages_shown():
        if "POST" in (route.methods or ()) and route.path not in OWN_FORMS:
            data = {"csrf": csrf[1], "confirm": "yes", "ids": belongings.ids["mailbox_id"], "action": "pause"}
            answer = await browser.post(belongings.address(route.path), data=data)
            assert answer.status_code < 500, (route.path, answer.text)
            assert not [mark for mark in MARKS if mark in answer.text], route.path
    assert await belongings.snapshot() == before


async def test_no_form_is_taken_from_elsewhere(house: House, belongings: Belongings) -> None:
    """Neither without the session's token, nor by a page of another site that has got hold of it."""
    browser = await house.browser(OWNER)
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/account")).text)
    assert csrf is not None
    before = await belongings.snapshot()
    for route in pages_shown():
        if "POST" in (route.methods or ()) and route.path not in FOR_STRANGERS:
            address = belongings.address(route.path)
            assert (await browser.post(address, data={})).status_code == 403, route.path
            elsewhere = {"origin": "https://elsewhere.test"}
            answer = await browser.post(address, data={"csrf": csrf[1]}, headers=elsewhere)
            assert answer.status_code == 403, route.path
    assert await belongings.snapshot() == before
