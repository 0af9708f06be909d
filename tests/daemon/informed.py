"""Owners and operators who are told by a real relay and a real web server, on a clock that the test drives."""

import datetime as dt
import email
import json
from email.message import EmailMessage
from email.policy import default
from random import Random
from typing import Any
from uuid import UUID

from tests.daemon.rig import BEGIN
from tests.daemon.world import World
from tests.mail.certificates import Authority
from tests.mail.fault_smtp import FaultServer
from tests.mail.hook_server import HookServer
from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.core.mailbox import MailboxState
from warmupd.daemon.events import Events
from warmupd.daemon.ground import Ground
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.notif_post import OwnWebhook, seal_webhook
from warmupd.daemon.notifying import Notifying
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.notice_settings import load_notice_settings
from warmupd.store.states import change_state

SECRET = "wus_hush-hush"


class Informed:
    """A house whose notices come to `smtp` and `hook`."""

    def __init__(self, db: Database, authority: Authority, smtp: FaultServer, hook: HookServer) -> None:
        self.db, self.smtp, self.hook = db, smtp, hook
        self.clock = VirtualClock(BEGIN)
        self.key = Vault.new_key()
        self.vault = Vault([self.key])
        self.world = World(db, self.vault)
        self.ca_file = authority.ca_file
        self.ground = Ground(db=db, clock=self.clock, events=Events(Metrics(self.clock)), rng=Random(1))
        self.notifying = self.worker()

    def config(self, **overrides: object) -> Config:
        return Config.isolated(
            {
                "notifications.smtp_host": "localhost",
                "notifications.smtp_port": self.smtp.port,
                "notifications.sender": "warmupd@house.test",
                "security.ca_file": str(self.ca_file),
                "security.allow_hosts": ["127.0.0.1"],
                "http.public_url": "https://house.test",
                **overrides,
            }
        )

    def worker(self, **overrides: object) -> Notifying:
        return Notifying(self.ground, self.config(**overrides), lambda: self.vault, worker="w")

    async def owner(self, *, confirmed: bool = True, hook: str = "") -> UUID:
        """A user; with `hook` (JSON or SLACK) one with a webhook."""
        user = await self.world.user()
        if confirmed:
            await self.db.execute("UPDATE users SET email_confirmed_at = now() WHERE id = $1", user)
        if hook:
            settings = await load_notice_settings(self.db, user)
            own = OwnWebhook(url=self.hook.url, secret=SECRET)
            await self.db.execute(
                "UPDATE notice_settings SET webhook = $2, webhook_form = $3 WHERE user_id = $1",
                user,
                seal_webhook(self.vault, own, settings.id),
                hook,
            )
        return user

    async def fail(self, *boxes: int, state: MailboxState = MailboxState.AUTH_FAILED) -> None:
        for box in boxes:
            await change_state(
                self.db, box, state, actor="daemon", reason="535 5.7.8 bad credentials", at=self.clock.now()
            )

    async def live(self, seconds: float, *, step: float = 30.0) -> None:
        """So long on, with a round each step."""
        end = self.clock.now() + dt.timedelta(seconds=seconds)
        while self.clock.now() < end:
            self.clock.advance(step)
            while await self.notifying.round():
                pass

    @property
    def mails(self) -> list[EmailMessage]:
        return [email.message_from_bytes(one.content, policy=default) for one in self.smtp.taken]

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(came.body) for came in self.hook.came]

    async def states(self) -> list[tuple[str, int, str]]:
        """State, tries and error of each delivery."""
        rows = await self.db.fetch("SELECT * FROM notice_deliveries ORDER BY due_at, channel")
        return [
            (
                "waiting" if row["ended_at"] is None else "delivered" if row["delivered"] else "failed",
                row["tries"],
                row["error"],
            )
            for row in rows
        ]
