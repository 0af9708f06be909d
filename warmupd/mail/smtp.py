"""`deliver`: hand one message to its sender's mail server, and know which reply decided and in which phase it came.

The conversation is driven one level below aiosmtplib's client: there a connection lost before the body and one lost
after the final dot raise the same exception, and only the first message may be sent again.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiosmtplib import SMTPException

from warmupd.core.reply import Phase, SmtpReply
from warmupd.mail.account import Account
from warmupd.mail.hosts import ForbiddenHost, HostPolicy, UnresolvedHost
from warmupd.mail.smtp_conversation import LOCAL_HOSTNAME, Conversation, Manner, MayProceed, Message, Timeouts
from warmupd.mail.smtp_line import Line, Stopped, reply_from_error, reply_from_response

__all__ = ["MayProceed", "Message", "SmtpLogin", "SmtpSender", "Timeouts"]


class SmtpLogin:
    """A conversation that has come as far as it can without a message: logged in, or at its end with a reply."""

    def __init__(
        self, talk: Conversation, part: Callable[[Conversation], None], reply: SmtpReply | None = None
    ) -> None:
        self.reply = reply
        self._talk = talk
        self._part = part
        self._is_over = reply is not None  # or somebody else's: who delivers parts by himself

    @property
    def is_in(self) -> bool:
        """Whether the server has let us in and still waits for what we say."""
        return self.reply is None and self._talk.line.is_quiet

    @property
    def is_sound(self) -> bool:
        """Whether what it has come to still holds."""
        return self.reply is not None or self.is_in

    def take(self) -> Conversation:
        """The conversation, for a message: whoever takes it ends it."""
        self._is_over = True
        return self._talk

    def end(self) -> None:
        """Leave, unless it was taken: no message follows."""
        if not self._is_over:
            self._is_over = True
            self._talk.resume()
            self._part(self._talk)
            self._talk.end()


class SmtpSender:
    """Delivers messages, each over a fresh connection. `close` it when no more will follow, for its farewells."""

    def __init__(
        self,
        *,
        context: ssl.SSLContext,
        policy: HostPolicy,
        timeouts: Timeouts | None = None,
        source_address: str = "",
        local_hostname: str = LOCAL_HOSTNAME,
        observe: Callable[[Phase, float], None] | None = None,
    ) -> None:
        """`source_address` is a local IP address to connect from, "" for any; `observe` hears each phase's seconds."""
        self._manner = Manner(
            context=context,
            policy=policy,
            timeouts=timeouts or Timeouts(),
            source_address=source_address,
            local_hostname=local_hostname,
            observe=observe,
        )
        self._leaving: set[Line] = set()

    async def log_in(self, account: Account) -> SmtpLogin:
        """Connect and log in, for a message that `deliver` is given later. Every ending is a login."""
        talk = Conversation(self._manner, account.smtp)
        try:
            async with asyncio.timeout(None) as talk.limit:
                await talk.open()
                await talk.login()
        except _ENDINGS as error:
            reply = reply_from_error(talk.phase, error, account.smtp, seconds=talk.allowed)
            self._part(talk)
            talk.end()
            return SmtpLogin(talk, self._part, reply)
        except BaseException:
            talk.line.hang_up()
            talk.end()
            raise
        talk.rest()
        return SmtpLogin(talk, self._part)

    async def deliver(
        self, account: Account, message: Message, *, may_proceed: MayProceed, login: Any = None
    ) -> SmtpReply:
        """Submit `message`. Every ending that a server or a network brings about is a reply, never an exception.

        A `login` of that account saves another one; one that failed is the reply.
        `may_proceed` is asked right before MAIL and right before the first byte of the BODY; the trouble it answers
        with stops the delivery there. Raises ValueError for an envelope address that no command line can carry.
        """
        for address in (message.sender, message.recipient):
            if not address or any(char <= " " or char in "<>\x7f" for char in address):
                raise ValueError("an envelope address is empty, or holds a space, a bracket or a control character")
        if not isinstance(login, SmtpLogin) or not login.is_sound:
            if login is not None:
                login.end()
            return await self._converse(Conversation(self._manner, account.smtp), message, may_proceed)
        return login.reply or await self._converse(login.take(), message, may_proceed, is_in=True)

    async def check_login(self, account: Account) -> SmtpReply:
        """Log in and leave: the answer to AUTH (2xx: all is well), or whatever came in its way."""
        return await self._converse(Conversation(self._manner, account.smtp), None, _always)

    async def close(self) -> None:
        """Cut short the farewells that still go on."""
        for line in tuple(self._leaving):
            line.hang_up()

    async def _converse(
        self, talk: Conversation, message: Message | None, may_proceed: MayProceed, *, is_in: bool = False
    ) -> SmtpReply:
        try:
            async with asyncio.timeout(None) as talk.limit:
                if is_in:
                    talk.resume()
                else:
                    await talk.open()
                    response = await talk.login()
                if message is not None:
                    await talk.envelope(message, may_proceed)
                    response = await talk.body(message, may_proceed)
            return reply_from_response(talk.phase, response.code, response.message, talk.endpoint)
        except _ENDINGS as error:
            if isinstance(error, TimeoutError) and talk.refusal is not None and talk.line.is_quiet:
                said = reply_from_response(talk.phase, talk.refusal.code, talk.refusal.message, talk.endpoint)
                return replace(said, proven=False)
            return reply_from_error(talk.phase, error, talk.endpoint, seconds=talk.allowed)
        finally:
            self._part(talk)
            talk.end()

    def _part(self, talk: Conversation) -> None:
        """Leave without waiting: the reply stays what it was, however the server takes the QUIT."""
        if talk.may_quit and talk.line.is_connected:
            self._leaving.add(talk.line)
            talk.line.leave(self._leaving.discard)
        else:
            talk.line.hang_up()


_ENDINGS = (OSError, SMTPException, ForbiddenHost, UnresolvedHost, Stopped)


def _always(_: Phase) -> None:
    return None
