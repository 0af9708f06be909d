"""Modelled mail servers: a `Courier` that answers as providers do, in the simulation's time, the same for each seed."""

import asyncio
from array import array

from warmupd.clock import VirtualClock
from warmupd.core.placement import Placement
from warmupd.core.reply import Phase, SmtpReply
from warmupd.daemon.head_start import Login
from warmupd.mail.account import Account
from warmupd.mail.message import Message
from warmupd.mail.recognition import Recognise
from warmupd.mail.smtp import MayProceed
from warmupd.sandbox.simulation.climate import GRADES, HOUSES, Climate, Hitch, house_of, said
from warmupd.sandbox.simulation.lots import MILLION, draw
from warmupd.sandbox.simulation.mailboxes import Mailboxes
from warmupd.sandbox.simulation.record import Offer, Record

TAKEN = SmtpReply(phase=Phase.BODY, code=250, enhanced="2.0.0", text="accepted")
BEFORE_MAIL = frozenset({Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})
DOT = 0.6  # of the time from MAIL to the answer has passed when the server has the whole message
_SLOWNESS = {house.smtp: house.slowness for house in HOUSES}


class ModelLogin:
    """Open as long as it is wanted."""

    is_in = is_sound = True

    def end(self) -> None:
        """Hang up."""


class MailServers:
    """All of them. One object serves several workers; none of it is a worker's own."""

    def __init__(
        self,
        clock: VirtualClock,
        climate: Climate,
        record: Record,
        recognise: Recognise,
        *,
        seed: int,
        mailboxes: int,
        per_day: int,
        behind: Mailboxes | None = None,
    ) -> None:
        """`behind` are the mailboxes that messages are delivered to; without them they are just taken."""
        self._behind = behind
        self._recognise = recognise
        self._clock = clock
        self._climate = climate
        self._record = record
        self._seed = seed
        self._attempts = array("L", bytes(8 * (mailboxes + 1)))
        self._limits = Limits(climate, seed, per_day=per_day)

    async def deliver(
        self, account: Account, message: Message, *, may_proceed: MayProceed, login: Login | None = None
    ) -> SmtpReply:
        """Submit the message, as one attempt of its sender, whose number decides what becomes of it."""
        sender = account.mailbox_id
        lot = self._draw(sender)
        slowness = _SLOWNESS.get(account.smtp.host, 1.0)
        hitch = self._climate.hitch((lot >> 20) % MILLION)
        if login is None:
            await self._clock.sleep(slowness * self._climate.logins[lot % GRADES])
        if hitch is not None and hitch.phase in BEFORE_MAIL:
            self._record.rebuff(self._clock.boottime(), sender)
            return self._climate.replies[hitch.name]
        if trouble := may_proceed(Phase.MAIL):
            self._record.rebuff(self._clock.boottime(), sender)  # a client that logs in and leaves
            return SmtpReply(phase=Phase.MAIL, code=None, trouble=trouble)
        mail_at = self._clock.boottime()
        if refusal := self._limits.refuses(sender, self._clock):
            self._note(mail_at, message, sender, taken=False)
            return refusal
        return await self._converse(message, sender, mail_at, lot, hitch, slowness, may_proceed)

    async def log_in(self, account: Account) -> Login:
        """As slow as the server lets this account in."""
        lot = draw(self._seed ^ 0x10C1, account.mailbox_id, self._attempts[account.mailbox_id])
        await self._clock.sleep(_SLOWNESS.get(account.smtp.host, 1.0) * self._climate.logins[lot % GRADES])
        return ModelLogin()

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _converse(
        self,
        message: Message,
        sender: int,
        mail_at: float,
        lot: int,
        hitch: Hitch | None,
        slowness: float,
        may_proceed: MayProceed,
    ) -> SmtpReply:
        """From MAIL on. Who is cut off after the dot has sent: the server has the message, and nobody is told."""
        takes = slowness * self._climate.bodies[(lot >> 10) % GRADES]
        if hitch is not None and hitch.phase is not Phase.BODY:
            self._note(mail_at, message, sender, taken=False)
            await self._clock.sleep(takes * DOT)
            return self._climate.replies[hitch.name]
        if trouble := may_proceed(Phase.BODY):
            self._note(mail_at, message, sender, taken=False)
            return SmtpReply(phase=Phase.DATA, code=None, trouble=trouble)
        taken = hitch is None or hitch.taken
        try:
            await self._clock.sleep(takes)
        except asyncio.CancelledError:
            self._end(mail_at, message, sender, lot, taken=taken and self._clock.boottime() - mail_at >= takes * DOT)
            raise
        self._end(mail_at, message, sender, lot, taken=taken)
        return TAKEN if hitch is None else self._climate.replies[hitch.name]

    def _end(self, mail_at: float, message: Message, sender: int, lot: int, *, taken: bool) -> None:
        folder = ""
        if taken:
            self._limits.count(sender, self._clock)
            if self._behind is not None:
                folder = self._deliver(self._behind, message, lot)
        self._note(mail_at, message, sender, taken=taken, folder=folder)

    def _deliver(self, mailboxes: Mailboxes, message: Message, lot: int) -> str:
        """Where the recipient's provider puts it, as a word of `Placement`; what vanishes will be MISSING.

        The sender's lot decides, so that the order in which senders come does not matter.
        """
        recipient = number_of(message.recipient)
        if not recipient:
            return ""
        if draw(self._seed ^ 0x7057, recipient, lot) % MILLION < self._climate.vanishing:
            return Placement.MISSING.value
        house, lot = house_of(recipient), draw(self._seed ^ 0xF01D, recipient, lot) % 10_000
        spam, other = round(house.spam * 10_000), round(house.other * 10_000)
        placement = Placement.SPAM if lot < spam else Placement.OTHER if lot < spam + other else Placement.INBOX
        mailboxes.deliver(recipient, message.content, placement)
        return placement.value

    def _note(self, mail_at: float, message: Message, sender: int, *, taken: bool, folder: str = "") -> None:
        self._record.note(
            Offer(
                at=mail_at,
                mailbox_id=sender,
                recipient_id=number_of(message.recipient),
                job=self._recognise(message.message_id),
                taken=taken,
                folder=folder,
            )
        )

    def _draw(self, mailbox_id: int) -> int:
        number = self._attempts[mailbox_id]
        self._attempts[mailbox_id] = number + 1
        return draw(self._seed, mailbox_id, number)


