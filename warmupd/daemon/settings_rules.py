"""What the settings of a mailbox must keep to, together and beside the configuration's defaults."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from warmupd.config import Config
from warmupd.core.provider_match import provider_of
from warmupd.errors import NotAllowed, UsageError
from warmupd.mail.content import Library

HOURS = ("start_hour", "end_hour")
RAMP = ("target_daily", "min_daily", "ramp_start")
PROVIDER = ("provider_limit", "own_mail")


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


def check_owner(providers: Iterable[str], changes: Mapping[str, Any]) -> None:
    """Raises NotAllowed when an owner would set what is for an admin to set.

    That is a provider's limit above the one that is known: a fleet whose mailboxes send more than their provider takes
    is refused as a whole. A lower one is the owner's own business, as are ramp, window and pool; what the plan allows
    cuts each day's quota anyway. `providers` are those that the mailboxes have, or are to have.
    """
    wanted = changes.get("provider_limit")
    for provider in map(provider_of, {str(changes["provider"])} if "provider" in changes else set(providers)):
        if wanted is not None and provider.daily_limit is not None and wanted > provider.daily_limit:
            raise NotAllowed(
                f"{provider.name} takes {provider.daily_limit:,} messages a day as far as is known; only an admin may"
                f" set more",
                remedy="ask an admin, or set no more than that",
            )


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


def _first(own: int | None, default: int) -> int:
    return default if own is None else own


Rule = Callable[[str, Mapping[str, int | None], Config], None]
RULES: Mapping[tuple[str, ...], Rule] = {  # columns that hang together, and what raises UsageError about them
    HOURS: _check_hours,
    RAMP: _check_ramp,
    PROVIDER: _check_provider,
}
