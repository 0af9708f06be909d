"""Real Postgres trouble under a worker: it goes on by itself, nothing goes twice, and the day's quota is met."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.daemon.model import OK, Answer
from tests.daemon.rig import BEGIN, PATIENCE, Rig, after
from tests.ha.pgbouncer import needs_pgbouncer, pgbouncer
from tests.ha.proxy import LossyProxy
from tests.ha.servers import Pair, Server
from tests.store.invariants import broken
from warmupd.clock import VirtualClock
from warmupd.errors import DatabaseUnavailable
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence
from warmupd.store.migrate import migrate


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    server = await Server.make(data_dir)
    yield server
    server.stop()


@pytest.fixture
async def pair(data_dir: Path) -> AsyncIterator[Pair]:
    pair = await Pair.make(data_dir)
    yield pair
    pair.stop()


@asynccontextmanager
async def living(
    url: str, *, pool_size: int = 6, quota: int = 4, end_hour: int = 9, answers_within: float = 2.0
) -> AsyncIterator["Life"]:
    """A rig on a server of its own: its worker's connections fail, and so do the ones it looks with."""
    async with AsyncExitStack() as stack:
        worker_db = await stack.enter_async_context(await impatient(url, pool_size=pool_size, within=answers_within))
        db = await stack.enter_async_context(await impatient(url, pool_size=2))
        await migrate(db)
        await keep_evidence(db)
        life = Life(Rig(db, VirtualClock(BEGIN)), worker_db, quota)
        life.boxes = await life.rig.world.enrol(3, quota=quota, end_hour=end_hour)
        yield life


async def impatient(url: str, *, pool_size: int, within: float = 2.0) -> Database:
    return await Database.open(
        url, pool_size=pool_size, application_name="trouble", connect_timeout=1.0, command_timeout=within
    )


class Life:
    """A worker's day, and what must be true of it at the end."""

    def __init__(self, rig: Rig, db: Database, quota: int) -> None:
        self.rig = rig
        self.db = db
        self.quota = quota
        self.boxes: list[int] = []

    async def check(self) -> None:
        """Every quota is met by mail that went once, and no invariant is broken."""
        await self.rig.db.expire_connections()  # who only reads would stay with a primary that was demoted
        assert await self.rig.world.sent(self.boxes) == [self.quota] * len(self.boxes)
        assert set(Counter(one.message_id for one in self.rig.server.taken).values()) == {1}
        assert (await self.rig.violations()).total == 0
        assert await broken(self.rig.db) == []


async def test_a_killed_primary_is_followed_to_its_standby(pair: Pair) -> None:
    async with living(pair.url) as life:
        async with life.rig.running({"worker.lease_seconds": 600}, db=life.db) as worker:
            await life.rig.until(after(7))
            epochs = dict(worker.leases.held)
            pair.primary.kill()
            await pair.promote()
            await life.rig.until(after(9.5))
            assert min(worker.leases.held.values()) > max(epochs.values())
        await life.check()


async def test_a_primary_that_froze_does_not_hide_its_standby(pair: Pair) -> None:
    async with living(pair.url) as life:
        async with life.rig.running({"worker.lease_seconds": 600}, db=life.db):
            await life.rig.until(after(7))
            pair.primary.freeze()
            await pair.promote()
            await life.rig.until(after(9.5))
        await life.check()


async def test_a_primary_that_was_demoted_is_left_for_the_new_one(pair: Pair) -> None:
    async with living(pair.url) as life:
        async with life.rig.running({"worker.lease_seconds": 600}, db=life.db):
            await life.rig.until(after(7))
            await pair.primary.refuse_writes()
            await pair.promote()
            await life.rig.until(after(9.5))
            assert await life.db.fetchval("SELECT inet_server_port()") == pair.standby.port
        await life.check()


async def test_what_the_old_primary_granted_is_not_sent_after_a_failover(pair: Pair) -> None:
    async with living(pair.url) as life:
        rig = life.rig
        rig.server.rule = lambda account, message: Answer(reply=OK.reply, rcpt_takes=1.0)
        async with rig.running({"worker.lease_seconds": 600}, db=life.db) as worker:
            await rig.until_tried(1)
            pair.primary.kill()
            await pair.promote()
            with suppress(DatabaseUnavailable):
                await life.db.fetchval("SELECT 1")
            await life.db.fetchval("SELECT 1")
            assert not worker.leases.trusted
            rig.server.rule = lambda account, message: OK
            rig.clock.advance(1.0)
            await rig.calm()
            assert rig.server.taken == []
            await rig.until(after(9.5))
        await life.check()


