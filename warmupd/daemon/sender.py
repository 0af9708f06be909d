"""One send: from a reserved job to the settlement of what its server answered."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from warmupd.core.job import Job
from warmupd.core.mailbox import Mailbox
from warmupd.core.outcome import Action, Outcome, OutcomeKind, backoff, classify
from warmupd.core.reply import Phase, SmtpReply, Trouble
from warmupd.core.window import zone_info
from warmupd.daemon.ground import Ground
from warmupd.daemon.head_start import Login
from warmupd.daemon.keyring import Keyring
from warmupd.errors import DatabaseUnavailable, SecretsError, WarmupdError
from warmupd.mail.account import Account
from warmupd.mail.content import Library
from warmupd.mail.message import Message, compose
from warmupd.mail.message_id import MessageKey
from warmupd.mail.oauth import RECONNECT, ClientRefused, GrantRevoked, TokensUnavailable
from warmupd.mail.persona import Correspondent
from warmupd.mail.smtp import MayProceed
from warmupd.store.accounts import SealedAccount
from warmupd.store.jobs import Settlement

FAIR_CHANCE = 2.5  # real seconds from connecting to the deadline for MAIL within which a server should log us in
SLOW_SERVER = "slow_server"
TOKEN_WITHIN = 3.0  # real seconds that a send waits for a token: of its 5, enough are left to log in
SLOW = "the server took longer to let us log in than a send may wait"


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Sent:
    """A finished send: what to settle, and the judged outcome for whatever else follows from it."""

    settlement: Settlement
    outcome: Outcome


class Courier(Protocol):
    """What hands messages over: SMTP, or a model of it."""

    async def deliver(
        self, account: Account, message: Message, *, may_proceed: MayProceed, login: Login | None = None
    ) -> SmtpReply:
        """Submit the message; every ending is a reply. A `login` of that account saves another one."""
        ...

    async def log_in(self, account: Account) -> Login:
        """Connect and log in; every ending is a login."""
        ...

    async def close(self) -> None:
        """No more will follow."""
        ...


class Sender:
    """Composes, delivers and judges; touches neither heap nor database, but for tokens that the keyring renews."""

    def __init__(
        self,
        ground: Ground,
        courier: Courier,
        *,
        keyring: Keyring,
        library: Library,
        message_key: MessageKey,
        max_retries: int,
    ) -> None:
        self._clock = ground.clock
        self._events = ground.events
        self._rng = ground.rng
        self._courier = courier
        self._keyring = keyring
        self._library = library
        self._message_key = message_key
        self._max_retries = max_retries

    async def send(
        self,
        job: Job,
        mailbox: Mailbox,
        accounts: Mapping[int, SealedAccount],
        *,
        trusted: Callable[[], bool],
        login: Login | None = None,
    ) -> Sent:
        """Send the job, once. Never raises for what servers, networks or rows do: every ending is a settlement."""
        try:
            if (wait := job.not_before - self._clock.boottime()) > 0:
                await self._clock.sleep(wait)
            began = self._clock.boottime()
            outcome = await self._deliver(job, mailbox, accounts, trusted, login)
        except WarmupdError as error:
            outcome = self._apart(_not_sendable(error))
        finally:
            if login is not None:
                login.end()  # no connection is left open by a message that could not be made
        if outcome.kind is OutcomeKind.SENT:
            self._events.sent(kind=job.kind, job=job.id, seconds=self._clock.boottime() - began)
        return Sent(settlement=self._settlement(job, outcome), outcome=outcome)

    async def _deliver(
        self,
        job: Job,
        mailbox: Mailbox,
        accounts: Mapping[int, SealedAccount],
        trusted: Callable[[], bool],
        login: Login | None,
    ) -> Outcome:
        sender, recipient = accounts.get(job.mailbox_id), accounts.get(job.recipient_id)
        if sender is None or recipient is None:
            return Outcome(kind=OutcomeKind.FAILED, reason="removed", message="the mailbox was removed meanwhile")
        account = self._keyring.open_to_send(sender) or await _soon(self._keyring.open(sender))
        try:
            message = self._compose(job, mailbox, sender, recipient)
        except WarmupdError:
            raise
        except Exception as error:  # noqa: BLE001  nothing has reached a server: the job must not become UNKNOWN
            self._events.part_failed("compose", error)
            return Outcome(kind=OutcomeKind.FAILED, reason="not_composed", message="the message could not be written")

        def may_proceed(before: Phase) -> Trouble | None:
            """What was promised of a reservation is its MAIL FROM; a server may think the recipient over for longer."""
            if self._clock.boottime() >= (job.deadline if before is Phase.MAIL else job.window_end):
                return Trouble.LATE
            return None if trusted() else Trouble.DOUBT

        allowed = job.deadline - self._clock.boottime()
        try:
            reply = await self._courier.deliver(account, message, may_proceed=may_proceed, login=login)
            outcome = classify(reply)
            if reply.trouble is Trouble.LATE and reply.phase is Phase.MAIL:
                return self._late(outcome, allowed=allowed)
            if account.by_token and outcome.action is Action.DOUBT_CREDENTIALS:  # perhaps the token alone is at fault
                account = await _soon(self._keyring.open_anew(sender, account))
                outcome = classify(await self._courier.deliver(account, message, may_proceed=may_proceed))
        except ValueError as error:  # an address that no command line can carry: said before anything is
            return Outcome(kind=OutcomeKind.FAILED, reason="bad_address", message=str(error))
        if account.by_token and outcome.action is Action.DOUBT_CREDENTIALS:
            return replace(outcome, remedy=RECONNECT)
        return outcome

    def _compose(self, job: Job, mailbox: Mailbox, sender: SealedAccount, recipient: SealedAccount) -> Message:
        return compose(
            job,
            sender=_correspondent(sender),
            recipient=_correspondent(recipient),
            library=self._library,
            message_key=self._message_key,
            now=self._clock.now().astimezone(zone_info(mailbox.zone)),
            language=sender.language,
        )

    def _apart(self, outcome: Outcome) -> Outcome:
        """A time that many mailboxes are told at once is not the time at which they all come back."""
        if outcome.retry_after is None:
            return outcome
        return replace(outcome, retry_after=outcome.retry_after * self._rng.uniform(1.0, 1.5))

    def _late(self, outcome: Outcome, *, allowed: float) -> Outcome:
        """Time was up. When we began in time it is the server that is slow, and asking at once again would not help."""
        if allowed < FAIR_CHANCE * self._clock.speed:
            return outcome
        return replace(outcome, kind=OutcomeKind.DEFERRED, reason=SLOW_SERVER, message=SLOW)

    def _settlement(self, job: Job, outcome: Outcome) -> Settlement:
        kind, reason, retry_at = outcome.kind, outcome.reason, None
        spent = outcome.action is not Action.BACK_OFF_HOST and job.retry_count >= self._max_retries
        if kind is OutcomeKind.DEFERRED and spent:
            kind, reason = OutcomeKind.FAILED, f"{reason}_gave_up"
        if kind is OutcomeKind.DEFERRED:
            wait = outcome.retry_after or backoff(job.retry_count, self._rng)
            retry_at = self._clock.now() + dt.timedelta(seconds=wait)
            if outcome.action is Action.BACK_OFF_HOST:  # nobody was asked to send: no attempt, and no retry
                kind = OutcomeKind.RETURNED
        elif kind is OutcomeKind.RETURNED:
            retry_at = self._clock.now()
        return Settlement(job=job, kind=kind, reason=reason, message=outcome.message, retry_at=retry_at)


async def _soon(opening: Awaitable[Account]) -> Account:
    """A provider that is slow to renew a token must not hold the places of other mailboxes' sends; it may go on."""
    try:
        async with asyncio.timeout(TOKEN_WITHIN):
            return await opening
    except TimeoutError:
        raise TokensUnavailable(f"no access token was to be had within {TOKEN_WITHIN:g} s") from None


