"""The old system's tables and columns: the names that are looked for, and which of them are there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from warmupd.errors import UsageError

Tables = Mapping[str, Mapping[str, str]]  # name of a table to its columns, and their types as Postgres says them

# Table to the names it may have; the first that is there counts. Case and underscores make no difference: `smtp_host`,
# `smtpHost` and `SmtpHost` are one name, as are `warmup_logs` and Prisma's `WarmupLogs`.
TABLES: Mapping[str, tuple[str, ...]] = {
    "accounts": ("accounts", "account", "mailboxes", "mailbox", "email_accounts", "email_account"),
    "users": ("users", "user", "profiles"),
    "plans": ("plans", "plan", "subscription_plans"),
    "logs": ("logs", "log", "email_logs", "email_log"),
    "warmup_logs": ("warmup_logs", "warmup_log"),
}
_PASSWORDS = ("{}_password", "{}_pass", "{}_password_encrypted", "encrypted_{}_password", "{}_pwd", "{}_secret")
_BOTH_PASSWORDS = ("password", "encrypted_password", "password_encrypted", "app_password", "pass", "credentials")


def _servers(kind: str) -> dict[str, tuple[str, ...]]:
    return {
        f"{kind}_host": (f"{kind}_host", f"{kind}_server", f"{kind}_hostname"),
        f"{kind}_port": (f"{kind}_port",),
        f"{kind}_security": (f"{kind}_security", f"{kind}_encryption"),
        f"{kind}_secure": (f"{kind}_secure", f"{kind}_ssl", f"{kind}_tls", f"{kind}_use_ssl", f"{kind}_use_tls"),
        f"{kind}_username": (f"{kind}_username", f"{kind}_user", f"{kind}_login", "username", "login"),
        f"{kind}_password": tuple(name.format(kind) for name in _PASSWORDS) + _BOTH_PASSWORDS,
    }


# Table to its columns, by the word that `--map` takes, to the names each may have.
COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "accounts": {
        "id": ("id", "account_id", "mailbox_id"),
        "email": ("email", "email_address", "address", "mail"),
        "user": ("user_id", "owner_id", "created_by", "owner"),
        "name": ("display_name", "from_name", "sender_name", "name", "full_name"),
        "first_name": ("first_name",),
        "last_name": ("last_name",),
        **_servers("smtp"),
        **_servers("imap"),
        "timezone": ("timezone", "time_zone", "tz"),
        "status": ("status", "state"),
        "active": ("is_active", "active", "enabled", "is_enabled"),
        "warmup_enabled": ("warmup_enabled", "is_warmup_enabled", "warmup_active", "enable_warmup", "is_warming"),
        "warmup_day": ("warmup_day", "current_day", "ramp_day", "warmup_day_count", "day_counter", "warmup_days"),
        "warmup_since": ("warmup_started_at", "warmup_start_date", "warmup_start", "warmup_enabled_at", "started_at"),
        "target_daily": ("warmup_limit", "target_daily", "max_daily", "max_per_day", "warmup_target", "target_per_day"),
        "ramp_step": ("warmup_increment", "ramp_step", "daily_increment", "increment", "ramp_increment"),
        "deleted_at": ("deleted_at", "removed_at", "archived_at"),
    },
    "users": {
        "id": ("id", "user_id"),
        "email": ("email", "email_address", "mail"),
        "name": ("name", "full_name", "display_name"),
        "role": ("role", "user_role"),
        "is_admin": ("is_admin", "admin", "is_superuser"),
        "password": ("password_hash", "hashed_password", "password", "password_digest"),
        "plan": ("plan_id", "plan", "plan_name", "subscription_plan", "subscription_plan_id"),
        "timezone": ("timezone", "time_zone", "tz"),
        "deleted_at": ("deleted_at", "removed_at"),
    },
    "plans": {
        "id": ("id", "plan_id"),
        "name": ("name", "plan_name", "title", "slug"),
        "priority": ("priority",),
        "mailbox_limit": ("mailbox_limit", "max_mailboxes", "max_accounts", "account_limit", "accounts_limit"),
        "per_hour": ("hourly_limit", "per_hour", "emails_per_hour", "max_per_hour", "sends_per_hour"),
        "per_minute": ("minute_limit", "per_minute", "emails_per_minute", "max_per_minute"),
        "sends_per_day": ("sends_per_mailbox", "daily_limit_per_mailbox", "max_per_mailbox", "mailbox_daily_limit"),
    },
    "logs": {
        "sender": ("sender_id", "mailbox_id", "account_id", "from_id", "sender_account_id"),
        "timestamp": ("timestamp", "sent_at", "created_at", "date", "time"),
        "status": ("status", "state"),
    },
    "warmup_logs": {
        "mailbox": ("mailbox_id", "account_id", "sender_id"),
        "date": ("date", "day", "log_date"),
        "sent_count": ("sent_count", "sent", "emails_sent", "count"),
        "daily_limit": ("daily_limit", "quota", "limit", "daily_quota"),
    },
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "accounts": ("id", "email"),
    "users": ("id", "email"),
    "plans": ("id", "name"),
    "logs": ("sender", "timestamp", "status"),
    "warmup_logs": ("mailbox", "date", "sent_count"),
}
# What may be a mailbox's, a user's or the owner's own number: taken only when `--map` says what it is.
AMBIGUOUS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "accounts": ("target_daily", ("daily_limit", "daily_quota", "max_daily_emails", "max_emails_per_day")),
    "plans": ("sends_per_day", ("daily_limit", "emails_per_day", "max_emails_per_day", "daily_quota")),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table that is there, and its columns as far as they mean something here."""

    name: str
    columns: Mapping[str, str]  # our word to its name
    types: Mapping[str, str]  # our word to its type
    unused: tuple[str, ...]  # columns that nothing is taken from


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What was found of TABLES."""

    tables: Mapping[str, Table]
    notes: tuple[str, ...] = field(default=())


def find_layout(there: Tables, maps: Mapping[str, str], *, owner_given: bool = False) -> Layout:
    """The old tables in `there`. `maps` names what is called otherwise (`accounts.email` to `mail_box`, `logs` to
    `history`; "" for what is to be left out), and comes first. `owner_given`: somebody is named for all accounts.

    Raises UsageError that names the table or column that is missing, and how to map it.
    """
    _check_maps(maps)
    notes: list[str] = []
    tables = {}
    for noun, names in TABLES.items():
        name = _table(noun, names, there, maps, notes, owner_given=owner_given)
        if name is not None:
            tables[noun] = _read(noun, name, there[name], maps, notes)
    if "logs" not in tables and "warmup_logs" not in tables and not {"logs", "warmup_logs"} <= maps.keys():
        raise UsageError(
            "there is neither a table logs nor warmup_logs: what was sent, and how far ramps have come, is not known",
            remedy=f"name it with --map logs=TABLE; --map logs= --map warmup_logs= does without ({_list(there)})",
        )
    return Layout(tables=tables, notes=tuple(notes))


def _check_maps(maps: Mapping[str, str]) -> None:
    known = [*TABLES, *(f"{noun}.{word}" for noun, words in COLUMNS.items() for word in words)]
    for key in maps:
        if key not in known:
            table = key.partition(".")[0]
            mine = [word for word in known if word.startswith(f"{table}.")] or list(TABLES)
            raise UsageError(f"--map {key}: there is no such word", remedy=f"one of: {', '.join(mine)}")


def _table(
    noun: str, names: tuple[str, ...], there: Tables, maps: Mapping[str, str], notes: list[str], *, owner_given: bool
) -> str | None:
    if noun in maps:
        if maps[noun] and maps[noun] not in there:
            raise UsageError(f"--map {noun}={maps[noun]}: there is no such table", remedy=_list(there))
        found: str | None = maps[noun] or None
    else:
        found = _known_table(noun, names, there, owner_given=owner_given)
    if found is None:
        notes.append(f"there is no table {noun}: nothing is taken from it")
    return found


def _known_table(noun: str, names: tuple[str, ...], there: Tables, *, owner_given: bool) -> str | None:
    plain = {_plain(name): name for name in there}
    found = next((plain[_plain(name)] for name in names if _plain(name) in plain), None)
    if found is None and (noun == "accounts" or (noun == "users" and not owner_given)):
        besides = "" if noun == "accounts" else ", or give --user EMAIL, who gets all mailboxes"
        raise UsageError(
            f"the old database has no table {noun} (looked for: {', '.join(names)})",
            remedy=f"name it with --map {noun}=TABLE{besides}; {_list(there)}",
        )
    return found


def _read(noun: str, name: str, columns: Mapping[str, str], maps: Mapping[str, str], notes: list[str]) -> Table:
    plain = {_plain(column): column for column in columns}
    found = {}
    for word, names in COLUMNS[noun].items():
        said = maps.get(f"{noun}.{word}")
        if said and said not in columns:
            raise UsageError(
                f"--map {noun}.{word}={said}: the table {name} has no such column",
                remedy=f"it has: {', '.join(columns)}",
            )
        column = next((plain[_plain(one)] for one in names if _plain(one) in plain), "") if said is None else said
        if column:
            found[word] = column
        elif word in NEEDED[noun]:
            raise UsageError(
                f"the table {name} has no column for {noun}.{word} (looked for: {', '.join(names)})",
                remedy=f"name it with --map {noun}.{word}=COLUMN; it has: {', '.join(columns)}",
            )
    unused = tuple(column for column in columns if column not in found.values())
    _note_ambiguous(noun, found, unused, notes)
    types = {word: columns[column] for word, column in found.items()}
    return Table(name=name, columns=found, types=types, unused=unused)


def _note_ambiguous(noun: str, found: Mapping[str, str], unused: tuple[str, ...], notes: list[str]) -> None:
    word, names = AMBIGUOUS.get(noun, ("", ()))
    wanted = {_plain(name) for name in names}
    notes.extend(
        f"{noun}.{column} was left out, since it does not say what it limits:"
        f" --map {noun}.{word}={column} takes it as {_MEANING[noun]}"
        for column in unused
        if word not in found and _plain(column) in wanted
    )


_MEANING = {"accounts": "the mailbox's daily target", "plans": "the most sends of one mailbox a day"}


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _list(there: Tables) -> str:
    return f"there are: {', '.join(there)}" if there else "the schema is empty: ?schema=NAME in the URL names another"
