"""How modelled mail servers behave: how long they take, what they refuse, whom they hold for spam; as tables."""

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import exp
from statistics import NormalDist

from warmupd.core.reply import Phase, SmtpReply, Trouble

GRADES = 1024  # steps in which a latency is drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Hitch:
    """What befalls so many in a million attempts, in that phase: a reply, or a connection that is lost there."""

    name: str
    phase: Phase
    parts: int
    reply: str = ""
    taken: bool = False  # lost only after the final dot: the message is taken and delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """A mail provider: its servers, its part of the mailboxes, how slow it is, and where it puts what comes."""

    provider: str  # a word of core/providers.py
    smtp: str
    imap: str
    parts: int  # of a hundred mailboxes
    slowness: float
    spam: float = 0.08
    other: float = 0.03


HOUSES = (
    House(provider="google", smtp="smtp.google.test", imap="imap.google.test", parts=40, slowness=1.0, other=0.05),
    House(
        provider="microsoft",
        smtp="smtp.microsoft.test",
        imap="imap.microsoft.test",
        parts=30,
        slowness=1.6,
        spam=0.12,
    ),
    House(provider="zoho", smtp="smtp.zoho.test", imap="imap.zoho.test", parts=10, slowness=1.2),
    House(
        provider="other", smtp="mail.hosting-one.test", imap="mail.hosting-one.test", parts=10, slowness=0.6, spam=0.05
    ),
    House(
        provider="other", smtp="mail.hosting-two.test", imap="mail.hosting-two.test", parts=10, slowness=0.7, spam=0.05
    ),
)
_BY_SHARE = tuple(house for house in HOUSES for _ in range(house.parts))


def house_of(mailbox_id: int) -> House:
    """Where the mailbox lives; neighbours by number live apart."""
    return _BY_SHARE[mailbox_id * 37 % len(_BY_SHARE)]


@dataclass(frozen=True, kw_only=True)
class Climate:
    """How it goes in general. Seconds are drawn from log-normal distributions with these medians and this sigma."""

    name: str
    login_median: float = 0.6  # connect, TLS, AUTH
    body_median: float = 0.5  # MAIL to the answer after the dot
    sigma: float = 0.5
    hitches: tuple[Hitch, ...] = field(default=())
    vanishing: int = 0  # of a million messages that are taken so many are never delivered
    shut_out: int = 0  # of a million logins by IMAP so many fail
    limited: int = 0  # of a thousand mailboxes so many have a daily limit just below their quota
    limit: str = ""  # what they are told then

    @cached_property
    def logins(self) -> tuple[float, ...]:
        return _latencies(self.login_median, self.sigma)

    @cached_property
    def bodies(self) -> tuple[float, ...]:
        return _latencies(self.body_median, self.sigma)

    @cached_property
    def _bounds(self) -> list[int]:
        return list(accumulate(hitch.parts for hitch in self.hitches))

    def hitch(self, part: int) -> Hitch | None:
        """What befalls the attempt that drew this number below a million."""
        place = bisect_right(self._bounds, part)
        return self.hitches[place] if place < len(self.hitches) else None

    @cached_property
    def replies(self) -> dict[str, SmtpReply]:
        """What each hitch looks like to the client, by its name."""
        return {one.name: said(one.phase, one.reply) for one in self.hitches}


def said(phase: Phase, reply: str) -> SmtpReply:
    """The reply as the client reads it; without one the connection is lost."""
    if not reply:
        return SmtpReply(phase=phase, code=None, trouble=Trouble.LOST)
    code, status, text = reply.split(" ", 2)
    return SmtpReply(phase=phase, code=int(code), enhanced=status, text=text)


def _latencies(median: float, sigma: float) -> tuple[float, ...]:
    """The quantiles, so that a draw is a look into a table."""
    normal = NormalDist()
    return tuple(median * exp(sigma * normal.inv_cdf((place + 0.5) / GRADES)) for place in range(GRADES))


_FAIR = (
    Hitch(name="greylisted", phase=Phase.RCPT, parts=4000, reply="451 4.7.1 Greylisting in action, please come back"),
    Hitch(name="rate", phase=Phase.MAIL, parts=2000, reply="421 4.7.0 Too many messages, slow down"),
    Hitch(name="temporary", phase=Phase.RCPT, parts=1500, reply="451 4.3.0 Temporary lookup failure"),
    Hitch(name="auth_busy", phase=Phase.AUTH, parts=500, reply="454 4.7.0 Temporary authentication failure"),
    Hitch(name="content", phase=Phase.BODY, parts=500, reply="550 5.7.1 Message rejected as spam by content filtering"),
    Hitch(name="cut_before_body", phase=Phase.DATA, parts=300),
    Hitch(name="cut_in_body", phase=Phase.BODY, parts=20),
    Hitch(name="cut_after_dot", phase=Phase.BODY, parts=80, taken=True),
)
LIMIT = "550 5.4.5 Daily sending quota exceeded"
CALM = Climate(name="calm")
FAIR = Climate(name="fair", hitches=_FAIR, vanishing=2_000, shut_out=5_000, limited=2, limit=LIMIT)
STORM = Climate(
    name="storm",
    sigma=0.7,
    vanishing=20_000,
    shut_out=50_000,
    hitches=tuple(
        Hitch(name=one.name, phase=one.phase, parts=10 * one.parts, reply=one.reply, taken=one.taken) for one in _FAIR
    ),
    limited=50,
    limit=LIMIT,
)
CLIMATES = {climate.name: climate for climate in (CALM, FAIR, STORM)}
