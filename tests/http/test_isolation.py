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
from warmupd.store.users import Role, add_user

OPEN = {("POST", "/api/auth/token")}  # for anybody, rate-limited
FOR_STRANGERS = {"/sign-in", "/reset", "/reset/{token}", "/invite/{token}", "/confirm/{token}"}
OWN_FORMS = {"/sign-out"} | FOR_STRANGERS  # those end the session that asks
THINGS = ("{mailbox_id", "{user_id", "{import_id", "{id", "{name")  # in a page's path: somebody's, or an admin's
GONE_IS_AS_GOOD = {  # these lead on to a page, and there is nothing on it
    "/add/import/{import_id}/progress": "/add/import/",
    "/add/import/{import_id}/drop": "/add/import",
}
ADMIN_ALONE = {  # what a token with `admin`, and nothing else, opens
    "GET /api/users",
    "POST /api/users",
    "GET /api/users/{user_id}",
    "PATCH /api/users/{user_id}",
    "DELETE /api/users/{user_id}",
    "GET /api/plans",
    "PUT /api/plans/{name}",
    "GET /api/invitations",
    "DELETE /api/invitations/{email}",
    "POST /api/warmup/control",
    "GET /api/warmup/fleet",
    "POST /api/warmup/fleet/resize",
}
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
    client = await with_service_token(house, OWNER, scope)
    before = await belongings.snapshot()
    for operation in operations(house):
        changes = operation.method not in {"GET", "HEAD"}
        if changes is (scope is Scope.READ):
            answer = await ask(client, operation, belongings, belongings.ids)
            assert answer.status_code == 403, (operation.method, operation.path, answer.text)
    if scope is Scope.READ:
        assert await belongings.snapshot() == before


async def with_service_token(house: House, email: str, *scopes: Scope) -> httpx.AsyncClient:
    user, token, client = await access_by_email(house.site.db, email), new_token(PREFIX), house.open()
    assert user is not None
    await add_service_token(
        house.site.db,
        user.user_id,
        name="of a program",
        scopes=scopes,
        token_hash=token_hash(token),
        actor="test",
        at=house.site.clock.now(),
        expires_at=None,
    )
    client.headers["authorization"] = f"Bearer {token}"
    return client


async def test_admins_service_token_opens_what_is_for_admins_and_no_more(house: House, belongings: Belongings) -> None:
    client, opened = await with_service_token(house, ADMIN, Scope.ADMIN), set()
    for operation in operations(house):
        answer = await ask(client, operation, belongings, belongings.nobodys_ids)
        assert answer.status_code < 500, (operation.method, operation.path, answer.text)
        opened |= {f"{operation.method} {operation.path}"} if answer.status_code != 403 else set()
    assert opened == ADMIN_ALONE


IN_PERSON: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/users", {"email": "new@site.test", "password": "a password of the program"}),
    ("POST", "/api/users", {"email": "new@site.test", "role": "ADMIN"}),
    ("PATCH", "/api/users/{owner}", {"role": "ADMIN"}),
    ("PATCH", "/api/users/{admin}", {"role": "USER"}),
    ("DELETE", "/api/users/{owner}?erase=true", {}),
    ("DELETE", "/api/users/{admin}", {}),
    ("POST", "/api/users/{owner}/restore", {}),
    ("POST", "/api/users/{owner}/reset-link", {}),
    ("POST", "/api/invitations", {"email": "new@site.test"}),
    ("POST", "/api/auth/tokens", {"name": "another", "scopes": ["read"]}),
]


async def test_service_token_leaves_nobody_behind_who_can_log_in(house: House) -> None:
    """With all scopes: once it is revoked nothing is left of what it might do. An admin in person may."""
    client, db = await with_service_token(house, ADMIN, *Scope), house.site.db
    another = await add_user(db, email="admin2@site.test", role=Role.ADMIN, actor="test", at=house.site.clock.now())
    owner = await access_by_email(db, OWNER)
    assert owner is not None
    everybody = "SELECT array_agg((email, role, password_hash, removed_at)::text ORDER BY id) FROM users"
    before = await db.fetchval(everybody)
    for method, path, body in IN_PERSON:
        answer = await client.request(method, path.format(owner=owner.user_id, admin=another), json=body)
        assert (answer.status_code, "service token" in answer.text) == (403, True), (method, path, answer.text)
    assert await db.fetchval(everybody) == before
    client.headers["authorization"] = f"Bearer {await known_token(house, ADMIN)}"
    for method, path, body in IN_PERSON[:1] + IN_PERSON[2:6]:
        answer = await client.request(method, path.format(owner=owner.user_id, admin=another), json=body)
        assert answer.status_code < 300, (method, path, answer.text)


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


def assert_refused(route: APIRoute, answer: httpx.Response) -> None:
    """Where the page is about one thing, as if it were not there; and nowhere for want of a session."""
    leads_to = answer.headers.get("location", "")
    assert not leads_to.startswith("/sign-in"), route.path
    if route.path in GONE_IS_AS_GOOD:
        assert leads_to.startswith(GONE_IS_AS_GOOD[route.path]), (route.path, leads_to)
    elif any(thing in route.path for thing in THINGS):
        assert answer.status_code in {403, 404}, (route.path, answer.status_code)


async def test_no_page_shows_another_users_things(house: House, belongings: Belongings) -> None:
    browser = await house.browser(OTHER)
    before = await belongings.snapshot()
    for route in pages_shown():
        if "GET" in (route.methods or ()):
            answer = await browser.get(belongings.address(route.path), headers={"accept": "text/html"})
            assert answer.status_code < 500, (route.path, answer.text)
            assert not [mark for mark in MARKS if mark in answer.text], route.path
            assert_refused(route, answer)
    assert (await browser.get("/account")).status_code == 200
    assert await belongings.snapshot() == before


async def test_no_form_changes_another_users_things(house: House, belongings: Belongings) -> None:
    browser = await house.browser(OTHER)
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/account")).text)
    assert csrf is not None
    before, mailbox_id = await belongings.snapshot(), belongings.ids["mailbox_id"]
    assert OWN_FORMS | GONE_IS_AS_GOOD.keys() <= {route.path for route in pages_shown()}
    for route in pages_shown():
        if "POST" in (route.methods or ()) and route.path not in OWN_FORMS:
            data = {"csrf": csrf[1], "confirm": "yes", "ids": mailbox_id, "action": "pause", "mailbox": mailbox_id}
            answer = await browser.post(belongings.address(route.path), data=data)
            assert answer.status_code < 500, (route.path, answer.text)
            assert not [mark for mark in MARKS if mark in answer.text], route.path
            assert_refused(route, answer)
    assert (await browser.get("/account")).status_code == 200
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
