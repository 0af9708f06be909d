"""A mail server that exists in virtual time only: it answers as it is told, and remembers what it took."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from warmupd.clock import VirtualClock
from warmupd.core.reply import Phase, SmtpReply, Trouble
from warmupd.mail.account import Account
from warmupd.mail.message import Message
from warmupd.mail.smtp import MayProceed
from warmupd.sandbox.record import Taken

ORDER = list(Phase)
AGES = 1e9  # seconds; no test lives that long


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one delivery comes to. Seconds are virtual: until MAIL, from there to the body, and to its answer."""

    reply: SmtpReply
    login_takes: float = 0.0
    rcpt_takes: float = 0.0
    body_takes: float = 0.0
    lost: bool = False  # taken, but nobody is told: the connection breaks after the final dot
    gate: "Gate | None" = None  # what was taken is not answered before this is set


class Gate:
    """Deliveries that hang until it is set; whoever drives the clock sees them asleep, and time may pass."""

    def __init__(self) -> None:
        self._is_set = False
        self._hanging: list[tuple[VirtualClock, asyncio.Task[object] | None]] = []

    def set(self) -> None:
        """Wake them at once: nobody takes them for asleep any more."""
        self._is_set = True
        for clock, task in self._hanging:
            if (bed := clock._beds.get(task)) and not bed.done():
                bed.set_result(None)

    async def passed(self, clock: VirtualClock) -> None:
        """Return when it is set."""
        if not self._is_set:
            self._hanging.append((clock, asyncio.current_task()))
            await clock.sleep(AGES)


NOTHING = Message(sender="", recipient="", message_id="", content=b"")
OK = Answer(reply=SmtpReply(phase=Phase.BODY, code=250, text="taken"))
LOST = Answer(reply=SmtpReply(phase=Phase.BODY, code=None, trouble=Trouble.LOST), lost=True)


def says(code: int, text: str = "no", *, phase: Phase = Phase.RCPT, enhanced: str = "") -> Answer:
    """The server answers this in that phase."""
    return Answer(reply=SmtpReply(phase=phase, code=code, enhanced=enhanced, text=text))


def fails(trouble: Trouble, phase: Phase = Phase.CONNECT) -> Answer:
    """There is no answer."""
    return Answer(reply=SmtpReply(phase=phase, code=None, trouble=trouble))


@dataclass(frozen=True, kw_only=True)
class Try:
    """One delivery that was begun, and what it was answered."""

    at: float  # seconds of the clock's boottime
    address: str
    recipient: str
    message_id: str
    answer: Answer


Rule = Callable[[Account, Message], Answer]


class ModelLogin:
    """Open as long as it is wanted."""

    is_in = is_sound = True

    def end(self) -> None:
        pass


class ModelServer:
    """Stands in for SmtpSender. `rule` decides each delivery; all are taken as long as nobody sets it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.rule: Rule = lambda account, message: OK
        self.tries: list[Try] = []
        self.taken: list[Taken] = []
        self.at_once = 0
        self.logins = 0  # without a message
        self.most_at_once: dict[str, int] = {}  # by host
        self._now_at: dict[str, int] = {}
        self._begun = asyncio.Event()

    async def log_in(self, account: Account) -> "ModelLogin":
        """As slow as the server lets this account in; what it answers is for `deliver` to hear."""
        self.logins += 1
        await self._clock.sleep(self.slowness(account))
        return ModelLogin()

    def slowness(self, account: Account) -> float:
        """Seconds that a login takes."""
        return self.rule(account, NOTHING).login_takes

    async def deliver(
        self, account: Account, message: Message, *, may_proceed: MayProceed, login: Any = None
    ) -> SmtpReply:
        answer = self.rule(account, message)
        if login is not None:
            answer = replace(answer, login_takes=0.0)
        host = account.smtp.host
        self._now_at[host] = self._now_at.get(host, 0) + 1
        self.most_at_once[host] = max(self.most_at_once.get(host, 0), self._now_at[host])
        at = self._clock.boottime()
        self.tries.append(
            Try(
                at=at,
                address=account.address,
                recipient=message.recipient,
                message_id=message.message_id,
                answer=answer,
            )
        )
        self._begun.set()
        try:
            return await self._converse(account, message, may_proceed, answer)
        finally:
            self._now_at[host] -= 1

    async def tried(self, number: int) -> None:
        """Return when so many deliveries have begun."""
        while len(self.tries) < number:
            self._begun.clear()
            await self._begun.wait()

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _converse(self, account: Account, message: Message, may_proceed: MayProceed, answer: Answer) -> SmtpReply:
        phase = ORDER.index(answer.reply.phase)
        await self._clock.sleep(answer.login_takes)
        if phase < ORDER.index(Phase.MAIL):
            return answer.reply
        if trouble := may_proceed(Phase.MAIL):
            return SmtpReply(phase=Phase.MAIL, code=None, trouble=trouble)
        mail_at = self._clock.boottime()
        await self._clock.sleep(answer.rcpt_takes)
        if phase < ORDER.index(Phase.BODY):
            return answer.reply
        if trouble := may_proceed(Phase.BODY):
            return SmtpReply(phase=Phase.DATA, code=None, trouble=trouble)
        if answer.reply.accepted or answer.lost:
            self._take(account, message, mail_at)
        await self._clock.sleep(answer.body_takes)
        if answer.gate is not None:
            await answer.gate.passed(self._clock)
        return answer.reply

    def _take(self, account: Account, message: Message, mail_at: float) -> None:
        self.taken.append(
            Taken(
                connection=len(self.tries),
                user=account.address,
                sender=message.sender,
                recipients=(message.recipient,),
                message_id=message.message_id,
                token=message.message_id.strip("<>").partition("@")[0],
                subject="",
                size=len(message.content),
                code=250,
                folder="INBOX",
                mail_at=mail_at,
                rcpt_at=mail_at,
                accepted_at=self._clock.boottime(),
            )
        )
