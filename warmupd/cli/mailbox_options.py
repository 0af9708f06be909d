"""The options that say how a mailbox is reached and how it sends, for `mailbox add` and `mailbox set` alike."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from warmupd.errors import UsageError


class Security(StrEnum):
    """As mail/account.py has it, without its imports."""

    TLS = "TLS"
    STARTTLS = "STARTTLS"


def _option(flag: str, help_text: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(flag, help=help_text, metavar=metavar, show_default=False, **more)


_security = {"case_sensitive": False}
SmtpHost = Annotated[str | None, _option("--smtp-host", "Server that mail is handed to.", "HOST")]
SmtpPort = Annotated[int | None, _option("--smtp-port", "Its port.", "PORT", min=1, max=65535)]
SmtpSecurity = Annotated[Security | None, _option("--smtp-security", "How it is secured.", **_security)]
SmtpUsername = Annotated[str | None, _option("--smtp-username", "Log-in name there.", "NAME")]
ImapHost = Annotated[str | None, _option("--imap-host", "Server that the mailbox is read on.", "HOST")]
ImapPort = Annotated[int | None, _option("--imap-port", "Its port.", "PORT", min=1, max=65535)]
ImapSecurity = Annotated[Security | None, _option("--imap-security", "How it is secured.", **_security)]
ImapUsername = Annotated[str | None, _option("--imap-username", "Log-in name there.", "NAME")]
JunkFolder = Annotated[str | None, _option("--junk-folder", "Its Junk folder, if not found by itself.", "NAME")]
Check = Annotated[bool, _option("--check/--no-check", "Log in to both servers first.")]

Name = Annotated[str | None, _option("--name", "Name that messages come from.", "NAME")]
Language = Annotated[str | None, _option("--language", "It writes in this language: two letters.", "xx")]
Timezone = Annotated[str | None, _option("--timezone", "Such as Europe/Berlin.", "ZONE")]
StartHour = Annotated[int | None, _option("--start-hour", "Sends from this local hour.", "HOUR", min=0, max=23)]
EndHour = Annotated[int | None, _option("--end-hour", "Sends up to this local hour.", "HOUR", min=1, max=24)]
Weekdays = Annotated[bool | None, _option("--weekdays-only/--every-day", "Whether weekends are free.")]
RampStart = Annotated[int | None, _option("--ramp-start", "Sends on the first day.", "N", min=0, max=2000)]
RampStep = Annotated[int | None, _option("--ramp-step", "More sends each day.", "N", min=0, max=2000)]
Target = Annotated[int | None, _option("--target", "Sends a day at the top.", "N", min=0, max=2000)]
Minimum = Annotated[int | None, _option("--minimum", "Sends a day once ramped.", "N", min=0, max=2000)]
OwnMail = Annotated[int | None, _option("--own-mail", "Its owner's messages a day.", "N", min=0, max=100000)]
ProviderLimit = Annotated[
    int | None, _option("--provider-limit", "Messages a day that the provider takes.", "N", min=0, max=100000)
]
AlreadyWarm = Annotated[bool | None, _option("--already-warm/--not-warm", "Its ramp starts at its minimum.")]
Pool = Annotated[str | None, _option("--pool", "Join this shared pool.", "NAME")]
CreatePool = Annotated[bool, _option("--create-pool", "Make the shared pool if there is none.")]

USUAL: Mapping[int, str] = {  # port to how it is secured
    465: "TLS",
    993: "TLS",
    587: "STARTTLS",
    25: "STARTTLS",
    2525: "STARTTLS",
    143: "STARTTLS",
}
COLUMNS: Mapping[str, str] = {  # option to column, where they differ
    "name": "display_name",
    "weekdays": "weekdays_only",
    "target": "target_daily",
    "minimum": "min_daily",
}
RESETTABLE: Mapping[str, str] = {  # word to column: what can go back to the default
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
}


def changes_of(given: Mapping[str, Any], reset: list[str]) -> dict[str, Any]:
    """Options that were used, by column; those named in `reset` as None. Raises UsageError for a word or value."""
    changes = {COLUMNS.get(name, name): _plain(value) for name, value in given.items() if value is not None}
    for word in reset:
        if word not in RESETTABLE:
            raise UsageError(f"{word} cannot be reset", remedy=f"one of: {', '.join(RESETTABLE)}")
        changes[RESETTABLE[word]] = None
    for column in ("smtp_host", "imap_host"):
        if column in changes:
            host(changes[column])
    if changes.get("timezone"):
        time_zone(changes["timezone"])
    if not re.fullmatch("[a-z]{2}", changes.get("language", "en")):
        raise UsageError(f"{changes['language']!r} is not a language", remedy="use two letters, such as en")
    return changes


def email(address: str) -> str:
    """`address` as plain SMTP takes it, its domain in ASCII; else UsageError."""
    from warmupd.mail.header_text import ascii_address

    local, at, domain = address.rpartition("@")
    if not (local and at and domain):
        raise UsageError(f"{address!r} is not an e-mail address", remedy="give it as name@example.com")
    return ascii_address(address)[0]


def host(name: str) -> str:
    """`name`, if it can be a mail server's: a name or an IP address; else UsageError."""
    if not re.fullmatch(r"[^\W_](?:[\w.-]*[\w.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", name):
        raise UsageError(f"{name!r} is not a mail server", remedy="give its name or address alone, as smtp.example.com")
    return name


def time_zone(name: str) -> str:
    """`name`, if there is such a zone; else UsageError."""
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise UsageError(f"there is no time zone {name}", remedy="use an IANA name, such as Europe/Berlin") from None
    return name


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value
