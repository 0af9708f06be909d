"""States as people say them, each with the tone in which a page shows it."""

from collections.abc import Mapping

from warmupd.core.condition import Progress
from warmupd.core.health import Band
from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.core.placement import Placement
from warmupd.core.provider import OTHER, OWN
from warmupd.core.provider_match import provider_of

Word = tuple[str, str]  # what it says, and its tone: good, warn, bad, soft, accent

STATES: Mapping[str, Word] = {
    MailboxState.ACTIVE: ("Active", "good"),
    MailboxState.RECEIVE_ONLY: ("Receives only", "soft"),
    MailboxState.PAUSED: ("Paused", "soft"),
    MailboxState.SUSPENDED: ("Suspended", "warn"),
    MailboxState.AUTH_FAILED: ("Login refused", "bad"),
    MailboxState.REMOVED: ("Removed", "soft"),
}
PROGRESS: Mapping[str, Word] = {
    Progress.MET: ("Quota met", "good"),
    Progress.ON_TRACK: ("On track", "good"),
    Progress.BEHIND: ("Behind", "warn"),
    Progress.RESTING: ("Resting", "warn"),
    Progress.NOT_OPEN: ("Day not begun", "soft"),
    Progress.NEEDS_ATTENTION: ("Needs attention", "bad"),
    Progress.OFF: ("Off", "soft"),
}
BANDS: Mapping[str, Word] = {
    Band.HEALTHY: ("Healthy", "good"),
    Band.WATCH: ("Watched for spam", "warn"),
    Band.THROTTLED: ("Throttled for spam", "warn"),
    Band.SUSPENDED: ("Suspended for spam", "bad"),
}
STATUSES: Mapping[str, Word] = {
    JobStatus.PENDING: ("Planned", "soft"),
    JobStatus.PROCESSING: ("Being sent", "accent"),
    JobStatus.SENT: ("Sent", "good"),
    JobStatus.REPLIED: ("Answered", "good"),
    JobStatus.FAILED: ("Failed", "bad"),
    JobStatus.UNKNOWN: ("Outcome lost", "warn"),
}
PLACEMENTS: Mapping[str, Word] = {
    Placement.INBOX: ("Inbox", "good"),
    Placement.SPAM: ("Spam", "bad"),
    Placement.OTHER: ("Other folder", "soft"),
    Placement.MISSING: ("Missing", "warn"),
}
CHANGES: Mapping[str, str] = {  # what of a mailbox changed
    "state": "State",
    "health": "Health",
    "ramp": "Day of the ramp",
    "learnt_limit": "Limit learnt from the provider",
    "secrets": "Stored password",
}

_GROUPS = {OTHER: "Other providers", OWN: "Servers of their own domain"}  # many, which have no name of their own


def provider(word: str) -> str:
    """The provider's name, as it stands in a list of providers."""
    return _GROUPS.get(word) or provider_of(word).name


def somebody_at(word: str | None) -> str:
    """Another user's mailbox, of which nothing but the provider is told; None: it is no longer there."""
    if word is None:
        return "a mailbox that is gone"
    return "a mailbox elsewhere" if word == OTHER else f"a mailbox at {provider_of(word).name}"


def value(what: str, became: str) -> str:
    """What something changed to, or was."""
    known = {"state": STATES, "health": BANDS}.get(what, {})
    return known[became][0] if became in known else became