def _correspondent(sealed: SealedAccount) -> Correspondent:
    return Correspondent(mailbox_id=sealed.mailbox_id, address=sealed.address, display_name=sealed.display_name)


def _not_sendable(error: WarmupdError) -> Outcome:
    """The message could not even be made, or nobody could log in with it: nothing reached a server."""
    for kind, reason, action, wait in _NO_TOKEN:
        if isinstance(error, kind):
            return Outcome(
                kind=OutcomeKind.RETURNED,
                reason=reason,
                action=action,
                retry_after=getattr(error, "retry_after", wait),
                message=Exception.__str__(error),
                remedy=error.remedy,
            )
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        reason="not_composed",
        retry_after=3600.0,
        message=str(error),
        remedy=error.remedy,
    )


KEYLESS_REST = 6 * 3600.0  # a reload with the key, or a new password, ends it
_NO_TOKEN = (  # what speaks against the mailbox, and what only has it wait: with ever longer rests where none is named
    (GrantRevoked, "grant_revoked", Action.DOUBT_CREDENTIALS, None),
    (SecretsError, "secrets", Action.BACK_OFF_MAILBOX, KEYLESS_REST),
    (ClientRefused, "oauth_client", Action.BACK_OFF_MAILBOX, 3600.0),
    (TokensUnavailable, "token_unavailable", Action.BACK_OFF_MAILBOX, None),
    (DatabaseUnavailable, "token_unavailable", Action.NONE, None),
)
