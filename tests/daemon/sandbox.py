"""The real sandbox mail server under a rig: whole paths over SMTP and IMAP, in virtual time."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from tests.daemon.rig import Rig
from warmupd.mail.account import Account
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.message_id import MessageKey
from warmupd.mail.tls import client_context
from warmupd.mail.visit import Visit, open_visit
from warmupd.sandbox.mailserver import SandboxMailServer

LOOPBACK = "127.0.0.1"


class Post:
    """A server, and the configuration by which a worker reaches it."""

    def __init__(self, rig: Rig, server: SandboxMailServer) -> None:
        self.rig = rig
        self.server = server
        self.config: Mapping[str, object] = {
            "security.allow_hosts": [LOOPBACK],
            "security.ca_file": str(server.ca_file),
            "engagement.reply_rate": 0.0,
            "engagement.star_rate": 0.0,
        }

    async def messages(self, address: str, folder: str) -> list[EmailMessage]:
        """What lies in a folder, oldest first."""
        mailbox = await self.server._store._mailbox(address, folder)
        found = [message_from_bytes(bytes(m._content), policy=policy.default) async for m in mailbox.messages()]  # type: ignore[arg-type]
        return [message for message in found if isinstance(message, EmailMessage)]

    async def count(self, folder: str) -> int:
        """Messages in all folders of this name."""
        return sum(states[folder].messages for states in (await self.server.snapshot()).values() if folder in states)

    @asynccontextmanager
    async def as_owner(self, mailbox_id: int) -> AsyncIterator[Visit]:
        """The mailbox's owner at the same mailbox, with another client."""
        world, worker = self.rig.world, self.rig.worker
        assert worker is not None
        row = await world.mailbox(mailbox_id)
        account = Account(
            mailbox_id=mailbox_id,
            address=row["address"],
            display_name="",
            smtp=_endpoint(row, world.passwords[row["address"]]),
            imap=_endpoint(row, world.passwords[row["address"]]),
        )
        async with open_visit(
            account,
            policy=HostPolicy(allow_hosts=(LOOPBACK,)),
            context=client_context(str(self.server.ca_file)),
            recognise=MessageKey(world.vault).recognise,
        ) as visit:
            yield visit


@asynccontextmanager
async def served(rig: Rig, boxes: Sequence[int], **shares: Any) -> AsyncIterator[Post]:
    """A server with an account for every mailbox of the world, which from now on lives there."""
    async with SandboxMailServer(accounts=rig.world.passwords, **shares) as server:
        await rig.world.change(boxes, smtp_host=LOOPBACK, imap_host=LOOPBACK)
        await rig.world.change(boxes, smtp_port=server.smtp_port, imap_port=server.imap_port)
        yield Post(rig, server)


def _endpoint(row: Any, password: str) -> Any:
    from warmupd.mail.account import Endpoint, Security

    return Endpoint(
        host=row["imap_host"],
        port=row["imap_port"],
        security=Security(row["imap_security"]),
        username=row["imap_username"],
        password=password,
    )
