"""The words that labels of metrics may have: all are known before anything happens, and none comes from outside."""

from warmupd.core import verdicts
from warmupd.core.condition import Condition
from warmupd.core.job import JobKind
from warmupd.core.mailbox import MailboxState
from warmupd.core.placement import Placement
from warmupd.core.providers import PROVIDERS as TABLE
from warmupd.core.reply import Phase
from warmupd.core.verdicts import OutcomeKind, Verdict
from warmupd.store.throttle import OWN_FAULTS

OTHER = "other"

HEALTH_WORDS = {Condition.OK: "healthy", Condition.DEGRADED: "degraded", Condition.CRITICAL: "critical"}
HEALTH = tuple(HEALTH_WORDS.values())
KINDS = tuple(kind.value for kind in JobKind)
STATES = tuple(state.value for state in MailboxState if state is not MailboxState.REMOVED)
OUTCOMES = tuple(kind.value for kind in OutcomeKind)
PHASES = tuple(phase.lower() for phase in Phase)
PLACEMENTS = tuple(place.value for place in Placement)
PROVIDERS = tuple(sorted({*TABLE, OTHER}))
DEEDS = ("open", "star", "rescue", "answer", "file", "delete")
REASONS = tuple(
    sorted(
        {one.reason for one in vars(verdicts).values() if isinstance(one, Verdict)} - {"sent", "returned", "unknown"}
        | {*OWN_FAULTS} - {"returned", "database", "reaped"}
        | {"bounced", "slow_server", "grant_revoked", "oauth_client", "token_unavailable", OTHER}
    )
)
CAPS = (  # why `reserve_sends` denies, whether a cap is the reason or something else; in its order
    *(
        "mailbox_gone",
        "not_owner",
        "fleet_stopped",
        "job_gone",
        "scheduled",
        "mailbox_state",
        "no_day",
        "window",
        "quota",
    ),
    *("attempts", "resting", "spacing", "recipient", "spared", "unproven"),
    *("user_minute", "user_hour", "user_spacing", "global_minute", "global_hour", OTHER),
)


def known(word: str, words: tuple[str, ...]) -> str:
    """The word, or "other" for one that was not foreseen."""
    return word if word in words else OTHER
