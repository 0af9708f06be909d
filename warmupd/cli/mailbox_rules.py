"""What the settings of a mailbox must keep to once they are changed, and how they are told."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.core.provider_rules import Advice
    from warmupd.store.mailbox_report import MailboxReport

FROM_NEXT_DAY = frozenset(
    {  # what is resolved when a day is opened
        "timezone",
        "start_hour",
        "end_hour",
        "weekdays_only",
        "target_daily",
        "min_daily",
        "ramp_start",
        "ramp_step",
        "already_warm",
        "provider_limit",
        "own_mail",
    }
)


async def check_rules(session: "Session", ids: Sequence[int], changes: Mapping[str, Any]) -> None:
    """Raises UsageError, with the address of a mailbox, when a value or what it makes with the others cannot be."""
    from warmupd.daemon.settings_rules import RULES, check_language
    from warmupd.store.changes import own_values

    check_language(session.config, changes)
    for columns, check in RULES.items():
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


def advice_on(mailbox: "MailboxReport", changes: Mapping[str, Any], *, password: bool, oauth: bool) -> "Advice | None":
    """What speaks against the password that the mailbox has, or is to have, at the provider that it is to be at."""
    from warmupd.core.provider_match import provider_of
    from warmupd.core.provider_rules import password_advice

    if oauth or (mailbox.oauth_provider and not password):
        return None
    return password_advice(provider_of(changes.get("provider", mailbox.provider)))


def tell_advice(address: str, advice: "Advice") -> None:
    """A warning: nobody has tried whether the password is taken all the same."""
    print(f"note: {address}: {advice.text}, and it was not tried; {advice.remedy}", file=sys.stderr)


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
