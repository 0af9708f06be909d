"""What the settings of a mailbox must keep to once they are changed, and how they are told."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.config import Config

_HOURS = ("start_hour", "end_hour")
_RAMP = ("target_daily", "min_daily", "ramp_start")
_PROVIDER = ("provider_limit", "own_mail")
FROM_NEXT_DAY = frozenset(
    {  # what is resolved when a day is opened
        "timezone",
        *_HOURS,
        "weekdays_only",
        *_RAMP,
        "ramp_step",
        "already_warm",
        *_PROVIDER,
    }
)


async def check_rules(session: "Session", ids: Sequence[int], changes: Mapping[str, Any]) -> None:
    """Raises UsageError, with the address of a mailbox, when a value or what it makes with the others cannot be."""
    from warmupd.store.changes import own_values

    _check_language(session.config, changes)
    for columns, check in ((_HOURS, _check_hours), (_RAMP, _check_ramp), (_PROVIDER, _check_provider)):
        if changes.keys() & set(columns):
            for address, own in await own_values(session.db, ids, columns):
                check(
                    address, own | {column: changes[column] for column in columns if column in changes}, session.config
                )


async def check_servers(session: "Session", ids: Sequence[int], changes: Mapping[str, Any]) -> None:
    """Raises ForbiddenHost when a server that they are to have may not be connected to."""
    from warmupd.daemon.host_check import check_hosts
    from warmupd.store.changes import own_values

    for columns in (("smtp_host", "smtp_port"), ("imap_host", "imap_port")):
        if changes.keys() & set(columns):
            rows = [{**own, **changes} for _, own in await own_values(session.db, ids, columns)]
            await check_hosts(session.config, [(row[columns[0]], row[columns[1]]) for row in rows])


def _check_language(config: "Config", changes: Mapping[str, Any]) -> None:
    from warmupd.mail.content import Library

    if not changes.get("language"):
        return
    there = Library.load(config.content.templates_dir, config.content.language).languages
    if changes["language"] not in there:
        raise UsageError(
            f"there are no templates in the language {changes['language']!r}", remedy=f"one of: {', '.join(there)}"
        )


def _check_hours(address: str, own: Mapping[str, int | None], config: "Config") -> None:
    opens = _first(own["start_hour"], config.window.start_hour)
    closes = _first(own["end_hour"], config.window.end_hour)
    if opens >= closes:
        raise UsageError(
            f"the window of {address} would open at hour {opens} and close at hour {closes}",
            remedy="give --start-hour and --end-hour so that it opens before it closes",
        )


def _check_ramp(address: str, own: Mapping[str, int | None], config: "Config") -> None:
    """As the configuration has it. The defaults give way to a mailbox's own target: its quota just ends there."""
    target = _first(own["target_daily"], config.quota.target_daily)
    for column, option, word in (("min_daily", "minimum", "daily minimum"), ("ramp_start", "ramp-start", "ramp start")):
        least = own[column]
        if least is not None and least > target:
            raise UsageError(
                f"the {word} of {address} would be {least}, above its daily target of {target}",
                remedy=f"lower --{option} (--reset {option} takes the default), or raise --target",
            )


def _check_provider(address: str, own: Mapping[str, int | None], config: "Config") -> None:
    limit, kept = own["provider_limit"], _first(own["own_mail"], config.quota.own_mail_per_day)
    if limit and limit <= kept:
        raise UsageError(
            f"of the {limit} messages a day that the provider of {address} takes, its owner's {kept} leave none",
            remedy="lower --own-mail or raise --provider-limit; `warmupd mailbox pause` keeps it from sending",
        )


def in_words(column: str, value: object, *, pool: str | None) -> str:
    """A change as it is told once it is done."""
    from warmupd.store.changes import CHANGEABLE

    word = CHANGEABLE[column]
    match column, value:
        case "pool_id", _:
            return "their user's private pool" if pool is None else f"pool {pool}"
        case "junk_folder", "":
            return f"{word} found by itself"
        case _, None | "":
            return f"{word} none" if column == "display_name" else f"{word} the default"
        case _, bool():
            return f"{word} {'yes' if value else 'no'}"
        case _:
            return f"{word} {value}"


def _first(own: int | None, default: int) -> int:
    return default if own is None else own
