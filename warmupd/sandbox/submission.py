"""What the sandbox answers to AUTH, MAIL, RCPT and the final dot, and what it notes: rules without a protocol."""

import asyncio
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import blake2b

from warmupd.clock import SystemClock
from warmupd.core.outcome import Phase
from warmupd.sandbox.fate import Fate, Shares
from warmupd.sandbox.forecast import Forecast, WeatherDay
from warmupd.sandbox.letter import Letter
from warmupd.sandbox.record import Entry, Login, Refused, Taken
from warmupd.sandbox.weather import CALM, Event, Weather

HOST_NAME = "sandbox.localhost"

Deliver = Callable[[str, str, bytes], Awaitable[None]]  # address, folder, content
Note = Callable[[Entry], None]


@dataclass(kw_only=True, slots=True)
class Client:
    """One connection and the transaction it is in."""

    number: int
    host_name: str = ""  # as it said in EHLO
    user: str = ""  # once logged in
    sender: str = ""
    utf8: bool = False
    recipients: list[str] = field(default_factory=list)
    mail_at: float | None = None
    rcpt_at: float = 0.0
    event: Event | None = None  # what befalls this attempt, until it has


class Submission:
    """The rules, for all connections of one server."""

    def __init__(
        self,
        *,
        accounts: Mapping[str, str],
        shares: Shares,
        deliver: Deliver,
        note: Note,
        weather: Weather = CALM,
    ) -> None:
        self._accounts = accounts
        self._shares = shares
        self._forecast = Forecast(weather, shares.seed, accounts)
        self._deliver = deliver
        self._note = note
        self._clock = SystemClock()
        self._first_tries: Counter[tuple[str, str]] = Counter()
        self._put_off: set[tuple[str, str]] = set()  # pairs whose next try is taken
        self._deliveries: set[asyncio.Task[None]] = set()
        self._today = WeatherDay(self._forecast, 0)

    def begin_day(self, day: int) -> None:
        """It is the so-manieth day: attempts are counted from 1 again, and daily limits begin anew."""
        self._today = WeatherDay(self._forecast, day)

    def log_in(self, client: Client, user: str, password: bytes) -> str:
        """Let in who knows the password; the address counts in any case. With it an attempt begins, and its weather."""
        user = user.lower()
        expected = self._accounts.get(user)
        ok = expected is not None and hmac.compare_digest(expected.encode(), password)
        at = self._clock.boottime()
        self._note(Login(connection=client.number, protocol="SMTP", user=user, ok=ok, at=at))
        client.user = user if ok else ""
        if not ok:
            return "535 5.7.8 Authentication credentials invalid"
        client.event = self._today.attempt(user)
        if event := self._befalls(client, Phase.AUTH):
            return self._refuse(client, Phase.AUTH, event.reply, event=event)
        return "235 2.7.0 Authentication successful"

    def mail(self, client: Client, address: str, *, utf8: bool) -> str:
        """Begin a transaction, for the owner of the address only."""
        client.mail_at, client.sender, client.utf8, client.recipients = self._clock.boottime(), address, utf8, []
        if address.lower() != client.user:
            return self._refuse(client, Phase.MAIL, "553 5.7.1 Sender address is not owned by the logged-in user")
        if event := self._befalls(client, Phase.MAIL):
            return self._refuse(client, Phase.MAIL, event.reply, event=event)
        return "250 2.1.0 OK"

    def rcpt(self, client: Client, address: str) -> str:
        """Take a recipient: an account of this server, unless this try is to be put off."""
        if not client.recipients:
            client.rcpt_at = self._clock.boottime()
        if address.lower() not in self._accounts:
            return self._refuse(client, Phase.RCPT, "550 5.1.1 No such mailbox here", recipients=[address])
        if event := self._today.limited(client.user, Phase.RCPT) or self._befalls(client, Phase.RCPT):
            return self._refuse(client, Phase.RCPT, event.reply, recipients=[address], event=event)
        if reply := self._deferral(client.sender.lower(), address.lower()):
            return self._refuse(client, Phase.RCPT, reply, recipients=[address])
        client.recipients.append(address)
        return "250 2.1.5 OK"

    def cut_before_dot(self, client: Client) -> Phase | None:
        """Where the connection is to be cut before its content is complete, at DATA or in the BODY; noted as done."""
        event = client.event
        if event is None or event.reply or event.taken or not client.recipients:
            return None
        client.event = None
        self._today.befell(client.user, event)
        self._refuse(client, event.phase, "", recipients=client.recipients, event=event)
        return event.phase

    async def data(self, client: Client, content: bytes) -> str | None:
        """Take, lose or refuse a content. None: it was taken, and the connection is to be cut without an answer."""
        letter = Letter.read(content)
        fate = self._shares.fate(letter.message_id or blake2b(content).hexdigest())
        event = self._today.limited(client.user, Phase.BODY) or self._befalls(client, Phase.BODY)
        if fate.refused or (event and event.reply):
            reply = event.reply if event else "550 5.7.1 Content refused by policy"
            return self._refuse(client, Phase.BODY, reply, recipients=client.recipients, letter=letter, event=event)
        if event:
            fate = replace(fate, cut=True)
        # A task of its own: a client that hangs up now does not undo what was taken.
        delivery = asyncio.create_task(self._take(client, letter, fate, content, event=event))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)
        await asyncio.shield(delivery)
        return None if fate.cut else f"250 2.0.0 Taken by connection {client.number}"

    async def finish(self) -> None:
        """Return when nothing is being delivered any more."""
        await asyncio.gather(*self._deliveries)

    def _befalls(self, client: Client, phase: Phase) -> Event | None:
        """The event that befalls this attempt now; it does so once."""
        event = client.event
        if event is None or event.phase is not phase:
            return None
        client.event = None
        self._today.befell(client.user, event)
        return event

    async def _take(
        self, client: Client, letter: Letter, fate: Fate, content: bytes, *, event: Event | None = None
    ) -> None:
        taken = Taken(
            connection=client.number,
            user=client.user,
            sender=client.sender,
            recipients=tuple(client.recipients),
            message_id=letter.message_id,
            token=letter.token,
            subject=letter.subject,
            size=letter.size,
            code=None if fate.cut else 250,
            folder=fate.folder,
            mail_at=client.mail_at or 0.0,
            rcpt_at=client.rcpt_at,
            accepted_at=self._clock.boottime(),
            event=event.name if event else "",
        )
        self._note(taken)
        self._today.took(client.user)
        if self._shares.keeps_sent(client.user):
            await self._deliver(client.user, "Sent", content)
        for recipient in taken.recipients if fate.folder else ():
            await self._deliver(recipient.lower(), fate.folder, _trace(client, recipient) + content)

    def _deferral(self, sender: str, recipient: str) -> str:
        """The reply that puts this try off, or ""."""
        pair = sender, recipient
        if pair in self._put_off:
            self._put_off.discard(pair)
            return ""
        count = self._first_tries[pair]
        self._first_tries[pair] += 1
        if not self._shares.defers(sender, recipient, count):
            return ""
        self._put_off.add(pair)
        return "451 4.3.0 Temporary trouble, try again later" if count % 2 else "450 4.2.0 Mailbox busy, try later"

    def _refuse(
        self,
        client: Client,
        phase: Phase,
        reply: str,
        *,
        recipients: Iterable[str] = (),
        letter: Letter | None = None,
        event: Event | None = None,
    ) -> str:
        letter = letter or Letter()
        self._note(
            Refused(
                connection=client.number,
                user=client.user,
                phase=phase,
                code=int(reply[:3]) if reply else None,
                text=reply,
                sender=client.sender,
                recipients=tuple(recipients),
                message_id=letter.message_id,
                token=letter.token,
                subject=letter.subject,
                size=letter.size,
                event=event.name if event else "",
                mail_at=client.mail_at,
                refused_at=self._clock.boottime(),
            )
        )
        return reply


def _trace(client: Client, recipient: str) -> bytes:
    """The headers of a final delivery (RFC 5321 section 4.4; "with" by RFC 3848 and RFC 6531)."""
    protocol = "UTF8SMTPSA" if client.utf8 else "ESMTPSA"
    return (
        f"Return-Path: <{client.sender}>\r\n"
        f"Received: from {client.host_name} (localhost [127.0.0.1])\r\n"
        f"\tby {HOST_NAME} with {protocol} id {client.number}\r\n"
        f"\tfor <{recipient}>; {format_datetime(datetime.now(UTC))}\r\n"
    ).encode(errors="surrogateescape")
