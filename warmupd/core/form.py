"""A form: what somebody entered about one mailbox, field by field, read into an application or told what is wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from warmupd.core import entries
from warmupd.core.application import Application, Secrets
from warmupd.core.sheet import Cell, SheetRow
from warmupd.core.sheet_application import Given, labels_in, number, read_application, security, yes
from warmupd.core.sheet_columns import HEADERS, SECRETS, Columns
from warmupd.errors import UsageError

LONGEST = 4096  # characters of a field: refresh tokens are the longest, and have no limit of their own
MISSING = "it has no"  # begins what is said of a secret that is not there

_TEXTS = {
    "name": entries.CHECKS["display_name"],
    "provider": entries.provider_word,
    "oauth": entries.issuer,
    "refresh_token": entries.refresh_token,
    "smtp_security": security,
    "imap_security": security,
    **{name: check for name, check in entries.CHECKS.items() if name != "display_name"},
}
_YES_OR_NO = ("weekdays_only", "already_warm", "warmup")


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What was read: an application with its secrets, or what is wrong with which field."""

    application: Application | None = None
    secrets: Secrets = field(default_factory=Secrets)
    errors: Mapping[str, UsageError] = field(default_factory=dict)


def read_form(
    texts: Mapping[str, str], given: Given, read_address: Callable[[str], str], *, secret: bool = True
) -> Form:
    """Read `texts`, by the fields of core/sheet_columns.py; every field that is wrong is told at once.

    Without `secret` none is expected, and none is read. No error shows a secret.
    """
    filled = {name: text for name, text in texts.items() if name in HEADERS and text.strip()}
    if not secret:
        filled = {name: text for name, text in filled.items() if name not in {*SECRETS, "oauth"}} | {"password": "-"}
    errors = {name: error for name in filled if (error := _error(name, filled, read_address))}
    if "email" not in filled:
        errors["email"] = UsageError("there is no address", remedy="give the address of the mailbox")
    if errors:
        return Form(errors=errors)
    columns = Columns(fields={name: n for n, name in enumerate(filled)}, unknown=(), width=len(filled))
    row = SheetRow(0, tuple(Cell(text) for text in filled.values()))
    try:
        application, secrets = read_application(row, columns, given, read_address)
    except UsageError as error:  # of fields together
        return Form(errors={"password": error})
    return Form(application=application, secrets=secrets if secret else Secrets())


def _error(name: str, texts: Mapping[str, str], read_address: Callable[[str], str]) -> UsageError | None:
    text = texts[name]
    if len(text) > LONGEST or "\0" in text:
        return UsageError("it cannot be used", remedy=f"give at most {LONGEST} characters, and no NUL")
    try:
        _checks(read_address)[name](text.strip())
    except UsageError as error:
        return error
    return None


def _checks(read_address: Callable[[str], str]) -> Mapping[str, Callable[[str], object]]:
    """Field to what raises UsageError for a text that cannot be used there."""
    numbers = {name: partial(_as, number, name) for name in entries.RANGES}
    words = {name: partial(_as, yes, name) for name in _YES_OR_NO}
    free: dict[str, Callable[[str], object]] = dict.fromkeys(HEADERS, str)
    return (
        free
        | {"email": read_address, "labels": labels_in, "username": _TEXTS["smtp_username"]}
        | _TEXTS
        | numbers
        | words
    )


def _as(read: Callable[[str, Mapping[str, str]], object], name: str, text: str) -> object:
    return read(name, {name: text})
