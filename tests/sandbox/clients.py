"""Clients of the sandbox mail server: the standard library's, over real TLS."""

import asyncio
import imaplib
import smtplib
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from warmupd.sandbox.mailserver import SandboxMailServer, SandboxProcess

T = TypeVar("T")

ANNA, BERT, CARL = "anna@north.test", "bert@south.test", "carl@south.test"
ACCOUNTS = {ANNA: "pw-anna", BERT: "pw-bert", CARL: "pw-carl"}
Server = SandboxMailServer | SandboxProcess


def letter(message_id: str = "<one@north.test>", body: str = "Hello") -> bytes:
    head = f"Message-ID: {message_id}\r\nX-Warmupd: token-1\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: {ANNA}"
    return f"{head}\r\nTo: {BERT}\r\n\r\n{body}\r\n".encode()


def trust(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def smtp(server: Server) -> smtplib.SMTP:
    """A client of ANNA, logged in."""
    client = smtplib.SMTP("127.0.0.1", server.smtp_port, local_hostname="client.test", timeout=10)
    try:
        client.starttls(context=trust(server))
        client.login(ANNA, ACCOUNTS[ANNA])
    except smtplib.SMTPException:
        client.close()
        raise
    return client


def submit(server: Server, content: bytes, recipient: str = BERT) -> tuple[int, bytes]:
    """Submit as ANNA; the reply that decided."""
    with smtp(server) as client:
        client.mail(ANNA)
        code, text = client.rcpt(recipient)
        return client.data(content) if code == 250 else (code, text)


def imap(server: Server, address: str = BERT, password: str | None = None) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", server.imap_port, ssl_context=trust(server), timeout=10)
    try:
        client.login(address, ACCOUNTS[address.lower()] if password is None else password)
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    return client


def contents(server: Server, folder: str = "INBOX") -> list[bytes]:
    """The messages in BERT's folder."""
    with imap(server) as client:
        client.select(folder)
        _, answer = client.uid("fetch", "1:*", "(BODY.PEEK[])")
        return [part[1] for part in answer if isinstance(part, tuple)]


async def away(call: Callable[..., T], *arguments: Any) -> T:
    """The blocking clients run in a thread: the server needs this one."""
    return await asyncio.to_thread(call, *arguments)
