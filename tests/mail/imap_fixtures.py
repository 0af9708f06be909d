"""What the IMAP tests have in common: accounts, patience, a recogniser, an oracle."""

import datetime as dt
import imaplib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

from warmupd.core.placement import FolderRole
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.found import Found
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapTimeouts
from warmupd.mail.message_id import MessageToken
from warmupd.mail.visit import Visit
from warmupd.sandbox.imapserver import ImapServer
from warmupd.sandbox.mailstore import MailStore

ADDRESS = "ann@one.test"
PASSWORD = 'correct "horse" \\ battery'
LOOPBACK = HostPolicy(allow_hosts=("127.0.0.0/8",))
IMPATIENT = ImapTimeouts(connect=1.5, login=1.0, command=1.0, logout=1.0)  # a busy machine is none that hangs
DAY = dt.date(2026, 3, 1)
SINCE = dt.date(2026, 1, 1)

Open = Callable[..., AbstractAsyncContextManager[Visit]]


def account_at(
    port: int, *, security: Security = Security.TLS, password: str = PASSWORD, junk_folder: str = "", host: str = ""
) -> Account:
    endpoint = Endpoint(host=host or "localhost", port=port, security=security, username=ADDRESS, password=password)
    return Account(
        mailbox_id=1, address=ADDRESS, display_name="Ann", smtp=endpoint, imap=endpoint, junk_folder=junk_folder
    )


@asynccontextmanager
async def real_server(tls: ssl.SSLContext) -> AsyncIterator[tuple[int, MailStore]]:
    """A real IMAP server with one account: its port, and its store to plant mail in."""
    store = MailStore()
    await store.open([ADDRESS])
    accounts = {ADDRESS: PASSWORD}
    server = ImapServer(store, accounts=accounts, tls=tls, note=lambda entry: None, connections=count())
    await server.start()
    try:
        yield server.port, store
    finally:
        await server.stop()


def recognise(text: str) -> MessageToken | None:
    """Ours is what has `warm-N@` in it."""
    match = re.search(r"warm-(\d+)@", text)
    return MessageToken(DAY, int(match[1])) if match else None


def letter(
    number: int | None = None, *, sender: str = "bob@two.test", subject: str = "Lunch", extra: str = ""
) -> bytes:
    """A message of ours, or somebody else's when it has no number."""
    message_id = f"<warm-{number}@two.test>" if number is not None else "<private@elsewhere.test>"
    head = f"From: Bob <{sender}>\r\nTo: {ADDRESS}\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n{extra}"
    return f"{head}\r\nSee you.\r\n".encode()


def contents(port: int, context: ssl.SSLContext) -> dict[str, list[tuple[bytes, bytes]]]:
    """Every folder and message (UID, flags, octets) as another IMAP client, imaplib, sees them."""
    client = imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
    try:
        client.login(ADDRESS, PASSWORD)
        found = {}
        for line in client.list()[1]:
            attributes, _, name = line.decode().partition(' "/" ') if isinstance(line, bytes) else ("", "", "")
            if not name or "\\Noselect" in attributes:
                continue
            client.select(name, readonly=True)
            _, answer = client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
            found[name] = [(part[0], part[1]) for part in answer if isinstance(part, tuple)]
        return found
    finally:
        client.logout()


def numbers(found: list[Found]) -> list[int]:
    return [message.token.job_id for message in found]


def ours(*, uid: int = 5, folder: str = "Junk", role: FolderRole = FolderRole.JUNK, uidvalidity: int = 7) -> Found:
    return Found(
        folder=folder, role=role, uidvalidity=uidvalidity, uid=uid, token=MessageToken(DAY, uid),
        message_id=f"<warm-{uid}@two.test>", in_reply_to="", references=(), subject="", sender="", flags=frozenset(),
    )  # fmt: skip
