"""What a mail server's answer means: `classify` turns an `SmtpReply` into an `Outcome`."""

import random
import re
import unicodedata
from dataclasses import dataclass, replace

from warmupd.core.replies import RULES, TROUBLES
from warmupd.core.reply import Phase, SmtpReply, Trouble
from warmupd.core.verdicts import GARBAGE, SENT, TEMPORARY, UNKNOWN, Action, OutcomeKind, Verdict

__all__ = ["Action", "Outcome", "OutcomeKind", "Phase", "SmtpReply", "Trouble", "backoff", "classify", "presentable"]

BACKOFF_SECONDS = (60.0, 300.0, 900.0, 3600.0)
JITTER = 0.25
MESSAGE_LIMIT = 300  # characters that are shown to an owner
NAMED_TIME_MARGIN = 10.0  # seconds
NAMED_TIME_LIMIT = 86400.0  # seconds

_LOGGED_IN = {Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_NAMED_TIME = re.compile(r"\b([0-9]{1,6})[ -]?(sec|min|hour|hr)(?:ond|ute)?s?\b", re.IGNORECASE)
_BEFORE_A_RATE = re.compile(r"(\bper|/)\W*$", re.IGNORECASE)
_BEFORE_A_WAIT = (  # the surest last
    re.compile(r"\b(in|after|for)\W*$", re.IGNORECASE),
    re.compile(r"\b(again|retry|wait|back)\b[^0-9.;]*$", re.IGNORECASE),
)
_HEEDS_NAMED_TIME = {Action.NONE, Action.BACK_OFF_HOST, Action.BACK_OFF_MAILBOX, Action.SPARE_RECIPIENT}
_CODED_SECRET = re.compile(r"\b(PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|BEARER)\s+[A-Z0-9+/=_.-]{16,}", re.IGNORECASE)


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Outcome:
    """A judged reply: how the job ends, what follows, and what to tell the owner."""

    kind: OutcomeKind
    reason: str  # a short stable word for metrics and reports, such as "rate" or "bad_credentials"
    action: Action = Action.NONE
    retry_after: float | None = None  # seconds, when the reply or the rule says so
    message: str = ""  # for the owner: what the server said, or what we saw
    remedy: str = ""  # for the owner: what to do; "" when time heals it
    logged_in: bool = False  # the server had accepted the login by then


def classify(reply: SmtpReply) -> Outcome:
    """Judge a reply. Only what the server really said is looked up in the table of replies (`core/replies.py`)."""
    verdict = _no_reply(reply) if reply.code is None else _spoken(reply, reply.code)
    if not reply.proven and verdict.kind is OutcomeKind.DEFERRED:
        verdict = replace(
            verdict, kind=OutcomeKind.UNKNOWN
        )  # what follows for the mailbox is the same, but no resending
    return Outcome(
        kind=verdict.kind,
        reason=verdict.reason,
        action=verdict.action,
        retry_after=_retry_after(verdict, reply.text),
        message=_message(reply),
        remedy=verdict.remedy,
        logged_in=reply.phase in _LOGGED_IN and reply.code is not None,
    )


def backoff(retry_count: int, rng: random.Random) -> float:
    """Seconds to wait after a deferral that named no time: 1, 5, 15, then 60 minutes, give or take a quarter.

    `retry_count` is how many retries came before (0 after the first attempt). The jitter keeps mailboxes that fell
    silent together from coming back together.
    """
    step = BACKOFF_SECONDS[min(max(retry_count, 0), len(BACKOFF_SECONDS) - 1)]
    return step * rng.uniform(1 - JITTER, 1 + JITTER)


def presentable(text: str) -> str:
    """A server's words as an owner may see them: one line, no control characters, no credentials, 300 characters."""
    visible = text[: 4 * MESSAGE_LIMIT]
    if not (visible.isascii() and visible.isprintable()):
        visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in visible)
    line = _CODED_SECRET.sub(r"\1 [hidden]", " ".join(visible.split()))
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 3] + "..."


def _spoken(reply: SmtpReply, code: int) -> Verdict:
    if reply.phase is Phase.BODY and not 400 <= code <= 599:
        return SENT if reply.accepted else UNKNOWN
    return next((rule.verdict for rule in RULES if rule.matches(reply)), GARBAGE)


def _no_reply(reply: SmtpReply) -> Verdict:
    if reply.phase is Phase.BODY:
        return UNKNOWN
    matching = (verdict for phases, trouble, verdict in TROUBLES if trouble is reply.trouble and reply.phase in phases)
    return next(matching, TEMPORARY)


def _retry_after(verdict: Verdict, text: str) -> float | None:
    """The time the server named, and some; else the rule's own."""
    if verdict.kind is not OutcomeKind.DEFERRED or verdict.action not in _HEEDS_NAMED_TIME:
        return verdict.retry_after
    named = _named_time(text)
    return verdict.retry_after if named is None else min(named, NAMED_TIME_LIMIT) + NAMED_TIME_MARGIN


def _named_time(text: str) -> float | None:
    """The seconds to wait: what is said to be a wait, else what is named last. A limit's own time is none."""
    surest = 0
    seconds: float | None = None
    for named in _NAMED_TIME.finditer(text):
        before = text[max(0, named.start() - 24) : named.start()]
        sure = max((rank for rank, wait in enumerate(_BEFORE_A_WAIT, 1) if wait.search(before)), default=0)
        if sure >= surest and not _BEFORE_A_RATE.search(before):
            surest, seconds = sure, int(named.group(1)) * _UNITS[named.group(2)[0].lower()]
    return seconds


def _message(reply: SmtpReply) -> str:
    if reply.code is not None:
        return presentable(f"{reply.code} {reply.enhanced} {reply.text}")
    seen = _SEEN[reply.trouble] if reply.trouble else "no answer"
    more = f": {reply.text}" if reply.text and reply.text != seen else ""
    where = "" if reply.phase is Phase.CONNECT else f" ({reply.phase})"  # nobody was spoken to yet
    return presentable(f"{seen}{where}{more}")


_SEEN = {
    Trouble.TIMEOUT: "the server did not answer in time",
    Trouble.LOST: "the connection was lost",
    Trouble.UNREACHABLE: "the server cannot be reached",
    Trouble.EXHAUSTED: "no connection could be opened",
    Trouble.UNRESOLVED: "the host name cannot be resolved",
    Trouble.FORBIDDEN: "the host may not be connected to",
    Trouble.GARBAGE: "the server does not speak SMTP",
    Trouble.CERTIFICATE: "the server's certificate cannot be trusted",
    Trouble.TLS: "no encrypted connection came about",
    Trouble.NO_STARTTLS: "the server offers no encryption",
    Trouble.NO_AUTH: "the server offers no login that we may use",
    Trouble.LATE: "its time had passed before it was sent",
    Trouble.DOUBT: "this worker's lease became doubtful before it was sent",
}