class Limits:
    """Daily limits of the few mailboxes that have one: a little below a day's quota, by the day of UTC."""

    def __init__(self, climate: Climate, seed: int, *, per_day: int) -> None:
        self._reply = said(Phase.RCPT, climate.limit) if climate.limited else None
        self._limited = climate.limited
        self._seed = seed
        self._least, self._spread = max(1, per_day * 2 // 3), max(1, per_day * 3 // 10)
        self._taken: dict[int, tuple[int, int]] = {}  # the day, and how many

    def refuses(self, mailbox_id: int, clock: VirtualClock) -> SmtpReply | None:
        """What the mailbox is told when its day is used up."""
        if self._reply is None or not self._is_limited(mailbox_id):
            return None
        day, taken = self._taken.get(mailbox_id, (0, 0))
        most = self._least + mailbox_id % self._spread
        return self._reply if day == clock.now().toordinal() and taken >= most else None

    def count(self, mailbox_id: int, clock: VirtualClock) -> None:
        """One more was taken."""
        if self._reply is not None and self._is_limited(mailbox_id):
            today = clock.now().toordinal()
            day, taken = self._taken.get(mailbox_id, (0, 0))
            self._taken[mailbox_id] = (today, taken + 1 if day == today else 1)

    def _is_limited(self, mailbox_id: int) -> bool:
        return draw(self._seed, mailbox_id, 1 << 40) % 1000 < self._limited


def number_of(address: str) -> int:
    """The id of the mailbox with this address, which begins with it; 0 for one that is not of this world."""
    digits = address[1:].partition("@")[0]
    return int(digits) if address[:1] == "m" and digits.isdigit() else 0
