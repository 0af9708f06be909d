"""What a run is about: a database of its own with mailboxes, their mail server, and the workers' configuration."""

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

from tests.chaos.fleet_time import FleetTime, give_clock, set_clock
from tests.chaos.mailserver import MailServer
from tests.chaos.safeguards import take_out_of_database
from tests.chaos.scenario import MAILBOXES, SINKS, USERS, Scenario
from tests.chaos.worker import WorkerSpec
from tests.daemon.world import World
from tests.ha.servers import Pair, Server
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence
from warmupd.store.fleet import adopt_slot_count
from warmupd.store.migrate import migrate
from warmupd.store.partitions import make_partitions

TEMPLATE = "template_chaos"
LOOPBACK = "127.0.0.1"
LEFT = ("warmup_jobs", "reservations_seen", "mailbox_days", "workers", "slots", "settings", "proofs", "sightings")


async def make_template(server: Server | Pair) -> None:
    """A migrated database on the campaign's time, for every run to begin with."""
    primary = server if isinstance(server, Server) else server.primary
    await primary.say(f"CREATE DATABASE {TEMPLATE}")
    async with await Database.open(_named(server.url, TEMPLATE), pool_size=1, application_name="chaos") as db:
        await migrate(db)
        await keep_evidence(db)
        await give_clock(db)


class ChaosWorld:
    """Everything of one run but its workers. `url` leads to its database."""

    def __init__(self, server: Server | Pair, scenario: Scenario, folder: Path, without: str) -> None:
        self.server = server
        self.scenario = scenario
        self.folder = folder
        self.without = without
        self.name = f"run_{scenario.seed}"
        self.url = _named(server.url, self.name)
        self.key = _key(scenario.seed)
        self._started = 0

    async def open(self, context: Any) -> None:
        primary = self.server if isinstance(self.server, Server) else self.server.primary
        await primary.say(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        await primary.say(f"CREATE DATABASE {self.name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        self.db = await Database.open(
            self.url, pool_size=6, application_name="chaos", connect_timeout=2.0, command_timeout=5.0
        )
        if self.without:
            await take_out_of_database(self.db, self.without)
        await make_partitions(self.db, self.scenario.start.date())
        await adopt_slot_count(self.db, self.scenario.slots)
        self.world = World(self.db, Vault([self.key]))
        boxes = await self._enrol()
        self.trusted = frozenset(box for box, proven in zip(boxes, self.scenario.proven, strict=True) if proven)
        self.sinks = frozenset([*self.world.passwords][:SINKS])
        self.mail = MailServer(
            context, self.folder / "mail", self.world.passwords, sinks=self.sinks, seed=self.scenario.seed
        )
        self.mail.start()
        ports = {"smtp_port": self.mail.smtp_port, "imap_port": self.mail.imap_port}
        await self.world.change(boxes, smtp_host=LOOPBACK, imap_host=LOOPBACK, **ports)

    async def begin(self) -> None:
        """The run's time begins."""
        self.time = FleetTime.beginning(self.scenario.start, self.scenario.speed)
        await set_clock(self.db, self.time)

    async def close_mail(self) -> None:
        """No more mail; its record stays."""
        await asyncio.to_thread(self.mail.stop)

    async def leave(self) -> None:
        """The rows, for who wants to know what went wrong."""
        async with self.db.acquire() as connection:
            for table in LEFT:
                file = self.folder / f"{table}.csv"
                await connection.copy_from_query(f"SELECT * FROM {table}", output=file, format="csv", header=True)

    async def close(self, *, drop: bool) -> None:
        await self.db.close()
        if drop and isinstance(self.server, Server):
            await self.server.say(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def spec(self, worker_id: str) -> WorkerSpec:
        """For the next worker."""
        number, self._started = self._started, self._started + 1
        return WorkerSpec(
            overrides={**self.config(), "worker.id": worker_id, "worker.count": self.scenario.slots}
            if worker_id != "auto"
            else self.config(),
            time=self.time,
            lease=self.scenario.lease * self.scenario.pace,
            skew=self.scenario.skews[number % len(self.scenario.skews)],
            seed=self.scenario.seed * 1000 + number,
            log=self.folder / f"worker-{number}.log",
            without=self.without,
        )

    def config(self) -> dict[str, object]:
        """Of every worker."""
        start_hour, end_hour = self.scenario.hours
        return {
            "database.url": self.url,
            "database.pool_size": 4,
            "secrets.keys": [self.key],
            "security.allow_hosts": [LOOPBACK],
            "security.ca_file": str(self.mail.ca_file),
            "quota.variance": 0.0,
            "window.start_hour": start_hour,
            "window.end_hour": end_hour,
            "spacing.same_mailbox_min_minutes": 0.75,
            "spacing.same_mailbox_max_minutes": 1.0,
            "sending.connect_timeout_seconds": 1.5,
            "sending.command_timeout_seconds": 0.7,
            "sending.body_timeout_seconds": 0.5,
            "sending.reply_timeout_seconds": 0.8,
            "engagement.reply_rate": 0.5,
            "engagement.reply_after_min_minutes": 0,
            "engagement.reply_after_max_minutes": 1,
            **self.scenario.limits,
        }

    async def _enrol(self) -> list[int]:
        boxes: list[int] = []
        users = [await self.world.user("UTC") for _ in range(USERS)]
        for number in range(MAILBOXES):
            boxes += await self.world.enrol(
                1,
                users[number % USERS],
                quota=self.scenario.quotas[number],
                proven=self.scenario.proven[number],
                ramp_days=1,
            )
        return boxes


def _named(url: str, database: str) -> str:
    return f"{url.rpartition('/')[0]}/{database}"


def _key(seed: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(f"chaos {seed}".encode()).digest()).decode().rstrip("=")
