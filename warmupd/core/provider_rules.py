"""What follows from a provider's habits: for enrolling, and for looking for what was lost."""

from collections.abc import Iterable
from dataclasses import dataclass

from warmupd.core.provider import Provider
from warmupd.core.provider_match import providers_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What stands in the way, and what to do about it."""

    text: str
    remedy: str


def password_advice(provider: Provider) -> Advice | None:
    """What to tell who enrols a mailbox there with a password: it will hardly be let in. None: nothing.

    No refusal: an administrator may allow passwords for a mailbox (Microsoft's help, authenticated SMTP), and the
    login that follows is the proof.
    """
    if not provider.needs_oauth:
        return None
    return Advice(text=f"{provider.name} takes no passwords as a rule", remedy=provider.hint)


def may_keep_sent(provider: Provider) -> bool:
    """Whether a look into the folder of sent mail can tell that a message was accepted. Its absence proves nothing."""
    return provider.keeps_sent is not False


def allows_at_once(hosts: Iterable[str], talks: int) -> bool:
    """Whether a mailbox on these servers may have `talks` conversations at once, sends and visits together.

    Some servers are those of several providers: the strictest counts.
    """
    return all(row.connections is None or talks <= row.connections for row in providers_at(hosts))
