"""`python -m tests.http.p95`: how long each list and page takes at 100,000 mailboxes, over HTTP in one process.

Prints the first answer, and the median and the 95th percentile of forty more, in milliseconds.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.http import hundred_thousand
from tests.http.conftest import PASSWORD, Worker, config, known_hash
from warmupd.clock import ScaledClock
from warmupd.http.server import create_app
from warmupd.http.site import Site
from warmupd.store.database import Database
from warmupd.store.day_totals import refresh_totals
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate

AGAIN = 40
API = (
    "/api/warmup/metrics",
    "/api/warmup/quota",
    "/api/warmup/quota?status=behind",
    "/api/warmup/mailboxes",
    "/api/warmup/mailboxes?search=box9",
    "/api/warmup/mailboxes?state=AUTH_FAILED",
    "/api/warmup/mailboxes?sort=newest",
    "/api/warmup/mailboxes?sort=score",
    "/api/warmup/mailbox",
    "/api/warmup/jobs",
    "/api/warmup/jobs?status=FAILED",
    "/api/warmup/placement",
    "/api/warmup/throughput",
    "/api/warmup/reports?by=day",
    "/api/warmup/reports?by=domain",
    "/api/warmup/reports?by=label",
    "/api/warmup/state-changes",
    "/api/warmup/notices",
    "/api/users",
    "/api/warmup/fleet",
)
PAGES = ("/", "/mailboxes", "/reports", "/settings", "/fleet", "/users", "/notifications", "/account")


async def main() -> None:
    """Fill, ask, print."""
    with tempfile.TemporaryDirectory(prefix="warmupd-p95-") as folder:
        async with (
            EmbeddedPostgres(Path(folder) / "postgres", fsync=False) as postgres,
            await Database.open(postgres.url, pool_size=4, application_name="p95") as db,
        ):
            await migrate(db)
            began = time.monotonic()
            await hundred_thousand.fill(db)
            while await refresh_totals(db, at=hundred_thousand.NOW):  # as housekeeping does
                pass
            sys.stderr.write(f"filled in {time.monotonic() - began:.0f} s\n")
            await db.execute("UPDATE users SET password_hash = $1", known_hash())
            site = Site(config=config(), db=db, clock=ScaledClock(hundred_thousand.NOW, 1.0))
            transport = httpx.ASGITransport(create_app(Worker(), site=site))
            for email in (hundred_thousand.ADMIN, hundred_thousand.BIG, hundred_thousand.SMALL):
                async with httpx.AsyncClient(transport=transport, base_url="http://site.test", timeout=60) as client:
                    await _ask(client, email)


async def _ask(client: httpx.AsyncClient, email: str) -> None:
    answer = await client.post("/api/auth/token", json={"email": email, "password": PASSWORD})
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    await client.post("/sign-in", data={"email": email, "password": PASSWORD})
    for path in (*API, *PAGES):
        first, status, size = await _timed(client, path)
        if status != 200:
            sys.stdout.write(f"{email:20} {path:45} {status}\n")
            continue
        times = sorted([(await _timed(client, path))[0] for _ in range(AGAIN)])
        cursor = (await client.get(path)).json().get("next_cursor") if path.startswith("/api") else None
        sys.stdout.write(
            f"{email:20} {path:45} first {first:6.0f}  p50 {statistics.median(times):6.0f}"
            f"  p95 {times[int(AGAIN * 0.95)]:6.0f}  {size / 1000:5.1f} kB{'  more' if cursor else ''}\n"
        )
        sys.stdout.flush()


async def _timed(client: httpx.AsyncClient, path: str) -> tuple[float, int, int]:
    began = time.perf_counter()
    answer = await client.get(path, headers={"accept": "text/html"} if not path.startswith("/api") else {})
    return 1000 * (time.perf_counter() - began), answer.status_code, len(answer.content)


if __name__ == "__main__":
    asyncio.run(main())
