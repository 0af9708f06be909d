"""What a reply can mean: how the job ends, what else follows, and what the owner is told to do."""

from dataclasses import dataclass
from enum import StrEnum


class OutcomeKind(StrEnum):
    """How a job is settled."""

    SENT = "SENT"
    FAILED = "FAILED"  # refused for good
    DEFERRED = "DEFERRED"  # the same job again later, with a new attempt
    RETURNED = "RETURNED"  # nothing reached the server: back at once, no retry counted
    UNKNOWN = "UNKNOWN"  # the body may have been accepted: settled by looking, never by resending


class Action(StrEnum):
    """What follows for somebody else than the job."""

    NONE = "NONE"
    BACK_OFF_HOST = "BACK_OFF_HOST"
    BACK_OFF_MAILBOX = "BACK_OFF_MAILBOX"
    REST_UNTIL_NEXT_DAY = "REST_UNTIL_NEXT_DAY"
    REST_A_DAY = "REST_A_DAY"
    SPARE_RECIPIENT = "SPARE_RECIPIENT"
    CHECK_RECIPIENT = "CHECK_RECIPIENT"
    DOUBT_CREDENTIALS = "DOUBT_CREDENTIALS"  # a second one, later, makes the mailbox AUTH_FAILED
    SUSPEND = "SUSPEND"  # for a day; then it is tried again


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply means: how the job ends, a stable word for why, what else follows, when, and what the owner does.

    Positional, like `Rule`: these are the rows of tables.
    """

    kind: OutcomeKind
    reason: str
    action: Action = Action.NONE
    retry_after: float | None = None  # seconds
    remedy: str = ""


_FAILED, _DEFERRED = OutcomeKind.FAILED, OutcomeKind.DEFERRED
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0

SENT = Verdict(OutcomeKind.SENT, "sent")
RETURNED = Verdict(OutcomeKind.RETURNED, "returned")
UNKNOWN = Verdict(OutcomeKind.UNKNOWN, "unknown")
REFUSED = Verdict(_FAILED, "refused")
TEMPORARY = Verdict(_DEFERRED, "temporary")
GARBAGE = Verdict(_DEFERRED, "garbage", Action.BACK_OFF_MAILBOX)

HOST_BUSY = Verdict(_DEFERRED, "host_busy", Action.BACK_OFF_HOST)
HOST_REFUSES = Verdict(_DEFERRED, "host_refuses", Action.BACK_OFF_HOST, _HOUR, "ask the provider why it refuses us")
CONNECTIONS = Verdict(_DEFERRED, "connections", Action.BACK_OFF_MAILBOX, _MINUTE)
RATE = Verdict(_DEFERRED, "rate", Action.BACK_OFF_MAILBOX)
HOURLY_LIMIT = Verdict(_DEFERRED, "rate", Action.BACK_OFF_MAILBOX, _HOUR)
REPUTATION = Verdict(_DEFERRED, "reputation", Action.BACK_OFF_MAILBOX, 2 * _HOUR)
GREYLISTED = Verdict(_DEFERRED, "greylisted", Action.NONE, 5 * _MINUTE)
DAILY_LIMIT = Verdict(
    _DEFERRED, "daily_limit", Action.REST_UNTIL_NEXT_DAY, None, "lower the daily target below the provider's limit"
)
ROLLING_DAY = Verdict(
    _DEFERRED, "daily_limit", Action.REST_A_DAY, _DAY, "lower the daily target below the provider's limit"
)
PENALTY = Verdict(
    _DEFERRED, "penalty", Action.REST_A_DAY, _DAY, "mend the errors shown before it: the provider lifts this by itself"
)

AUTH_RATE = Verdict(_DEFERRED, "auth_rate", Action.BACK_OFF_MAILBOX, 15 * _MINUTE)
AUTH_BUSY = Verdict(_DEFERRED, "auth_unavailable", Action.BACK_OFF_MAILBOX)
AUTH_REFUSED = Verdict(
    _DEFERRED, "auth_refused", Action.BACK_OFF_MAILBOX, _HOUR, "check host, port and security of the SMTP server"
)
BAD_CREDENTIALS = Verdict(
    _DEFERRED, "bad_credentials", Action.DOUBT_CREDENTIALS, 15 * _MINUTE, "check the SMTP user name and password"
)
NEEDS_OAUTH = Verdict(
    _DEFERRED,
    "needs_oauth",
    Action.DOUBT_CREDENTIALS,
    15 * _MINUTE,
    "connect the mailbox by OAuth, or have its administrator allow authenticated SMTP",
)
NEEDS_APP_PASSWORD = Verdict(
    _DEFERRED,
    "needs_app_password",
    Action.DOUBT_CREDENTIALS,
    15 * _MINUTE,
    "make an app password at the provider and enter it",
)
NEEDS_BROWSER = Verdict(
    _DEFERRED,
    "needs_browser",
    Action.DOUBT_CREDENTIALS,
    15 * _MINUTE,
    "log in to the mailbox once with a web browser, and use an app password or OAuth",
)

SENDER_BLOCKED = Verdict(
    _FAILED, "sender_blocked", Action.SUSPEND, remedy="the provider blocked this mailbox for spam: have it unblocked"
)
SENDER_NOT_OWNED = Verdict(
    _FAILED,
    "sender_not_owned",
    Action.SUSPEND,
    remedy="log in as the owner of the address, or let the login send as it",
)
SENDER_REJECTED = Verdict(
    _FAILED, "sender_rejected", Action.SUSPEND, remedy="check the mailbox's address and the DNS of its domain"
)
SENDER_FULL = Verdict(
    _FAILED, "sender_full", Action.SUSPEND, remedy="make room in this mailbox: its Sent folder takes no more"
)
RECIPIENT_UNKNOWN = Verdict(_FAILED, "recipient_unknown", Action.CHECK_RECIPIENT)
RECIPIENT_FULL = Verdict(_FAILED, "recipient_full", Action.SPARE_RECIPIENT, _DAY)
RECIPIENT_RATE = Verdict(_DEFERRED, "recipient_rate", Action.SPARE_RECIPIENT, _HOUR)
CONTENT = Verdict(_FAILED, "content")

UNREACHABLE = Verdict(_DEFERRED, "unreachable", Action.BACK_OFF_HOST)
EXHAUSTED = Verdict(
    OutcomeKind.RETURNED, "no_files", remedy="an operator can raise the limit of open files, or lower max_concurrent"
)
NETWORK = Verdict(_DEFERRED, "network", Action.BACK_OFF_MAILBOX)
UNRESOLVED = Verdict(_DEFERRED, "unresolved", Action.BACK_OFF_HOST, remedy="check the host name")
TLS = Verdict(_DEFERRED, "tls", Action.BACK_OFF_HOST, remedy="check that port and security belong together")
OUT_OF_BOUNDS = Verdict(
    _DEFERRED,
    "forbidden_host",
    Action.BACK_OFF_MAILBOX,
    _HOUR,
    "use a public mail server and its port, or have the operator name it in security.allow_hosts",
)
CERTIFICATE = Verdict(
    _DEFERRED,
    "certificate",
    Action.BACK_OFF_MAILBOX,
    _HOUR,
    "no password was shown: have the server's certificate renewed, or correct the host name",
)
NO_STARTTLS = Verdict(
    _DEFERRED,
    "no_starttls",
    Action.BACK_OFF_MAILBOX,
    _HOUR,
    "the password was not shown: use the server's TLS port (465), or have STARTTLS turned on",
)
NO_AUTH = Verdict(
    _DEFERRED,
    "no_auth",
    Action.BACK_OFF_MAILBOX,
    _HOUR,
    "use the submission port (587 or 465), where a login by password, or OAuth, is offered",
)
