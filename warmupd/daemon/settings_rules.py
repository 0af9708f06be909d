"""What the settings of a mailbox must keep to, together and beside the configuration's defaults."""

from collections.abc import Callable, Mapping
from typing import Any

from warmupd.config import Config
from warmupd.errors import UsageError
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
