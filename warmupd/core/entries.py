"""What an owner enters about a mailbox, looked at before it is used: hosts, names, zones, labels, numbers."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from warmupd.core.providers import PROVIDERS
from warmupd.errors import UsageError

LONGEST = 200  # characters of a name, a user name, a folder or a label
LONGEST_FOLDER = 100  # of the warmup folder, as in the configuration
RANGES: Mapping[str, tuple[int, int]] = {  # column to the least and the most that is possible
    "smtp_port": (1, 65535),
    "imap_port": (1, 65535),
    "start_hour": (0, 23),
    "end_hour": (1, 24),
    "ramp_start": (0, 2000),
    "ramp_step": (0, 2000),
    "target_daily": (0, 2000),
    "min_daily": (0, 2000),
    "own_mail": (0, 100_000),
    "provider_limit": (0, 100_000),
    "visits_per_day": (1, 64),
}
SPANS: Mapping[str, tuple[float, float]] = {  # the same of what need not be whole
    "reply_rate": (0.0, 1.0),
    "star_rate": (0.0, 1.0),
    "file_after_hours": (0.0, 8760.0),
    "retention_days": (1.0, 3650.0),
}

DEFAULTS: Mapping[str, object] = {  # column to what stands there when its user's, or the configuration's, word holds
    "display_name": "",
    "junk_folder": "",
    "language": "",
    "timezone": None,
    "start_hour": None,
    "end_hour": None,
    "weekdays_only": None,
    "ramp_start": None,
    "ramp_step": None,
    "target_daily": None,
    "min_daily": None,
    "own_mail": None,
    "provider_limit": None,
    **dict.fromkeys(("reply_rate", "star_rate", "rescue", "visits_per_day", "warmup_folder", "file_after_hours")),
    "retention_days": None,
    "pool_id": None,
}
SECURITIES = ("TLS", "STARTTLS")

_BREAKING = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")  # ends a line, is invisible, or is no text


def columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` of a mailbox's row, each looked at for itself; else UsageError. What is the default passes as it is."""
    return {column: _column(column, value) for column, value in changes.items()}


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
        remedy = "use an IANA name, such as Europe/Berlin"
        raise UsageError(f"there is no time zone {name or repr(name)}", remedy=remedy) from None
    return name


def label(word: str) -> str:
    """`word`, if it is one; else UsageError: labels are listed with spaces between them."""
    if not word.isprintable() or not re.fullmatch(rf"[^\s,]{{1,{LONGEST}}}", word):
        raise UsageError(f"{word!r} is not a label", remedy="a label is one word, without spaces and commas: client-a")
    return word


def provider_word(word: str) -> str:
    """The word of a provider in core/providers.py; else UsageError."""
    if word.lower() in PROVIDERS:
        return word.lower()
    raise UsageError(f"there is no provider {word or repr(word)}", remedy=f"one of: {', '.join(sorted(PROVIDERS))}")


def issuer(text: str) -> str:
    """Who gives a mailbox's tokens, as the Postgres ENUM `oauth_provider` has it; else UsageError."""
    if text.upper() in {"GOOGLE", "MICROSOFT"}:
        return text.upper()
    raise UsageError(f"OAuth of {text!r} is not known", remedy="give google or microsoft")


def refresh_token(text: str) -> str:
    """`text` without the spaces around it, if it can be a refresh token; else UsageError, which does not show it."""
    token = text.strip()
    if not token or not token.isprintable() or " " in token:
        raise UsageError(
            "that is no refresh token", remedy="give the refresh token that the provider gave, in one line"
        )
    return token


def language(name: str) -> str:
    """`name`, if it can be a language's; else UsageError. Whether there are templates in it is asked elsewhere."""
    if not re.fullmatch("[a-z]{2}", name):
        raise UsageError(f"{name!r} is not a language", remedy="use two letters, such as en")
    return name


def security(text: str) -> str:
    """How a port is secured, as the Postgres ENUM `mail_security` has it; else UsageError."""
    if text.upper() in SECURITIES:
        return text.upper()
    raise UsageError(f"security {text!r} is not known", remedy="give tls (from the first byte on) or starttls")


def number(column: str, value: int) -> int:
    """`value`, if it is possible there; else UsageError."""
    least, most = RANGES[column]
    if not least <= value <= most:
        remedy = f"give a whole number from {least} to {most}"
        raise UsageError(f"{column.replace('_', ' ')} {value} is not possible", remedy=remedy)
    return value


def _column(column: str, value: Any) -> Any:
    if column in DEFAULTS and value == DEFAULTS[column]:
        return value
    if column in RANGES:
        return number(column, value)
    if column in SPANS:
        return _measure(column, value)
    return CHECKS[column](value) if column in CHECKS else value


def _measure(column: str, value: Any) -> float:
    least, most = SPANS[column]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        told = f"{column.replace('_', ' ')} {value} is not possible"
        raise UsageError(told, remedy=f"give a number from {least:g} to {most:g}")
    return float(value)


def _text(what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not text.strip() or len(text) > LONGEST or _BREAKING.search(text):
            raise UsageError(f"{text!r} is not a {what}", remedy=f"give one line of at most {LONGEST} characters")
        return text

    return check


_folder = _text("folder")


def warmup_folder(name: str) -> str:
    """`name`, if messages can be filed in a folder of that name; else UsageError."""
    if name.strip().upper() == "INBOX" or len(name) > LONGEST_FOLDER:
        raise UsageError(f"{name!r} is not a folder to file messages in", remedy="give another name, such as Warmup")
    return _folder(name)


CHECKS: Mapping[str, Callable[[str], str]] = {  # column to what raises UsageError
    "display_name": _text("name"),
    "provider": provider_word,
    "smtp_security": security,
    "imap_security": security,
    "smtp_host": host,
    "smtp_username": _text("user name"),
    "imap_host": host,
    "imap_username": _text("user name"),
    "junk_folder": _text("folder"),
    "warmup_folder": warmup_folder,
    "language": language,
    "timezone": time_zone,
}
