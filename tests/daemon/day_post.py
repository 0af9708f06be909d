"""A mail server that is told, send by send, how to answer; and what each answer means for the day's places."""

import datetime as dt
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

from tests.daemon.model import LOST, OK, Answer, ModelServer, fails, says
from warmupd.clock import VirtualClock
from warmupd.core.reply import Phase, SmtpReply, Trouble
from warmupd.mail.account import Account
from warmupd.mail.message import Message
from warmupd.mail.smtp import MayProceed

LATE = 3700.0  # seconds: by then the job is UNKNOWN
SENT = "sent"
HELD = "held"  # under way, or of unknown fate: the place is never given back
DEFERRED = "deferred"  # or refused: the place is given back, the attempt is spent
RETURNED = "returned"  # nothing was asked of the server: neither is spent

REFUSAL = says(550, "we do not like this", phase=Phase.BODY)
ANSWERS: dict[str, tuple[Answer, str]] = {
    "taken": (OK, SENT),
    "taken slowly": (Answer(reply=OK.reply, login_takes=1.0, rcpt_takes=8.0, body_takes=90.0), SENT),
    "taken late": (Answer(reply=OK.reply, body_takes=LATE), SENT),
    "greylisted": (says(451, "Greylisted, please try again in 5 minutes", enhanced="4.7.1"), DEFERRED),
    "rate": (says(450, "message rate exceeded", phase=Phase.MAIL, enhanced="4.7.1"), DEFERRED),
    "daily limit": (says(554, "SubmissionQuotaExceeded", phase=Phase.BODY, enhanced="5.2.0"), DEFERRED),
    "rolling limit": (says(550, "Daily user sending limit exceeded", phase=Phase.MAIL, enhanced="5.4.5"), DEFERRED),
    "credentials": (says(535, "bad credentials", phase=Phase.AUTH, enhanced="5.7.8"), DEFERRED),
    "refused": (REFUSAL, DEFERRED),
    "refused late": (Answer(reply=REFUSAL.reply, body_takes=LATE), DEFERRED),
    "dropped before": (fails(Trouble.LOST, Phase.DATA), DEFERRED),
    "dropped after": (LOST, HELD),
    "dropped and gone": (Answer(reply=LOST.reply), HELD),  # it was not taken, and nobody knows
    "unreachable": (fails(Trouble.UNREACHABLE), RETURNED),
    "slow login": (Answer(reply=OK.reply, login_takes=6.0), DEFERRED),
}


@dataclass(kw_only=True, eq=False)
class Said:
    """One send that was begun, and what was said to it."""

    at: dt.datetime
    address: str
    recipient: str
    message_id: str
    word: str
    is_first: bool  # neither an answer nor a retry
    mail_at: dt.datetime | None = None
    heard_at: dt.datetime | None = None
    reply: SmtpReply | None = None
    accepted: bool = False  # the server has it
    sighted: bool = False
    forgotten: bool = False  # the worker heard it, and died before it could tell

    @property
    def outcome(self) -> str:
        if self.reply is None or self.forgotten:
            return HELD
        if self.reply.trouble in {Trouble.LATE, Trouble.DOUBT} and self.word != "slow login":
            return RETURNED
        if self.word == "slow login" and self.reply.accepted:  # it had logged in before
            return SENT
        return ANSWERS[self.word][1]

    @property
    def limits(self) -> bool:
        return self.reply is not None and self.word in {"daily limit", "rolling limit"} and self.outcome == DEFERRED

    @property
    def doubts(self) -> bool:
        return self.word == "credentials"


class DayPost(ModelServer):
    """Takes everything, but for the answers that are laid out for an address."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.answers: defaultdict[str, deque[str]] = defaultdict(deque)
        self.said: list[Said] = []
        self._known: set[str] = set()

    async def deliver(
        self, account: Account, message: Message, *, may_proceed: MayProceed, login: Any = None
    ) -> SmtpReply:
        laid_out = self.answers[account.address]
        word = laid_out.popleft() if laid_out else "taken"
        self.rule = lambda account, message: ANSWERS[word][0]
        said = Said(
            at=self._clock.now(),
            address=account.address,
            recipient=message.recipient,
            message_id=message.message_id,
            word=word,
            is_first=message.message_id not in self._known and "In-Reply-To" not in str(message.content[:4000]),
        )
        self._known.add(message.message_id)
        self.said.append(said)
        reply = await super().deliver(account, message, may_proceed=may_proceed, login=login)
        said.reply, said.heard_at = reply, self._clock.now()
        if reply.phase not in {Phase.CONNECT, Phase.AUTH} and reply.trouble not in {Trouble.LATE, Trouble.DOUBT}:
            said.mail_at = said.at + dt.timedelta(seconds=ANSWERS[word][0].login_takes)
        return reply
