"""A whole installation behind a real Chromium: a worker, a mail world on loopback, and people who look at pages."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Request, ViewportSize, async_playwright

from tests.http.conftest import ADMIN, KEY, OTHER, OWNER, PASSWORD, SECRET, known_hash
from tests.http.mail_world import Believers
from tests.mail.certificates import Authority, make_authority
from tests.mail.fake_imap import FakeImap
from tests.mail.fault_smtp import FaultServer
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.clock import ScaledClock
from warmupd.config import Config
from warmupd.daemon.app import Worker
from warmupd.http.health import WorkerHealth
from warmupd.http.server import HttpServer
from warmupd.http.site import Site
from warmupd.sandbox.process import SandboxProcess
from warmupd.store.database import Database
from warmupd.store.users import Role, add_user

A_DAY = 2000  # sends that a mailbox owes in two hours: one in four seconds, so that nobody waits for long
MORNING = datetime(2026, 6, 3, 8, tzinfo=UTC)
BOXES = [f"box{number}@agency{number % 3}.test" for number in range(6)]
BOX_PASSWORD = "a mailbox's password"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 20_000.0  # milliseconds that a page may take on a busy machine


def chromium() -> str | None:
    """The system's Chromium; None when there is none."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass(kw_only=True)
class Installation:
    """warmupd as it runs, with an admin, two users, and mailboxes that wait to be enrolled."""

    url: str
    site: Site
    world: SandboxProcess
    authority: TokenServer  # where people consent, and tokens are had
    trusting: tuple[int, int]  # ports of an SMTP and an IMAP server that take its tokens, and no passwords


@dataclass(kw_only=True)
class Looking:
    """What a page must not do: complain, ask another host, break the policy."""

    page: Page
    home: set[str]  # hosts that may be asked
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda said: self._note(said.type in {"error", "warning"}, f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self._note(True, f"script: {error}"))
        self.page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        asked = urlsplit(request.url)
        self._note(asked.scheme in {"http", "https"} and asked.netloc not in self.home, f"another host: {request.url}")

    def _note(self, is_wrong: bool, what: str) -> None:
        if is_wrong:
            self.wrong.append(what)


@asynccontextmanager
async def running(db: Database) -> AsyncIterator[Installation]:
    """The installation, until the context ends."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(SandboxProcess(accounts=dict.fromkeys(BOXES, BOX_PASSWORD)))
        authority = await stack.enter_async_context(TokenServer().running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warmupd-test-")))
        certificates = make_authority(folder)
        trusting = await stack.enter_async_context(token_servers(certificates, authority))
        bundle = folder / "all.pem"
        bundle.write_text(world.ca_file.read_text() + certificates.ca_file.read_text())
        clock = ScaledClock(MORNING, 1.0)
        config = configuration(bundle, authority)
        for email, role in ((ADMIN, Role.ADMIN), (OWNER, Role.USER), (OTHER, Role.USER)):
            await add_user(db, email=email, role=role, actor="test", at=clock.now(), password_hash=known_hash())
        worker = Worker(config, db, clock)
        site = Site(config=config, db=db, clock=clock)
        server = HttpServer(WorkerHealth(worker, db), host="127.0.0.1", port=0, site=site)
        await stack.enter_async_context(server)
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop), name="worker")
        try:
            yield Installation(url=server.url, site=site, world=world, authority=authority, trusting=trusting)
        finally:
            stop.set()
            await working


@asynccontextmanager
async def token_servers(certificates: Authority, authority: TokenServer) -> AsyncIterator[tuple[int, int]]:
    context = certificates.server_context()
    smtp = FaultServer(context=context, auth="XOAUTH2", users=Believers(authority))
    imap = FakeImap(context=context, capabilities="IMAP4rev1 SASL-IR AUTH=XOAUTH2")
    async with smtp.running(), imap.running():
        yield smtp.port, imap.port


def configuration(ca_file: Path, authority: TokenServer) -> Config:
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "token_url": authority.url,
        "authorize_url": authority.authorize_url,
    }
    return Config.isolated(
        {
            "secrets.keys": [KEY],
            "auth.secret": SECRET,
            "auth.rate_limit": 1000,
            "security.allow_hosts": ["127.0.0.1"],
            "security.ca_file": str(ca_file),
            "dns.servers": ["127.0.0.1:9"],
            "dns.timeout_seconds": 1,
            "window.start_hour": MORNING.hour,
            "window.end_hour": MORNING.hour + 2,
            "spacing.same_mailbox_min_minutes": 0.02,
            "spacing.same_mailbox_max_minutes": 0.05,
            **{f"quota.{name}": A_DAY for name in ("ramp_start", "target_daily", "min_daily")},
            **{f"limits.{name}": 100_000 for name in ("global_per_hour", "user_per_hour")},
            **{f"limits.{name}": 10_000 for name in ("global_per_minute", "user_per_minute")},
            **{f"oauth.google.{name}": value for name, value in client.items()},
        }
    )


@pytest.fixture
async def installation(db: Database) -> AsyncIterator[Installation]:
    async with running(db) as installation:
        yield installation


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS, env=dict(os.environ))
        yield browser
        await browser.close()


@pytest.fixture
async def looking(browser: Browser, installation: Installation) -> AsyncIterator[Looking]:
    """A tab at 1280 by 900; whatever it complains of, or asks of another host, fails the test."""
    context = await browser.new_context(viewport=WIDE, base_url=installation.url)
    context.set_default_timeout(PATIENCE)
    looking = Looking(page=await context.new_page(), home={urlsplit(installation.url).netloc})
    looking.watch()
    yield looking
    await context.close()
    assert looking.wrong == []


@pytest.fixture
def page(looking: Looking) -> Page:
    return looking.page


async def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    """Through the form, as people do."""
    await page.goto("/sign-in")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "sign-in" not in url)
