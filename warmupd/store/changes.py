"""What an owner may set on mailboxes, and setting it: all that is asked for, or nothing."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from warmupd.errors import UsageError
from warmupd.store.database import Database
from warmupd.store.grants import CONNECT, Grant, connecting

# What an owner may set on a mailbox: column to a word for the person who reads an error.
CHANGEABLE: Mapping[str, str] = {
    "display_name": "name",
    "labels": "labels",
    "provider": "provider",
    "smtp_host": "SMTP host",
    "smtp_port": "SMTP port",
    "smtp_security": "SMTP security",
    "smtp_username": "SMTP user name",
    "imap_host": "IMAP host",
    "imap_port": "IMAP port",
    "imap_security": "IMAP security",
    "imap_username": "IMAP user name",
    "junk_folder": "Junk folder",
    "language": "language",
    "timezone": "time zone",
    "start_hour": "start hour",
    "end_hour": "end hour",
    "weekdays_only": "weekdays only",
    "ramp_start": "ramp start",
    "ramp_step": "ramp step",
    "target_daily": "daily target",
    "min_daily": "daily minimum",
    "already_warm": "already warm",
    "own_mail": "own mail a day",
    "provider_limit": "provider's limit",
    "reply_rate": "reply rate",
    "star_rate": "star rate",
    "rescue": "rescue from spam",
    "visits_per_day": "visits a day",
    "warmup_folder": "warmup folder",
    "file_after_hours": "hours until filed",
    "retention_days": "days until deleted",
    "pool_id": "pool",
}
# Of these, what a user may set for all mailboxes whose own rows say nothing: columns of `user_settings`.
SETTABLE = (
    *("start_hour", "end_hour", "weekdays_only", "ramp_start", "ramp_step", "target_daily", "min_daily"),
    *("reply_rate", "star_rate", "rescue", "visits_per_day", "warmup_folder", "file_after_hours", "retention_days"),
)
_RANGES: Mapping[str, str] = {  # what the table takes; of the others, 0 and more
    "start_hour": "0 to 23",
    "end_hour": "1 to 24",
    "smtp_port": "1 to 65535",
    "imap_port": "1 to 65535",
    "reply_rate": "0 to 1",
    "star_rate": "0 to 1",
    "visits_per_day": "1 to 64",
    "file_after_hours": "0 to 8760",
    "retention_days": "more than 0, and 3650 at most",
}
_PRIVATE_POOL = "(SELECT p.id FROM pools p WHERE p.owner_id = mailboxes.user_id)"
_RELABELLED = """
    (SELECT coalesce(array_agg(t.label ORDER BY t.n), '{{}}')
     FROM (SELECT u.label, min(u.n) AS n FROM unnest(labels || ${add}::text[]) WITH ORDINALITY AS u (label, n)
           WHERE u.label = ANY (${add}) OR u.label <> ALL (${remove}) GROUP BY 1) AS t)