async def test_a_job_that_was_granted_just_before_a_failover_goes_back(
    rig: Rig, database_url: str, log: list[dict[str, Any]]
) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    db = await FailingOver.open(database_url, pool_size=4, application_name="tests")
    async with db, rig.running(db=db) as worker:
        db.meanwhile = worker.leases._renew
        await rig.until(after(9.5))
    granted = sum(event["granted"] for event in log if event["event"] == "send.reserved")
    assert granted == len(rig.server.tries) + 1
    assert await rig.world.sent(boxes) == [2, 2]


async def test_a_frozen_server_costs_its_time_only(server: Server) -> None:
    async with living(server.url) as life:
        async with life.rig.running(db=life.db):
            await life.rig.until(after(7))
            server.freeze()
            life.rig.clock.advance(600)
            with pytest.raises(DatabaseUnavailable, match="no answer"):
                await life.db.fetchval("SELECT 1")
            server.thaw()
            await life.rig.until(after(9.5))
        await life.check()


async def test_a_server_that_becomes_read_only_for_a_while_is_waited_for(
    server: Server, log: list[dict[str, Any]]
) -> None:
    async with living(server.url) as life:
        async with life.rig.running({"worker.lease_seconds": 600}, db=life.db):
            await life.rig.until(after(7))
            await server.refuse_writes()
            life.rig.clock.advance(600)
            await asyncio.wait_for(told(log, "read-only"), PATIENCE)
            await writable_again(server)
            await life.rig.until(after(9.5))
        await life.check()


@pytest.mark.parametrize("statement", ["reserve_sends", "settle_sends"])
async def test_a_commit_whose_answer_is_lost_counts_once(server: Server, statement: str) -> None:
    proxy = LossyProxy(server.port)
    async with proxy.serving():
        url = server.url.replace(str(server.port), str(proxy.port))
        async with living(url, answers_within=20.0) as life:  # nobody here waits for a silent server
            async with life.rig.running(db=life.db):
                await life.rig.until(after(7))
                proxy.loses, proxy.times = statement, 3
                await life.db.expire_connections()  # those that have prepared it already
                await life.rig.until(after(9.5))
            assert proxy.lost == 3
            assert [row["attempts"] for row in await life.rig.world.days(life.boxes)] == [life.quota] * 3
            await life.check()


async def test_a_pool_of_two_of_which_others_hold_one_suffices(server: Server) -> None:
    async with living(server.url, pool_size=2) as life:
        async with life.rig.running(db=life.db), life.db.acquire():
            await life.rig.until(after(9.5))
        await life.check()


async def test_an_exhausted_pool_is_waited_for(server: Server, log: list[dict[str, Any]]) -> None:
    async with living(server.url, pool_size=1) as life:
        async with life.rig.running(db=life.db):
            await life.rig.until(after(7))
            async with life.db.acquire():
                life.rig.clock.advance(600)
                await asyncio.wait_for(told(log, "no database connection became free"), PATIENCE)
            await life.rig.until(after(9.5))
        await life.check()


@pytest.mark.ha
@needs_pgbouncer
async def test_a_day_through_pgbouncer_in_transaction_mode(server: Server) -> None:
    async with pgbouncer(server, pool_size=3) as url, living(url, quota=8, end_hour=22) as life:
        async with life.rig.running(db=life.db):
            await life.rig.until(after(22.5))
        await life.check()


class FailingOver(Database):
    """Another server answers when the first accounts are read, and the slots are claimed anew by then."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def fetch(self, query: str, *args: object, within: float | None = None) -> list[asyncpg.Record]:
        if self.meanwhile is not None and "accounts_of" in query:
            renew, self.meanwhile = self.meanwhile, None
            self.era += 1
            await renew()
        return await super().fetch(query, *args, within=within)


async def told(log: list[dict[str, Any]], words: str) -> None:
    """Return when a part has said so."""
    while not any(words in str(event.get("why")) for event in log):  # noqa: ASYNC110  a log has no event to wait on
        await asyncio.sleep(0.01)  # real time: the trouble is real


async def writable_again(server: Server) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
