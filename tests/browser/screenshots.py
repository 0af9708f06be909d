"""`make screenshots`: every page of a believable installation, wide and narrow, light and dark, into screenshots/."""

import asyncio
import itertools
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fastapi.routing import APIRoute
from playwright.async_api import Browser, async_playwright

from tests.browser import believable
from tests.browser.conftest import ARGUMENTS, NARROW, WIDE, chromium, sign_in
from tests.http.conftest import ADMIN, OTHER, OWNER, Worker, config, known_hash
from warmupd.clock import ScaledClock
from warmupd.http import pages
from warmupd.http.server import HttpServer
from warmupd.http.site import Site
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate
from warmupd.store.users import Role, add_user

FOLDER = Path("screenshots")
AFTERNOON = datetime(2026, 6, 3, 12, 20, tzinfo=UTC)
LOOKS = list(itertools.product((("wide", WIDE), ("narrow", NARROW)), ("light", "dark")))
NO_PAGES = ("/csv", "/export", "/live", "/charts", "/detect")  # parts of pages, and files


async def main() -> int:
    """Take them; 1 when there is no Chromium."""
    path = chromium()
    if path is None:
        sys.stderr.write("there is no Chromium: apt-get install chromium\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="warmupd-pages-") as folder:
        async with (
            EmbeddedPostgres(Path(folder) / "postgres", fsync=False) as postgres,
            await Database.open(postgres.url, pool_size=4, application_name="screenshots") as db,
            async_playwright() as playwright,
        ):
            site = await _site(db)
            async with HttpServer(Worker(), host="127.0.0.1", port=0, site=site) as server:
                browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS, env=dict(os.environ))
                for who, addresses in (("owner", await _addresses(db)), ("admin", await _addresses(db))):
                    await _take(browser, server.url, who, addresses)
                await browser.close()
    sys.stdout.write(f"{len(list(FOLDER.glob('*.png')))} pages in {FOLDER}/\n")
    return 0


async def _site(db: Database) -> Site:
    await migrate(db)
    clock = ScaledClock(AFTERNOON, 1.0)
    users = [
        await add_user(
            db,
            email=email,
            role=role,
            actor="cli",
            at=clock.now(),
            password_hash=known_hash(),
            timezone="Europe/Berlin",
        )
        for email, role in ((OWNER, Role.USER), (OTHER, Role.USER), (ADMIN, Role.ADMIN))
    ]
    await believable.fill(db, users[0], users[1], clock)
    return Site(config=config(), db=db, clock=clock)


async def _addresses(db: Database) -> list[str]:
    """Of all pages that are there without more; of a mailbox, one that is well and one that is not."""
    paths = [
        route.path
        for router in pages.routers()
        for route in router.routes
        if isinstance(route, APIRoute)
        and "GET" in (route.methods or ())
        and "{" not in route.path
        and not route.path.endswith(NO_PAGES)
    ]
    ids = [
        await db.fetchval("SELECT min(id) FROM mailboxes WHERE state = 'ACTIVE'"),
        await db.fetchval("SELECT min(id) FROM mailboxes WHERE state = 'AUTH_FAILED'"),
    ]
    return [*paths, *(f"/mailboxes/{mailbox_id}" for mailbox_id in ids)]


async def _take(browser: Browser, url: str, who: str, addresses: list[str]) -> None:
    for (width, size), scheme in LOOKS:
        context = await browser.new_context(
            viewport=size, base_url=url, color_scheme="dark" if scheme == "dark" else "light", device_scale_factor=1
        )
        page = await context.new_page()
        await sign_in(page, {"owner": OWNER, "admin": ADMIN}[who])
        for address in addresses:
            answer = await page.goto(address)
            if answer is None or not answer.ok or "text/html" not in answer.headers.get("content-type", ""):
                continue
            name = address.strip("/").replace("/", "-") or "overview"
            await page.screenshot(path=FOLDER / f"{name}-{who}-{width}-{scheme}.png", full_page=True)
        await context.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
