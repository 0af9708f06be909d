"""Mail servers that repeat whatever they were told in secret, in every form they can think of."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, quote_plus

from tests.mail.loopback import serving


class EchoServer:
    """SMTP or IMAP under TLS. Its greeting and its refusals hold all secrets it has ever heard; nobody is let in."""

    def __init__(self, protocol: str, context: ssl.SSLContext) -> None:
        self.heard: list[str] = []
        self.port = 0
        self._is_smtp = protocol == "smtp"
        self._context = context

    @asynccontextmanager
    async def running(self) -> AsyncIterator["EchoServer"]:
        async with serving(self._smtp if self._is_smtp else self._imap, context=self._context) as self.port:
            yield self

    def _echo(self) -> list[str]:
        """The last secret, in all forms, a line each."""
        return [form for secret in self.heard[-1:] for form in echoes(secret)]

    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _say(writer, "220 " + " ".join(self._echo())[:400])
        while True:
            line = await _line(reader)
            if line.startswith("EHLO"):
                await _say(writer, "250-echo.test\r\n250 AUTH PLAIN XOAUTH2")
            elif line.startswith("AUTH"):
                self.heard.append(line.rpartition(" ")[2])
                lines = self._echo()
                await _say(writer, "\r\n".join([*(f"535-5.7.8 {one}" for one in lines), f"535 5.7.8 no: {line}"]))
            else:
                await _say(writer, "221 bye" if line == "QUIT" else "502 what?")

    async def _imap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _say(
            writer, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR] " + " ".join(self._echo())[:400]
        )
        while True:
            tag, _, line = (await _line(reader)).partition(" ")
            if line.startswith("AUTHENTICATE"):
                self.heard.append(line.rpartition(" ")[2])
                texts = [f"* OK {one}" for one in self._echo()]
                await _say(writer, "\r\n".join([*texts, f"{tag} NO [AUTHENTICATIONFAILED] {line} {self._echo()[1]}"]))
            else:
                await _say(writer, f"{tag} OK done")


def echoes(coded: str) -> list[str]:
    """A SASL response as it came, and what is in it as a careless server might put it."""
    opened = base64.b64decode(coded).decode()
    last = opened.strip("\x01").rpartition("\x00")[2].rpartition("auth=Bearer ")[2]
    alone = base64.b64encode(last.encode()).decode()
    return [coded, last, alone, quote(last, safe=""), quote_plus(last), repr(last), last[::-1], last.upper(), last[:9]]


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n")).decode().rstrip("\r\n")


async def _say(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(text.encode() + b"\r\n")
    await writer.drain()
