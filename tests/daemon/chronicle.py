"""What really happened in a rig's days, to hold against what was foretold: sends, denials, and what anybody did."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tests.daemon.rig import Rig
from warmupd.core.reply import SmtpReply
from warmupd.daemon.denials import Denials
from warmupd.mail.account import Account
from warmupd.mail.message import Message
from warmupd.mail.smtp import MayProceed
from warmupd.store import host_rests, states
from warmupd.store.database import Database
from warmupd.store.jobs import Denied


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something that may turn a mailbox's day another way. Without a mailbox and a user it concerns everybody."""

    at: dt.datetime
    what: str
    mailbox_id: int | None = None
    user: str | None = None


@dataclass(kw_only=True)
class Delivery:
    """One try to send."""

    began: dt.datetime
    mailbox_id: int
    ended: dt.datetime | None = None
    accepted: bool = False


class Chronicle:
    """Listens to a rig's server and its workers."""

    def __init__(self, rig: Rig, patch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.deliveries: list[Delivery] = []
        self.happenings: list[Happening] = []
        self.under_way: Counter[int] = Counter()
        self._listen_to_server(patch)
        self._listen_to_denials(patch)

    def note(self, what: str, mailbox_id: int | None = None, *, user: str | None = None) -> None:
        """Something happens now."""
        self.happenings.append(Happening(at=self.rig.clock.now(), what=what, mailbox_id=mailbox_id, user=user))

    def next_send(self, mailbox_id: int, after: dt.datetime) -> dt.datetime | None:
        """When the mailbox's first delivery after that moment began."""
        return next((d.began for d in self.deliveries if d.mailbox_id == mailbox_id and d.began > after), None)

    def accepted(self, mailbox_id: int, since: dt.datetime) -> int:
        """How many of the mailbox's messages were accepted since then, as far as it was told so by now."""
        return sum(
            d.accepted and d.ended is not None and since <= d.began
            for d in self.deliveries
            if d.mailbox_id == mailbox_id
        )

    async def _note_of_host(self, what: str, host: str) -> None:
        for row in await self.rig.db.fetch("SELECT id FROM mailboxes WHERE smtp_server(mailboxes) = $1", host):
            self.note(what, row["id"])

    def _listen_to_server(self, patch: pytest.MonkeyPatch) -> None:
        server, clock = self.rig.server, self.rig.clock
        deliver = server.deliver

        async def listened(
            account: Account, message: Message, *, may_proceed: MayProceed, login: Any = None
        ) -> SmtpReply:
            delivery = Delivery(began=clock.now(), mailbox_id=account.mailbox_id)
            self.deliveries.append(delivery)
            self.under_way[account.mailbox_id] += 1
            try:
                reply = await deliver(account, message, may_proceed=may_proceed, login=login)
                delivery.ended, delivery.accepted = clock.now(), reply.accepted
                if not reply.accepted:
                    self.note("refused", account.mailbox_id)
                    self.note("came back")  # it counts no longer against a recipient without proof
                return reply
            finally:
                self.under_way[account.mailbox_id] = max(0, self.under_way[account.mailbox_id] - 1)

        patch.setattr(server, "deliver", listened)

    def _listen_to_denials(self, patch: pytest.MonkeyPatch) -> None:
        heed = Denials.heed

        async def listened(denials: Denials, denied: Denied) -> None:
            request = denied.request
            if denied.why.startswith("global"):
                self.note(denied.why)
            elif denied.why.startswith("user"):
                row = await self.rig.db.fetchrow("SELECT user_id FROM mailboxes WHERE id = $1", request.mailbox_id)
                assert row is not None
                self.note(denied.why, user=str(row["user_id"]))
            else:
                self.note(denied.why, request.mailbox_id)
            await heed(denials, denied)

        patch.setattr(Denials, "heed", listened)
        note_host_rest, end_host_rest = host_rests.note_host_rest, host_rests.end_host_rest

        async def shut(db: object, worker: object, host: str, rest: object) -> None:
            await self._note_of_host("host left alone", host)
            await note_host_rest(db, worker, host, rest)  # type: ignore[arg-type]  # handed on

        async def reached(db: Database, worker: UUID, host: str, *, at: dt.datetime) -> None:
            await self._note_of_host("host reached", host)
            await end_host_rest(db, worker, host, at=at)

        end_suspensions = states.end_suspensions

        async def ended(db: Database, *, at: dt.datetime) -> list[int]:
            back = await end_suspensions(db, at=at)
            if back:
                self.note("pool changed")
            return back

        patch.setattr(states, "end_suspensions", ended)
        patch.setattr(host_rests, "note_host_rest", shut)
        patch.setattr(host_rests, "end_host_rest", reached)