"""


async def change_mailboxes(
    db: Database,
    ids: Sequence[int],
    changes: Mapping[str, Any],
    *,
    add_labels: Sequence[str] = (),
    remove_labels: Sequence[str] = (),
    secrets: tuple[bytes, bytes] | None = None,
    grant: Grant | None = None,
) -> None:
    """Set columns of CHANGEABLE on mailboxes, in one transaction; a `pool_id` of None is each user's private pool.

    `secrets` are new sealed ones, for SMTP and IMAP; they take the place of a grant by OAuth, and `grant` of them.
    Raises UsageError when the table refuses a value; nothing is changed then.
    """
    values = checked(changes)
    own_pools = values.get("pool_id", 0) is None
    if own_pools:
        del values["pool_id"]
    if secrets is not None:
        values |= {"smtp_secret": secrets[0], "imap_secret": secrets[1], "auth_doubts": 0}
    sets = [f"{column} = ${n}" for n, column in enumerate(values, start=2)]
    arguments = list(values.values())
    if own_pools:
        sets.append(f"pool_id = {_PRIVATE_POOL}")
    if add_labels or remove_labels:
        sets.append(f"labels = {_RELABELLED.format(add=len(arguments) + 2, remove=len(arguments) + 3)}")
        arguments += [list(add_labels), list(remove_labels)]
    if not ids:
        return
    forget = "WITH gone AS (DELETE FROM oauth_grants WHERE mailbox_id = ANY ($1))" if secrets is not None else ""
    try:
        async with db.acquire() as connection, connection.transaction():
            if grant is not None:
                await connection.execute(CONNECT, *connecting(grant))
            if sets:
                await connection.execute(
                    f"{forget} UPDATE mailboxes SET {', '.join(sets)}, changed_at = clock_timestamp()"  # noqa: S608  the names are ours
                    " WHERE id = ANY ($1)",
                    ids,
                    *arguments,
                )
    except asyncpg.CheckViolationError as error:
        raise refusal(error) from error


async def own_values(
    db: Database, ids: Sequence[int], columns: Sequence[str], *, without: Collection[str] = ()
) -> list[tuple[str, dict[str, Any]]]:
    """What these mailboxes' rows, or their users' settings, say in `columns` of CHANGEABLE; None: a default holds.

    Each combination once, with the address of one of the mailboxes that have it. In the columns
    `without` the mailboxes' own words do not count.
    """
    words = []
    for column in checked(dict.fromkeys(columns)):
        places = [*(["m"] if column not in without else []), *(["s"] if column in SETTABLE else [])]
        told = ", ".join(f"{place}.{column}" for place in places)
        words.append(f"coalesce({told}) AS {column}" if told else f"NULL AS {column}")
    names = ", ".join(words)
    rows = await db.fetch(
        f"SELECT min(m.address) AS address, {names} FROM mailboxes m LEFT JOIN user_settings s USING (user_id)"  # noqa: S608  the names are ours
        f" WHERE m.id = ANY ($1) GROUP BY {', '.join(str(n) for n in range(2, len(columns) + 2))} ORDER BY 1",
        ids,
    )
    return [(row["address"], {column: row[column] for column in columns}) for row in rows]


async def limits_of(db: Database, ids: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
    """What says how many messages a day these mailboxes may send: provider, provider_limit and smtp_host.

    Each combination in a domain once, with the address of one of the mailboxes that have it.
    """
    rows = await db.fetch(
        "SELECT min(address) AS address, provider, provider_limit, smtp_host FROM mailboxes WHERE id = ANY ($1)"
        " GROUP BY lower(split_part(address, '@', 2)), 2, 3, 4 ORDER BY 1",
        ids,
    )
    return [(row["address"], {name: row[name] for name in ("provider", "provider_limit", "smtp_host")}) for row in rows]


def checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` as they are; UsageError when one is not of CHANGEABLE."""
    for column in changes:
        if column not in CHANGEABLE:
            raise UsageError(f"{column} of a mailbox cannot be set", remedy=f"one of: {', '.join(sorted(CHANGEABLE))}")
    return dict(changes)


def refusal(error: asyncpg.CheckViolationError) -> UsageError:
    """What the table refuses, in words: its own would name constraints. What a trigger says is in words already."""
    rule = (error.constraint_name or "").removeprefix("mailboxes_").removeprefix("user_settings_")
    column = rule.removesuffix("_check")
    if column == "address":
        return UsageError("that is not an e-mail address", remedy="give it as name@example.com")
    if column in CHANGEABLE:
        allowed = _RANGES.get(column, "0 or more")
        return UsageError(f"the {CHANGEABLE[column]} is out of range", remedy=f"it must be {allowed}")
    if rule == "check":
        return UsageError("the start hour is not before the end hour", remedy="let the window open before it closes")
    return UsageError(f"that is not possible: {error.args[0]}", remedy="see `warmupd mailbox set --help`")
