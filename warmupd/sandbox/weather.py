"""What the sandbox does on purpose to those who submit mail, as a table. `Forecast` says whom it befalls, and when.

The texts are those of real providers, so that the daemon's reading of them is tried as well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from warmupd.core.reply import Phase
from warmupd.sandbox.fate import ShareOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What befalls one attempt: a reply in the phase, or, without one, a connection that is cut there."""

    name: str
    phase: Phase  # AUTH, MAIL, RCPT, DATA or BODY
    share: float = 0.0  # of all attempts that it befalls by chance
    reply: str = ""
    taken: bool = False  # cut only after the final dot: the message is taken and delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """The events, of which at most one befalls an attempt, and what else is not as it should be."""

    name: str
    events: tuple[Event, ...] = ()
    accounts_an_event: int = 0  # for every so many accounts begun each event befalls one of them for sure, each day
    limits: tuple[Event, ...] = ()  # what an account is answered that has used up its day
    accounts_a_limit: int = 0  # one of every so many accounts begun has a daily limit; 0: none
    least_a_day: int = 0  # messages that accounts with a daily limit may send, or one more
    shares: ShareOptions = field(default_factory=ShareOptions)  # where messages are delivered, and more by Message-ID
    away_seconds: float = 0.0  # of each simulated day, in which nobody answers, by SMTP or IMAP

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of all that can happen to an attempt, each once."""
        away = (AWAY,) if self.away_seconds else ()
        return tuple(dict.fromkeys([*(event.name for event in (*self.events, *self.limits)), *away]))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        read = {
            name: tuple(Event(**{**event, "phase": Phase(event["phase"])}) for event in data[name])
            for name in ("events", "limits")
        }
        return cls(**{**data, **read})


AWAY = "away"  # the kind that befalls all at once

# Parts in a thousand of the attempts, which with what is sure to come makes about a hundred in all.
_STORM = (
    ("auth_rate", Phase.AUTH, 7, "454 4.7.0 Too many login attempts, please try again later."),
    ("connections", Phase.MAIL, 7, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"),
    ("rate", Phase.MAIL, 8, "421 4.4.2 Message submission rate for this client has exceeded the configured limit"),
    ("rate", Phase.MAIL, 7, "450 4.7.1 Error: too much mail from 127.0.0.1"),
    ("rate", Phase.MAIL, 6, "451 4.7.1 Sending too fast, try again in 300 seconds"),
    ("greylisted", Phase.RCPT, 10, "450 4.2.0 Recipient address rejected: Greylisted, see your postmaster"),
    ("greylisted", Phase.RCPT, 9, "451 4.7.1 Greylisting in action, please come back in 5 minutes"),
    ("recipient_rate", Phase.RCPT, 4, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that"),
    ("recipient_full", Phase.RCPT, 2, "452 4.2.2 The email account that you tried to reach is over quota"),
    ("temporary", Phase.RCPT, 5, "451 4.3.0 Temporary lookup failure"),
    ("content", Phase.BODY, 3, "550 5.7.1 Message rejected as spam by content filtering"),
    ("cut_before_body", Phase.DATA, 5, ""),
    ("cut_in_body", Phase.BODY, 1, ""),  # the client cannot tell it from the next: each costs a place of the day
    ("cut_after_dot", Phase.BODY, 8, ""),
)
# A daily limit ends a mailbox's day, so few have one, and they meet it only among the last of 30 sends. Gmail's is a
# rolling one, which takes most of the next day, too.
_DAILY_LIMITS = (
    (Phase.RCPT, "550 5.4.5 Daily sending quota exceeded"),
    (Phase.BODY, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
    (Phase.BODY, "550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 gsmtp"),
)

PLACES = ShareOptions(spam_share=0.15, other_share=0.05)

CALM = Weather(name="calm")
FAIR = Weather(name="fair", shares=ShareOptions(**PLACES, refuse_share=0.01, defer_share=0.02))
STORM = Weather(
    name="storm",
    events=tuple(
        Event(name=name, phase=phase, share=parts / 1000, reply=reply, taken=name == "cut_after_dot")
        for name, phase, parts, reply in _STORM
    ),
    accounts_an_event=32,
    limits=tuple(Event(name="daily_limit", phase=phase, reply=reply) for phase, reply in _DAILY_LIMITS),
    accounts_a_limit=12,
    least_a_day=27,
    shares=ShareOptions(**PLACES, sent_copy_share=0.5),
    away_seconds=3600.0,
)
WEATHERS = {weather.name: weather for weather in (CALM, FAIR, STORM)}
