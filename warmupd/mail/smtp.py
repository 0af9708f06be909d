"""`deliver`: hand one message to its sender's mail server, and know which reply decided and in which phase it came.

The conversation is driven one level below aiosmtplib's client: there a connection lost before the body and one lost
after the final dot raise the same exception, and only the first message may be sent again.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace

from aiosmtplib import SMTPException

from warmupd.core.reply import Phase, SmtpReply
from warmupd.mail.account import Account, Endpoint
from warmupd.mail.hosts import ForbiddenHost, HostPolicy, UnresolvedHost
from warmupd.mail.smtp_conversation import LOCAL_HOSTNAME, Conversation, Manner, MayProceed, Message, Timeouts
from warmupd.mail.smtp_line import Stopped, reply_from_error, reply_from_response

__all__ = ["MayProceed", "Message", "SmtpSender", "Timeouts"]


class SmtpSender:
    """Delivers messages, each over a fresh connection. `close` it when no more will follow."""

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
        self._farewells: set[asyncio.Task[None]] = set()

    async def deliver(self, account: Account, message: Message, *, may_proceed: MayProceed) -> SmtpReply:
        """Submit `message`. Every ending that a server or a network brings about is a reply, never an exception.

        `may_proceed` is asked right before MAIL and right before the first byte of the body; the trouble it answers
        with stops the delivery there. Raises ValueError for an envelope address that no command line can carry.
        """
        for address in (message.sender, message.recipient):
            if not address or any(char <= " " or char in "<>\x7f" for char in address):
                raise ValueError("an envelope address is empty, or holds a space, a bracket or a control character")
        return await self._converse(account.smtp, message, may_proceed)

    async def check_login(self, account: Account) -> SmtpReply:
        """Log in and leave: the answer to AUTH (2xx: all is well), or whatever came in its way."""
        return await self._converse(account.smtp, None, _always)

    async def close(self) -> None:
        """Cut short the farewells that still go on."""
        farewells = tuple(self._farewells)
        for farewell in farewells:
            farewell.cancel()
        await asyncio.gather(*farewells, return_exceptions=True)

    async def _converse(self, endpoint: Endpoint, message: Message | None, may_proceed: MayProceed) -> SmtpReply:
        talk = Conversation(self._manner, endpoint)
        try:
            async with asyncio.timeout(None) as talk.limit:
                await talk.open()
                response = await talk.login()
                if message is not None:
                    await talk.envelope(message, may_proceed)
                    response = await talk.body(message, may_proceed)
            return reply_from_response(talk.phase, response.code, response.message, endpoint)
        except (OSError, SMTPException, ForbiddenHost, UnresolvedHost, Stopped) as error:
            if isinstance(error, TimeoutError) and talk.refusal is not None and talk.line.is_quiet:
                said = reply_from_response(talk.phase, talk.refusal.code, talk.refusal.message, endpoint)
                return replace(said, proven=False)
            return reply_from_error(talk.phase, error, endpoint, seconds=talk.allowed)
        finally:
            self._part(talk)
            talk.end()

    def _part(self, talk: Conversation) -> None:
        """Leave without waiting: the reply stays what it was, however the server takes the QUIT."""
        if not (talk.may_quit and talk.line.is_connected):
            talk.line.hang_up()
            return

        def over(farewell: asyncio.Task[None]) -> None:
            self._farewells.discard(farewell)
            talk.line.hang_up()  # here, because a task that is cancelled before it began runs no `finally` of its own

        farewell = asyncio.create_task(talk.line.say_goodbye(), name="smtp-quit")
        self._farewells.add(farewell)
        farewell.add_done_callback(over)


def _always() -> None:
    return None
