"""What the sandbox does on purpose to those who submit mail: as a table, decided by account, attempt and seed alone.

The texts are those of real providers, so that the daemon's reading of them is tried as well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from warmupd.core.reply import Phase
from warmupd.sandbox.fate import ShareOptions, chance


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What befalls one attempt: a reply in the phase, or, without one, a connection that is cut there."""

    name: str
    phase: Phase  # AUTH, MAIL, RCPT, DATA or BODY
    share: float  # of all attempts that it can befall
    reply: str = ""
    taken: bool = False  # cut only after the final dot: the message is taken and delivered
    from_attempt: int = 1  # of the account on one day: a daily limit is met late


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """The events, of which at most one befalls an attempt, and what else is not as it should be."""

    name: str
    events: tuple[Event, ...] = ()  # those with `from_attempt` last, so that the others do not depend on it
    shares: ShareOptions = field(default_factory=ShareOptions)  # where messages are delivered, and more by Message-ID
    away_seconds: float = 0.0  # of each simulated day, in which nobody answers, by SMTP or IMAP

    def event(self, seed: int, account: str, day: int, attempt: int) -> Event | None:
        """What befalls the `attempt`-th attempt (from 1) of this account on that day (from 0)."""
        drawn = chance(seed, "weather", f"{account}\n{day}\n{attempt}")
        for event in self.events:
            if attempt >= event.from_attempt:
                drawn -= event.share
                if drawn < 0:
                    return event
        return None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        events = tuple(Event(**{**event, "phase": Phase(event["phase"])}) for event in data["events"])
        return cls(**{**data, "events": events})


# Parts in a thousand of the attempts, about a hundred in all.
_STORM = (
    ("auth_rate", Phase.AUTH, 8, "454 4.7.0 Too many login attempts, please try again later."),
    ("connections", Phase.MAIL, 8, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"),
    ("rate", Phase.MAIL, 9, "421 4.4.2 Message submission rate for this client has exceeded the configured limit"),
    ("rate", Phase.MAIL, 8, "450 4.7.1 Error: too much mail from 127.0.0.1"),
    ("rate", Phase.MAIL, 7, "451 4.7.1 Sending too fast, try again in 300 seconds"),
    ("greylisted", Phase.RCPT, 12, "450 4.2.0 Recipient address rejected: Greylisted, see your postmaster"),
    ("greylisted", Phase.RCPT, 11, "451 4.7.1 Greylisting in action, please come back in 5 minutes"),
    ("recipient_rate", Phase.RCPT, 5, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that"),
    ("recipient_full", Phase.RCPT, 3, "452 4.2.2 The email account that you tried to reach is over quota"),
    ("temporary", Phase.RCPT, 6, "451 4.3.0 Temporary lookup failure"),
    ("content", Phase.BODY, 4, "550 5.7.1 Message rejected as spam by content filtering"),
    ("cut_before_body", Phase.DATA, 6, ""),
    ("cut_in_body", Phase.BODY, 2, ""),  # the client cannot tell it from the next: each costs a place of the day
    ("cut_after_dot", Phase.BODY, 10, ""),
)
# A daily limit ends a mailbox's day, so it is met where providers set it, among the day's last sends: a few of them are
# lost each time. Gmail's is a rolling one, which takes most of the next day, too.
_DAILY_LIMITS = (
    ("daily_limit", Phase.RCPT, 2, "550 5.4.5 Daily sending quota exceeded"),
    ("daily_limit", Phase.BODY, 2, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
    ("daily_limit", Phase.BODY, 2, "550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 gsmtp"),
)
LATE = 28  # of the 33 attempts that 30 sends take

PLACES = ShareOptions(spam_share=0.15, other_share=0.05)

CALM = Weather(name="calm")
FAIR = Weather(name="fair", shares=ShareOptions(**PLACES, refuse_share=0.01, defer_share=0.02))
STORM = Weather(
    name="storm",
    events=(
        *(
            Event(name=name, phase=phase, share=parts / 1000, reply=reply, taken=name == "cut_after_dot")
            for name, phase, parts, reply in _STORM
        ),
        *(
            Event(name=name, phase=phase, share=parts / 1000, reply=reply, from_attempt=LATE)
            for name, phase, parts, reply in _DAILY_LIMITS
        ),
    ),
    shares=PLACES,
    away_seconds=3600.0,
)
WEATHERS = {weather.name: weather for weather in (CALM, FAIR, STORM)}
