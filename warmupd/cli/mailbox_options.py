"""The options that say how a mailbox is reached and how it sends, for `mailbox add` and `mailbox set` alike."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from warmupd.core import entries
from warmupd.errors import UsageError


def _option(flag: str, help_text: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(flag, help=help_text, metavar=metavar, show_default=False, **more)


def _number(flag: str, help_text: str, least: int, most: int, metavar: str = "N", *, default: str = "") -> Any:
    """An option that takes a whole number, and says so in words when it gets something else."""
    told = f"{help_text} {least} to {most}." + (f" (default: {default})" if default else "")

    def number(text: str) -> int:
        if re.fullmatch(r"\d{1,9}", text, re.ASCII) and least <= int(text) <= most:
            return int(text)
        raise UsageError(f"{flag} {text} is not possible", remedy=f"give a whole number from {least} to {most}")

    return _option(flag, told, metavar, parser=number)


def _security(flag: str) -> Any:
    def security(text: str) -> str:
        if text.upper() in {"TLS", "STARTTLS"}:
            return text.upper()
        raise UsageError(f"{flag} {text} is not known", remedy="give tls (from the first byte on) or starttls")

    return _option(flag, "How that port is secured.", "tls|starttls", parser=security)


def _issuer(text: str) -> str:
    if text.lower() in {"google", "microsoft"}:
        return text.upper()
    raise UsageError(f"--oauth {text} is not known", remedy="give google or microsoft")


OAuth = Annotated[
    str | None,
    _option(
        "--oauth",
        "Log in by OAuth instead of a password: asks for a refresh token, or reads it from standard input.",
        "google|microsoft",
        parser=_issuer,
    ),
]
SmtpHost = Annotated[str | None, _option("--smtp-host", "Server that mail is handed to.", "HOST")]
SmtpPort = Annotated[int | None, _number("--smtp-port", "Its port,", 1, 65535, "PORT")]
SmtpSecurity = Annotated[str | None, _security("--smtp-security")]
SmtpUsername = Annotated[str | None, _option("--smtp-username", "Log-in name there.", "NAME")]
ImapHost = Annotated[str | None, _option("--imap-host", "Server that the mailbox is read on.", "HOST")]
ImapPort = Annotated[int | None, _number("--imap-port", "Its port,", 1, 65535, "PORT")]
ImapSecurity = Annotated[str | None, _security("--imap-security")]
ImapUsername = Annotated[str | None, _option("--imap-username", "Log-in name there.", "NAME")]
JunkFolder = Annotated[str | None, _option("--junk-folder", "Its spam folder, if it is not found by itself.", "NAME")]
Check = Annotated[bool, _option("--check/--no-check", "Log in to both servers first, or not. (default: check)")]

Name = Annotated[str | None, _option("--name", "Name that its messages come from, such as 'Anna North'.", "NAME")]
Language = Annotated[
    str | None, _option("--language", "What it writes in: two letters. (default: content.language)", "xx")
]
Timezone = Annotated[
    str | None, _option("--timezone", "Such as Europe/Berlin. (default: its user's, else window.timezone)", "ZONE")
]
StartHour = Annotated[
    int | None,
    _number("--start-hour", "First local hour in which it sends,", 0, 23, "HOUR", default="window.start_hour"),
]
EndHour = Annotated[
    int | None,
    _number("--end-hour", "Local hour from which on it sends no more,", 1, 24, "HOUR", default="window.end_hour"),
]
Weekdays = Annotated[
    bool | None,
    _option("--weekdays-only/--every-day", "Whether Saturdays and Sundays are free. (default: window.weekdays_only)"),
]
RampStart = Annotated[
    int | None, _number("--ramp-start", "Sends on the ramp's first day,", 0, 2000, default="quota.ramp_start")
]
RampStep = Annotated[
    int | None, _number("--ramp-step", "More sends on each day of the ramp,", 0, 2000, default="quota.ramp_step")
]
Target = Annotated[
    int | None, _number("--target", "Sends a day at the top of the ramp,", 0, 2000, default="quota.target_daily")
]
Minimum = Annotated[
    int | None, _number("--minimum", "Least sends a day once ramped,", 0, 2000, default="quota.min_daily")
]
OwnMail = Annotated[
    int | None,
    _number(
        "--own-mail",
        "Its owner's own messages a day, kept free of the provider's limit,",
        0,
        100_000,
        default="quota.own_mail_per_day",
    ),
]
ProviderLimit = Annotated[
    int | None,
    _number(
        "--provider-limit",
        "Messages a day that its provider takes, own mail included,",
        0,
        100_000,
        default="its provider's, where it is known",
    ),
]
AlreadyWarm = Annotated[
    bool | None, _option("--already-warm/--not-warm", "Whether its ramp starts at its daily minimum. (default: not)")
]
Pool = Annotated[
    str | None,
    _option(
        "--pool",
        "Write to the mailboxes of this shared pool, and hear from them. (default: its user's private one)",
        "NAME",
    ),
]
Engagement = Annotated[
    list[str] | None,
    _option(
        "--engagement",
        "How it treats its mail, may be repeated: a key of section engagement and its value, such as reply_rate=0.5,"
        " star_rate=0.1, rescue=no, visits_per_day=4, folder=Warmup, file_after_hours=24 or retention_days=14.",
        "KEY=VALUE",
    ),
]
CreatePool = Annotated[bool, _option("--create-pool", "Make the shared pool if there is none.")]


Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="WORD",
        parser=entries.provider_word,
        help="Who runs its servers, such as gmail or own. (default: as address, servers or MX tell)",
        show_default=False,
    ),
]

SENDING_OPTIONS = (
    "provider",
    "junk_folder",
    "name",
    "language",
    "timezone",
    "start_hour",
    "end_hour",
    "weekdays",
    "ramp_start",
    "ramp_step",
    "target",
    "minimum",
    "already_warm",
    "own_mail",
    "provider_limit",
)
ENGAGEMENT: Mapping[str, str] = {  # key of that section to column
    **{word: word for word in ("reply_rate", "star_rate", "rescue", "visits_per_day")},
    "folder": "warmup_folder",
    "file_after_hours": "file_after_hours",
    "retention_days": "retention_days",
}
COLUMNS: Mapping[str, str] = {  # option to column, where they differ
    "name": "display_name",
    "weekdays": "weekdays_only",
    "target": "target_daily",
    "minimum": "min_daily",
}
RESETTABLE: Mapping[str, str] = {  # word to column
    "name": "display_name",
    "junk-folder": "junk_folder",
    "language": "language",
    "timezone": "timezone",
    "start-hour": "start_hour",
    "end-hour": "end_hour",
    "weekdays-only": "weekdays_only",
    "ramp-start": "ramp_start",
    "ramp-step": "ramp_step",
    "target": "target_daily",
    "minimum": "min_daily",
    "own-mail": "own_mail",
    "provider-limit": "provider_limit",
    **{word.replace("_", "-"): column for word, column in ENGAGEMENT.items()},
    "pool": "pool_id",
}


def changes_of(given: Mapping[str, Any], reset: Sequence[str]) -> dict[str, Any]:
    """Options that were given, by column, and those named in `reset` as their default. Raises UsageError."""
    changes = {COLUMNS.get(name, name): value for name, value in given.items() if value is not None}
    for word in reset:
        if word not in RESETTABLE:
            raise UsageError(f"{word} cannot be reset", remedy=f"one of: {', '.join(RESETTABLE)}")
        column = RESETTABLE[word]
        if column in changes:
            raise UsageError(f"{word} cannot be set and reset at once", remedy="give one of the two")
        changes[column] = entries.DEFAULTS[column]
    return entries.columns(changes)


def engagement_of(texts: Sequence[str]) -> dict[str, Any]:
    """What was given as KEY=VALUE, by column. Raises UsageError."""
    found: dict[str, Any] = {}
    for text in texts:
        word, _, value = text.partition("=")
        column = ENGAGEMENT.get(word.strip().replace("-", "_"), "")
        if not column:
            raise UsageError(f"--engagement {text} is not known", remedy=f"one of: {', '.join(ENGAGEMENT)}")
        found[column] = _told(column, value.strip(), text)
    return found


def _told(column: str, value: str, text: str) -> object:
    told = UsageError(f"--engagement {text} is not possible", remedy="give it as reply_rate=0.5, rescue=no or folder=X")
    if column == "rescue":
        if value.lower() not in {"yes", "no", "true", "false"}:
            raise told
        return value.lower() in {"yes", "true"}
    if column not in entries.RANGES and column not in entries.SPANS:
        return value
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?" if column in entries.SPANS else r"\d{1,6}", value, re.ASCII):
        raise told
    return float(value) if column in entries.SPANS else int(value)


def email(address: str) -> str:
    """`address` as plain SMTP takes it, its domain in ASCII; else UsageError."""
    from warmupd.mail.header_text import mail_address

    return mail_address(address)
