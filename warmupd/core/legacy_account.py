"""A row of the old system's accounts as an application: what it says of a mailbox, read into today's words."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from warmupd.core import entries
from warmupd.core.application import USUAL, Application
from warmupd.errors import UsageError

OFF = "its warmup was off in the old system"
_NO = {"false", "f", "0", "no", "off", "n"}
_OFF = {"paused", "inactive", "disabled", "stopped", "off", "suspended", "false", "cancelled", "canceled"}
_GONE = {"deleted", "removed", "archived"}
_BROKEN = {"error", "auth_failed", "auth_error", "invalid", "disconnected", "invalid_credentials"}
_SECURITY = {"ssl": "TLS", "tls": "TLS", "ssl/tls": "TLS", "starttls": "STARTTLS"}


@dataclass(frozen=True, kw_only=True, slots=True)
class OldAccount:
    """One account as the old database tells it; its secrets are as they stood there, sealed or not."""

    id: str
    user_id: str
    application: Application
    smtp_secret: str = field(repr=False)
    imap_secret: str = field(repr=False)
    broken: str = ""  # the old system's word for a login that did not work
    warmup_day: int | None = None
    warmup_since: dt.date | None = None
    doubts: tuple[str, ...] = ()  # what could not be read and was left out


@dataclass(slots=True)
class _Row:
    """The cells that say something, and what was wrong with others."""

    cells: Mapping[str, str]
    doubts: list[str] = field(default_factory=list)

    def text(self, word: str) -> str:
        return self.cells.get(word, "").strip()

    def number(self, word: str, column: str) -> int | None:
        """A whole number in its column's range; None for nothing, and for what is none."""
        said = self.text(word)
        if not said:
            return None
        whole = said.partition(".")[0]
        least, most = entries.RANGES[column]
        if whole.isascii() and whole.isdigit() and len(whole) < 10 and least <= int(whole) <= most:
            return int(whole)
        self.doubts.append(f"{word} {said[:30]!r} is not a number from {least} to {most}")
        return None

    def checked(self, word: str, column: str) -> str | None:
        """What passes as `column`; None for nothing, and for what does not."""
        said = self.text(word)
        try:
            return entries.CHECKS[column](said) if said else None
        except UsageError:
            self.doubts.append(f"{word} {said[:60]!r} cannot be used")
            return None

    def no(self, word: str) -> bool:
        return self.text(word).lower() in _NO


def read_account(cells: Mapping[str, str | None], address: str) -> OldAccount:
    """The account of a row: `cells` by the words of COLUMNS["accounts"], NULL as None; `address` has been checked.

    Raises UsageError when its servers cannot be read. What else cannot be is left out, and stands among the doubts.
    """
    row = _Row({word: cell for word, cell in cells.items() if cell is not None})
    status = row.text("status").lower()
    off = status in _OFF or row.no("active") or row.no("warmup_enabled")
    application = Application(
        address=address,
        servers=_servers(row),
        display_name=_name(row),
        settings=_settings(row),
        pause_reason=OFF if off else "",
    )
    secrets = [row.cells.get(f"{kind}_password", "") for kind in ("smtp", "imap")]
    account = OldAccount(
        id=row.text("id"),
        user_id=row.text("user"),
        application=application,
        smtp_secret=secrets[0] or secrets[1],
        imap_secret=secrets[1] or secrets[0],
        broken=status if status in _BROKEN else "",
        warmup_day=_day(row.text("warmup_day")),
        warmup_since=_date(row.text("warmup_since")),
    )
    return replace(account, doubts=tuple(row.doubts))


def is_gone(cells: Mapping[str, str]) -> bool:
    """Whether the old system has deleted it."""
    return bool(cells.get("deleted_at")) or cells.get("status", "").lower() in _GONE


def _servers(row: _Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("smtp", "imap"):
        said = row.text(f"{kind}_host")
        port = row.number(f"{kind}_port", f"{kind}_port")
        parts = {
            "host": entries.host(said.lower()) if said else None,
            "port": port,
            "security": _security(row, kind, port),
            "username": row.checked(f"{kind}_username", f"{kind}_username"),
        }
        found |= {f"{kind}_{part}": value for part, value in parts.items() if value is not None}
    return found


def _security(row: _Row, kind: str, port: int | None) -> str | None:
    """By a word of its own, else by the port, else by nodemailer's `secure`, which means TLS from the first byte on."""
    said = row.text(f"{kind}_security").lower()
    if port in USUAL and said != "starttls":  # "tls" beside 587 means what 587 means
        return None
    if said in _SECURITY:
        return _SECURITY[said]
    secure = row.text(f"{kind}_secure")
    if port in USUAL or not secure:
        return None
    return "STARTTLS" if row.no(f"{kind}_secure") else "TLS"


def _name(row: _Row) -> str:
    said = row.text("name") or " ".join(filter(None, (row.text("first_name"), row.text("last_name"))))
    plain = "".join(one if one.isprintable() else " " for one in said)
    return " ".join(plain.split())[: entries.LONGEST].rstrip()


def _settings(row: _Row) -> dict[str, Any]:
    found: dict[str, Any] = {word: row.number(word, word) for word in ("target_daily", "ramp_step")}
    found["timezone"] = row.checked("timezone", "timezone")
    return {word: value for word, value in found.items() if value is not None}


def _day(said: str) -> int | None:
    whole = said.partition(".")[0]
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) < 6 else None


def _date(said: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(said[:10])
    except ValueError:
        return None
