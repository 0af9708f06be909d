"""A worker among servers that misbehave at every stage, at once: mailboxes elsewhere are served as if they were not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from random import Random
from typing import Any

import pytest

from tests.daemon.rig import BEGIN, NoVisits, after
from tests.daemon.served_clock import ServedClock
from tests.daemon.world import World
from tests.mail.certificates import Authority, make_authority
from tests.mail.fake_imap import FakeImap
from tests.mail.fake_imap import Fault as ImapFault
from tests.mail.fault_smtp import Action, Fault, FaultServer, Stage
from tests.mail.test_imap_faults import ANSWERS, MODERN
from tests.mail.test_imap_faults import STAGES as IMAP_STAGES
from warmupd.config import Config
from warmupd.daemon import engager, permits
from warmupd.daemon.app import Worker
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence

SPEED = 300.0
QUOTA = 4
MET = "SELECT bool_and(sent = quota) AND count(*) = 6 FROM mailbox_days WHERE mailbox_id = ANY ($1)"
VISITED = "SELECT bool_and(last_visit_at IS NOT NULL) FROM mailbox_visits WHERE mailbox_id = ANY ($1)"
SMTP_STAGES: Sequence[Stage] = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot", "quit")
SMTP_FAULTS: Sequence[Sequence[Action]] = (  # so many at once as a busy machine can bear
    ("hang", "drop", "longline"),
    ("drip", "rst", "garbage"),
    ("half", "endless"),
)
WAITS = (ImapFault.HANG, ImapFault.DRIP, ImapFault.VAST_LITERAL, ImapFault.LYING_LITERAL, ImapFault.HUGE_LITERAL)
ENDS = tuple(fault for fault in ImapFault if fault not in WAITS)
long = partial(pytest.param, marks=pytest.mark.long)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long does so at 300 times the speed; no time-out of a conversation ends before the day does."""
    monkeypatch.setattr(permits, "HANGING", 0.3)
    monkeypatch.setattr(engager, "POLL_LEAST", 0.05)


class House:
    """Mailboxes, and a worker with two permits."""

    def __init__(self, db: Database, authority: Authority) -> None:
        self.db = db
        self.authority = authority
        self.key = Vault.new_key()
        self.world = World(db, Vault([self.key]))
        self.clock = ServedClock(BEGIN.replace(minute=50), SPEED)

    @asynccontextmanager
    async def working(self, own: Mapping[str, object] | None = None, *, visits: bool) -> AsyncIterator[Worker]:
        """Ended as a power cut does: what hangs is not waited for."""
        config = Config.isolated(
            {
                "secrets.keys": [self.key],
                "security.allow_hosts": ["127.0.0.0/8"],
                "security.ca_file": str(self.authority.ca_file),
                "sending.max_concurrent": 2,
                "sending.command_timeout_seconds": 300,
                "sending.connect_timeout_seconds": 300,
                "quota.variance": 0.0,
                "engagement.visits_per_day": 24,
                **(own or {}),
            }
        )
        worker = Worker(config, self.db, self.clock, rng=Random(1))
        if not visits:
            worker.engager = NoVisits()  # type: ignore[assignment]  # a model of it
        running = asyncio.create_task(worker.run(asyncio.Event()))
        try:
            async with self.clock.running(lambda: self.db.fetchval("SELECT 1")):
                yield worker
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def until(self, query: str, boxes: Sequence[int], hour: float) -> bool:
        """Whether `query` comes true for these mailboxes before that hour."""
        while not await self.db.fetchval(query, boxes):
            if self.clock.now() > after(hour):
                return False
            await asyncio.sleep(0.1)  # in real time: the servers live in it
        return True


Build = Callable[[], Awaitable[House]]


@pytest.fixture
async def build(more_databases: Callable[[], str], authority: Authority) -> AsyncIterator[Build]:
    """Houses on databases of their own, whose time begins when they are built."""
    async with AsyncExitStack() as stack:

        async def build() -> House:
            opened = await Database.open(more_databases(), pool_size=2, application_name="tests")
            db = await stack.enter_async_context(opened)
            await keep_evidence(db)
            return House(db, authority)

        yield build


