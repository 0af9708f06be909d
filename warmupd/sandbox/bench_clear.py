"""Messages handed over without TLS, to see what TLS costs: for the bench alone, since the daemon never does it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from warmupd.config import Config
from warmupd.core.reply import Phase, SmtpReply
from warmupd.daemon import options
from warmupd.daemon.host_check import policy_of
from warmupd.mail.account import Account
from warmupd.mail.smtp import MayProceed, Message, SmtpSender
from warmupd.mail.smtp_conversation import Conversation
from warmupd.mail.tls import client_context


class ClearSender(SmtpSender):
    """The real sender, whose conversations leave STARTTLS out; they say EHLO twice all the same."""

    def __init__(self, config: Config) -> None:
        super().__init__(context=client_context(), policy=policy_of(config), timeouts=options.timeouts_of(config))

    def observe(self, observe: Callable[[Phase, float], None]) -> None:
        """Have each phase's seconds told, as the real sender does."""
        self._manner = replace(self._manner, observe=observe)

    async def deliver(
        self, account: Account, message: Message, *, may_proceed: MayProceed, login: Any = None
    ) -> SmtpReply:
        return await self._converse(_Clear(self._manner, account.smtp), message, may_proceed)


class _Clear(Conversation):
    async def _start_tls(self) -> None:
        self._enter(Phase.STARTTLS, self.manner.timeouts.tls)
