"""What the settings of a mailbox must keep to, together and beside the configuration's defaults."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from warmupd.config import Config
from warmupd.core.provider_match import match_provider, provider_of, providers_at
from warmupd.errors import NotAllowed, UsageError
from warmupd.mail.content import Library

T = TypeVar("T")

HOURS = ("start_hour", "end_hour")
RAMP = ("target_daily", "min_daily", "ramp_start")
PROVIDER = ("provider_limit", "own_mail")
LIMITED_BY = ("provider", "provider_limit", "smtp_host")  # what says how many messages a day a mailbox may send


def check_settings(address: str, settings: Mapping[str, Any], config: Config) -> None:
    """Raises UsageError when what a new mailbox's row says of itself cannot be."""
    own = {**dict.fromkeys((*HOURS, *RAMP, *PROVIDER)), **settings}
    check_language(config, settings)
    for columns, check in RULES.items():
        if settings.keys() & set(columns):
            check(address, own, config)


def check_language(config: Config, changes: Mapping[str, Any]) -> None:
    """Raises UsageError when there are no templates in the language that is asked for."""
    if not changes.get("language"):
        return
    there = Library.load(config.content.templates_dir, config.content.language).languages
    if changes["language"] not in there:
        raise UsageError(
            f"there are no templates in the language {changes['language']!r}", remedy=f"one of: {', '.join(there)}"
        )


def check_owner(address: str, own: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
    """Raises NotAllowed when what a mailbox's row is to say would have it send more than its provider takes.

    That is for an admin: a fleet whose mailboxes send more than their provider takes is refused as a whole. A lower
    limit is the owner's own business, as are ramp, window and pool; what the plan allows cuts each day's quota anyway.
    `own` and `before`, which is None for a new mailbox, say LIMITED_BY: the word, the limit and the server are one
    thing, as each of them moves what the others allow. What an admin has set stays while nothing of it changes.
    """
    excess = _excess(address, own)
    if excess is None or (before is not None and excess == _excess(address, before)):
        return
    provider, known, _ = excess
    raise NotAllowed(
        f"{provider} takes {known:,} messages a day as far as is known; only an admin may set more",
        remedy="ask an admin, or set a provider's limit of no more than that",
    )


def _excess(address: str, own: Mapping[str, Any]) -> tuple[str, int, int | None] | None:
    """Who takes how many, and what the row says instead (None: no limit); None when it says no more than that.

    Its servers tell whose mailbox it is as well as the word does.
    """
    named, host = provider_of(own["provider"]), own["smtp_host"]
    there = [match_provider(address, hosts=[host]).provider] if providers_at([host]) else []
    known = [(row.daily_limit, row.name) for row in (named, *there) if row.daily_limit is not None]
    if not known:
        return None
    (least, name), said = min(known), _first(own["provider_limit"], named.daily_limit)
    return (name, least, said) if said is None or said > least else None


def _check_hours(address: str, own: Mapping[str, int | None], config: Config) -> None:
    opens = _first(own["start_hour"], config.window.start_hour)
    closes = _first(own["end_hour"], config.window.end_hour)
    if opens >= closes:
        raise UsageError(
            f"the window of {address} would open at hour {opens} and close at hour {closes}",
            remedy="give --start-hour and --end-hour so that it opens before it closes",
        )


def _check_ramp(address: str, own: Mapping[str, int | None], config: Config) -> None:
    """As the configuration has it. The defaults give way to a mailbox's own target: its quota just ends there."""
    target = _first(own["target_daily"], config.quota.target_daily)
    for column, option, word in (("min_daily", "minimum", "daily minimum"), ("ramp_start", "ramp-start", "ramp start")):
        least = own[column]
        if least is not None and least > target:
            raise UsageError(
                f"the {word} of {address} would be {least}, above its daily target of {target}",
                remedy=f"lower --{option} (--reset {option} takes the default), or raise --target",
            )


def _check_provider(address: str, own: Mapping[str, int | None], config: Config) -> None:
    limit, kept = own["provider_limit"], _first(own["own_mail"], config.quota.own_mail_per_day)
    if limit and limit <= kept:
        raise UsageError(
            f"of the {limit} messages a day that the provider of {address} takes, its owner's {kept} leave none",
            remedy="lower --own-mail or raise --provider-limit; `warmupd mailbox pause` keeps it from sending",
        )


def _first(own: int | None, default: T) -> int | T:
    return default if own is None else own


Rule = Callable[[str, Mapping[str, int | None], Config], None]
RULES: Mapping[tuple[str, ...], Rule] = {  # columns that hang together, and what raises UsageError about them
    HOURS: _check_hours,
    RAMP: _check_ramp,
    PROVIDER: _check_provider,
}
