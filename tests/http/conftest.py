"""A site on a real database, with an admin and two users, and clients that are let in as them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from warmupd.clock import ScaledClock
from warmupd.config import Config
from warmupd.http import passwords
from warmupd.http.identity import signer_of
from warmupd.http.passwords import hash_password
from warmupd.http.server import begin, create_app
from warmupd.http.site import Site
from warmupd.store.access import access_by_email
from warmupd.store.database import Database
from warmupd.store.users import Role, add_user

ADMIN, OWNER, OTHER = "admin@site.test", "owner@site.test", "other@site.test"
PASSWORD = "a password of ten and more"
SECRET = "a secret of the tests that has more than thirty-two bytes"
KEY = "c2VjcmV0IGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGU="
NOW = datetime(2026, 6, 3, 10, tzinfo=UTC)


class Worker:
    """What the server asks of a worker."""

    trusted = True
    slots = 64
    standing_by = ""

    async def check_database(self) -> None: ...

    def render_metrics(self) -> bytes:
        return b"warmup_queue_depth 0.0\n"

    def answered(self, route: str, status: str) -> None: ...


@dataclass(kw_only=True)
class House:
    """The site under test."""

    site: Site
    app: FastAPI
    open: Callable[..., httpx.AsyncClient]

    async def token(self, email: str, password: str = PASSWORD) -> str:
        answer = await self.open().post("/api/auth/token", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def as_user(self, email: str) -> httpx.AsyncClient:
        """A client that shows this user's token."""
        client = self.open()
        client.headers["authorization"] = f"Bearer {await self.token(email)}"
        return client

    async def browser(self, email: str, password: str = PASSWORD) -> httpx.AsyncClient:
        """A client that is signed in by cookie."""
        client = self.open()
        answer = await client.post("/sign-in", data={"email": email, "password": password})
        assert answer.status_code == 303, answer.text
        return client


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Hashes of as little work as there can be: here nobody guesses."""
    with pytest.MonkeyPatch.context() as patch:
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(passwords, "_hasher", lambda: quick)
        yield


@cache
def known_hash() -> str:
    """Once is enough."""
    return hash_password(PASSWORD)


def config(**sections: object) -> Config:
    return Config.isolated(
        {
            "secrets.keys": [KEY],
            "auth.secret": SECRET,
            "auth.rate_limit": 1000,
            "auth.api_rate_limit": 1_000_000,
            "dns.servers": ["127.0.0.1:9"],  # nobody listens there: no name leaves this machine
            "dns.timeout_seconds": 1,
            **sections,
        }
    )


@cache
def built() -> list[FastAPI]:
    return []


def whole_app(site: Site) -> FastAPI:
    """One for all tests of a process: building its routes takes longer than most of them. What it remembers is new."""
    if not built():
        built().append(create_app(Worker(), site=site))
    begin(built()[0], site)
    return built()[0]


@pytest.fixture
async def house(db: Database) -> AsyncIterator[House]:
    clock = ScaledClock(NOW, 1.0)
    for email, role in ((ADMIN, Role.ADMIN), (OWNER, Role.USER), (OTHER, Role.USER)):
        await add_user(db, email=email, role=role, actor="test", at=clock.now(), password_hash=known_hash())
    site = Site(config=config(), db=db, clock=clock)
    app = whole_app(site)
    async with AsyncExitStack() as stack:
        opened: list[httpx.AsyncClient] = []

        def open_client(client: str = "127.0.0.1") -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app, client=(client, 40000), raise_app_exceptions=False)
            opened.append(httpx.AsyncClient(transport=transport, base_url="http://site.test"))
            stack.push_async_callback(opened[-1].aclose)
            return opened[-1]

        yield House(site=site, app=app, open=open_client)


async def known_token(house: House, email: str) -> str:
    """A signed token for this user, without a log-in."""
    access = await access_by_email(house.site.db, email)
    assert access is not None
    version, now = access.credentials_version, house.site.clock.now()
    return signer_of(house.site).sign(access.user_id, credentials_version=version, now=now, minutes=600)
