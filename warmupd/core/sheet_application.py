"""A row of a sheet as an application: every cell read into what it means, or a reason why it cannot be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from warmupd.core import entries
from warmupd.core.application import Application, Secrets
from warmupd.core.sheet import Cell, SheetRow
from warmupd.core.sheet_columns import Columns
from warmupd.errors import UsageError

WARMUP_OFF = "warmup was off in the imported file"
_SECURITY = {"tls": "TLS", "ssl": "TLS", "ssl/tls": "TLS", "tls/ssl": "TLS", "starttls": "STARTTLS"}
_YES = {"yes", "y", "true", "t", "1", "on", "enabled"}
_NO = {"no", "n", "false", "f", "0", "off", "disabled"}
_TEXTS = ("junk_folder", "language", "timezone")
_NUMBERS = (
    *("start_hour", "end_hour", "ramp_start", "ramp_step", "target_daily", "min_daily", "own_mail", "provider_limit"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What holds for rows that say nothing themselves; `labels` are added to every row's own."""

    labels: tuple[str, ...] = ()
    pool: str | None = None
    already_warm: bool = False
    guess: bool = False


def address_of(row: SheetRow, columns: Columns, read_address: Callable[[str], str]) -> str:
    """The address in the column of addresses; "" when it is none: what stands there may be part of a password."""
    place = columns.fields["email"]
    try:
        return read_address(row.cells[place].text.strip()) if place < len(row.cells) else ""
    except UsageError:
        return ""


def read_application(
    row: SheetRow, columns: Columns, given: Given, read_address: Callable[[str], str]
) -> tuple[Application, Secrets]:
    """What the row says; `read_address` gives an address as it is used, or raises UsageError.

    Raises UsageError that says what is wrong with which column. It shows no cell: where a delimiter has cut a password
    in two and another cell is missing, its end stands in any of them.
    """
    _check_shape(row, columns)
    cells = {name: row.cells[place] for name, place in columns.fields.items()}
    texts = {name: cell.text.strip() for name, cell in cells.items() if cell.text.strip()}
    if "email" not in texts:
        raise UsageError("it has no address", remedy="fill in the column of addresses")
    application = Application(
        address=_checked("email", read_address, texts["email"]),
        servers=_servers(texts),
        provider=_about("provider", entries.provider_word, texts),
        guess=given.guess,
        display_name=_name(texts),
        labels=tuple(dict.fromkeys((*labels_in(texts.get("labels", "")), *given.labels))),
        pool=texts.get("pool", given.pool),
        settings=_settings(texts, given),
        pause_reason="" if yes("warmup", texts) in {None, True} else WARMUP_OFF,
    )
    return application, _secrets(cells, texts)


def _check_shape(row: SheetRow, columns: Columns) -> None:
    """Even an empty cell too many is refused: it may be the last one, behind a password that was cut in two."""
    if len(row.cells) != columns.width:
        raise UsageError(
            f"it has {len(row.cells)} cells, and the header {columns.width}",
            remedy="put cells that hold a delimiter, a quote or a line break in quotes",
        )
    for cell in row.cells:
        if cell.flaw:
            raise UsageError(cell.flaw, remedy='a cell that holds a quote is written "like ""this"""')


def _servers(texts: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("smtp", "imap"):
        host, port = _about(f"{kind}_host", entries.host, texts), number(f"{kind}_port", texts)
        secured = _about(f"{kind}_security", security, texts)
        username = texts.get(f"{kind}_username") or texts.get("username")
        if username is not None:
            _checked(f"{kind}_username", entries.CHECKS[f"{kind}_username"], username)
        parts = {"host": host, "port": port, "security": secured, "username": username}
        found |= {f"{kind}_{part}": value for part, value in parts.items() if value is not None}
    return found


def _secrets(cells: Mapping[str, Cell], texts: Mapping[str, str]) -> Secrets:
    """A password without the other serves both servers. A refresh token and a password exclude each other."""
    token = texts.get("refresh_token", "")
    passwords = {name: cells[name].text for name in ("password", "smtp_password", "imap_password") if name in cells}
    one = passwords.get("password", "")
    smtp, imap = (passwords.get(f"{kind}_password") or one for kind in ("smtp", "imap"))
    if token:
        if smtp or imap:
            raise UsageError("it has a password and a refresh token", remedy="leave one of them empty")
        if "oauth" not in texts:
            raise UsageError("its refresh token is of nobody", remedy="say google or microsoft in a column oauth")
        issuer = _checked("oauth", entries.issuer, texts["oauth"])
        return Secrets(issuer=issuer, refresh_token=entries.refresh_token(token))
    if not (smtp or imap):
        raise UsageError("it has no password", remedy="fill in a column password, or smtp_password and imap_password")
    return Secrets(smtp=smtp or imap, imap=imap or smtp)


def _settings(texts: Mapping[str, str], given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {name: _about(name, entries.CHECKS[name], texts) for name in _TEXTS}
    found |= {name: number(name, texts) for name in _NUMBERS}
    found["weekdays_only"] = yes("weekdays_only", texts)
    found["already_warm"] = yes("already_warm", texts)
    if found["already_warm"] is None and given.already_warm:
        found["already_warm"] = True
    return {name: value for name, value in found.items() if value is not None}


def _name(texts: Mapping[str, str]) -> str:
    """A name of its own, else first and last."""
    name = texts.get("name") or " ".join(texts[part] for part in ("first_name", "last_name") if part in texts)
    return _checked("name", entries.CHECKS["display_name"], name) if name else ""


def labels_in(text: str) -> list[str]:
    """Words with spaces, commas or semicolons between them."""
    return [_checked("labels", entries.label, word) for word in text.replace(",", " ").replace(";", " ").split()]


def security(text: str) -> str:
    """TLS or STARTTLS; else UsageError."""
    if text.lower() in _SECURITY:
        return _SECURITY[text.lower()]
    raise UsageError("it is not known", remedy="give tls (from the first byte on) or starttls")


def _about(name: str, check: Callable[[str], str], texts: Mapping[str, str]) -> str | None:
    return _checked(name, check, texts[name]) if name in texts else None


def _checked(name: str, check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except UsageError as error:
        raise _unusable(name, error.remedy) from None


def _unusable(name: str, remedy: str) -> UsageError:
    return UsageError(f"what stands in the column {name} cannot be used", remedy=remedy)


def number(name: str, texts: Mapping[str, str]) -> int | None:
    """A whole number in its range; spreadsheets write 30 as 30.0 at times. `disabled` is as good as nothing."""
    if texts.get(name, "disabled").lower() == "disabled":
        return None
    text, (least, most) = texts[name].removesuffix(".0"), entries.RANGES[name]
    if text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise _unusable(name, f"give a whole number from {least} to {most}")


def yes(name: str, texts: Mapping[str, str]) -> bool | None:
    """What a yes or no says; None for nothing. Raises UsageError."""
    word = texts.get(name, "").lower()
    if word in _YES or word in _NO:
        return word in _YES
    if word:
        raise _unusable(name, "give yes or no")
    return None
