"""Whether a mailbox's servers let us in: SMTP and IMAP, tried once each, at the same time where they may be."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from warmupd.config import Config
from warmupd.core.outcome import OutcomeKind, classify
from warmupd.core.provider_rules import Advice, allows_at_once
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.options import timeouts_of
from warmupd.errors import WarmupdError
from warmupd.mail.account import Account
from warmupd.mail.connection import check_source
from warmupd.mail.imap import check_login
from warmupd.mail.imap_errors import ImapDenied, ImapRefusedLogin, ImapThrottled
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context

UNTOLD = "check host and port, or try again later"
AT_ONCE = 10  # mailboxes that are checked at the same time
PROTOCOLS = ("SMTP", "IMAP")
BESIDE = 2  # conversations that a worker may have with the mailbox meanwhile: one send, one visit


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A server that did not let us in."""

    protocol: str  # SMTP or IMAP
    host: str
    port: int
    message: str
    remedy: str
    reached: bool = True  # False: it said nothing of the mailbox, and others may fare alike
    passing: bool = False  # it said so itself, or that too much was asked of it


OnAnswer = Callable[[str, Refusal | None], None]


class LoginRefused(WarmupdError):
    """A mailbox was not let in. `advice` is what to do beyond what its servers' refusals say."""

    def __init__(self, message: str, *, remedy: str, advice: str) -> None:
        super().__init__(message, remedy=remedy)
        self.advice = advice


def refused(address: str, refusals: Sequence[Refusal], *, hint: str = "", advice: Advice | None = None) -> LoginRefused:
    """The error that says why and by whom; nothing in it is secret.

    `hint` is what its provider wants first, `advice` what is to be said of the password that was tried there.
    """
    told = "; ".join(f"{one.protocol} ({one.host}:{one.port}): {one.message}" for one in refusals)
    remedies = [*(one.remedy for one in refusals), hint]
    if advice is not None and any(one.reached for one in refusals):
        told, remedies = f"{told}; {advice.text}", [advice.remedy, *remedies]
    remedies = list(dict.fromkeys(remedy for remedy in remedies if remedy))
    beyond = [remedy for remedy in remedies if remedy not in {one.remedy for one in refusals}]
    return LoginRefused(
        f"{address} was not let in by {told}", remedy="; ".join(remedies) or UNTOLD, advice="; ".join(beyond)
    )


class LoginCheck:
    """Checks accounts by the rules of the configuration: verified TLS, permitted hosts, its time-outs."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError when authorities cannot be read, or connections cannot leave from the address named."""
        check_source(config.sending.source_address)
        self._policy = policy_of(config)
        self._context = client_context(str(config.security.ca_file) if config.security.ca_file else None)
        self._timeouts = timeouts_of(config)
        self._source = config.sending.source_address
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def check(self, account: Account, on_answer: "OnAnswer | None" = None) -> list[Refusal]:
        """Log in to both servers and leave; what went wrong, nothing when both let us in.

        One after the other where both at once could be more than the provider allows the mailbox, with a worker's.
        `on_answer` is told at once of each protocol and its refusal, None when we were let in.
        """

        async def attempt(protocol: str) -> Refusal | None:
            refusal = await (self.try_smtp(account) if protocol == "SMTP" else self.try_imap(account))
            if on_answer is not None:
                on_answer(protocol, refusal)
            return refusal

        at_once = allows_at_once((account.smtp.host, account.imap.host), BESIDE + len(PROTOCOLS))
        async with self._turns:
            if at_once:
                answers = await asyncio.gather(*map(attempt, PROTOCOLS))
            else:
                answers = [await attempt(protocol) for protocol in PROTOCOLS]
        return [refusal for refusal in answers if refusal is not None]

    async def try_smtp(self, account: Account) -> Refusal | None:
        """Log in to the server that mail is handed to."""
        sender = SmtpSender(
            context=self._context, policy=self._policy, timeouts=self._timeouts, source_address=self._source
        )
        try:
            reply = await sender.check_login(account)
        finally:
            await sender.close()
        if reply.accepted:
            return None
        outcome = classify(reply)
        return Refusal(
            protocol="SMTP",
            host=account.smtp.host,
            port=account.smtp.port,
            message=outcome.message,
            remedy=outcome.remedy,
            reached=reply.code is not None,
            passing=reply.code is not None and outcome.kind is OutcomeKind.DEFERRED and not outcome.remedy,
        )

    async def try_imap(self, account: Account) -> Refusal | None:
        """Log in to the server that the mailbox is read on."""
        try:
            await check_login(account, self._policy, self._context, source_address=self._source)
        except WarmupdError as error:
            message, remedy = Exception.__str__(error), error.remedy
            return Refusal(
                protocol="IMAP",
                host=account.imap.host,
                port=account.imap.port,
                message=message,
                remedy=remedy,
                reached=isinstance(error, ImapRefusedLogin | ImapThrottled | ImapDenied),
                passing=isinstance(error, ImapThrottled),
            )
        return None