@pytest.mark.parametrize("actions", [SMTP_FAULTS[0], *map(long, SMTP_FAULTS[1:])], ids="-".join)
async def test_sends_elsewhere_are_on_time(build: Build, actions: Sequence[Action]) -> None:
    """A house for each fault, some at once: it is waiting."""
    on_time = await asyncio.gather(*(sends_beside(build, action) for action in actions))
    assert [action for action, so in zip(actions, on_time, strict=True) if not so] == []


async def sends_beside(build: Build, action: Action) -> bool:
    house = await build()
    async with AsyncExitStack() as stack:
        ports: dict[str, int] = {}
        for number, stage in enumerate((None, *SMTP_STAGES), 1):
            server = FaultServer(
                context=house.authority.server_context(),
                host=f"127.0.0.{number}",
                users=house.world.passwords,
                faults={} if stage is None else {stage: Fault(action)},
            )
            await stack.enter_async_context(server.running())
            ports[server.host] = server.port
        boxes = await enrol(house, ports, smtp=True)
        async with house.working(visits=False):
            return await house.until(MET, boxes, hour=7.1)


@pytest.mark.parametrize("faults", [WAITS, long(ENDS)], ids=["waits", "ends"])
async def test_visits_elsewhere_are_on_time(build: Build, faults: Sequence[ImapFault]) -> None:
    """A house for each fault, a few at once: it is waiting."""
    room = asyncio.Semaphore(3)

    async def on_time_beside(fault: ImapFault) -> bool:
        async with room:
            return await visits_beside(build, fault)

    on_time = await asyncio.gather(*map(on_time_beside, faults))
    assert [fault for fault, so in zip(faults, on_time, strict=True) if not so] == []


async def visits_beside(build: Build, fault: ImapFault) -> bool:
    house = await build()
    async with AsyncExitStack() as stack:
        ports: dict[str, int] = {}
        for number, stage in enumerate(("", *IMAP_STAGES), 1):
            server = FakeImap(
                context=house.authority.server_context(),
                host=f"127.0.0.{number}",
                greeting=fault if stage == "greeting" else "* OK ready",
                capabilities=f"{MODERN} NAMESPACE AUTH=PLAIN",
                answers={**ANSWERS, **({stage: fault} if stage else {})},
            )
            await stack.enter_async_context(server.running())
            ports[server._host] = server.port
        boxes = await enrol(house, ports, smtp=False)
        async with house.working(visits=True):
            return await house.until(VISITED, boxes, hour=7.5)


async def test_full_lane_keeps_no_visit_elsewhere_waiting(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "HANGING", 1e9)  # it is the lane that keeps a permit free
    house = await build()
    async with AsyncExitStack() as stack:
        ports: dict[str, int] = {}
        for number, answers in ((1, ANSWERS), (2, {**ANSWERS, "LIST": ImapFault.HANG})):
            server = FakeImap(context=house.authority.server_context(), host=f"127.0.0.{number}", answers=answers)
            await stack.enter_async_context(server.running())
            ports[server._host] = server.port
        boxes = await enrol(house, ports, smtp=False)
        async with house.working({"sending.per_host_concurrent": 1}, visits=True):
            assert await house.until(VISITED, boxes, hour=8.5)


async def enrol(house: House, ports: Mapping[str, int], *, smtp: bool) -> list[int]:
    """Six mailboxes with the first server, which is well, and two with each other; the ids of the six."""
    well: list[int] = []
    for host, port in ports.items():
        place: dict[str, Any] = {"smtp_port": port} if smtp else {"imap_port": port}
        boxes = await house.world.enrol(2 if well else 6, quota=QUOTA if smtp else 0, end_hour=7, host=host, **place)
        well = well or boxes
    if not smtp:
        await house.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", BEGIN)  # all at once
        await house.db.execute(
            "UPDATE mailbox_visits SET next_visit_at = $1 WHERE mailbox_id = ANY ($2)", after(5.9), well
        )
    return well
