"""The columns of a sheet of mailboxes: which header means what, in the layouts that people have."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warmupd.core.sheet import SheetRow
from warmupd.errors import UsageError

# Field to the headers that mean it, in lower case without spaces, underscores and hyphens. Beside our own words those
# of Instantly (Email, IMAP Username, Daily Limit, Warmup Limit ...), of Smartlead (from_email, user_name,
# max_email_per_day, total_warmup_per_day, daily_rampup ...) and of tools that write alike.
HEADERS: Mapping[str, tuple[str, ...]] = {
    "email": ("email", "emailaddress", "address", "mailbox", "mail", "fromemail", "emailaccount"),
    "name": ("fromname", "name", "displayname", "sendername", "fullname"),
    "first_name": ("firstname", "givenname"),
    "last_name": ("lastname", "surname", "familyname"),
    "password": ("password", "apppassword", "pass", "emailpassword", "mailboxpassword"),
    "username": ("username", "user", "login"),
    "smtp_host": ("smtphost", "smtpserver", "smtp", "smtphostname", "outgoingserver"),
    "smtp_port": ("smtpport",),
    "smtp_security": ("smtpsecurity", "smtptls", "smtpssl", "smtpencryption", "smtporttype", "smtpporttype"),
    "smtp_username": ("smtpusername", "smtpuser", "smtplogin"),
    "smtp_password": ("smtppassword", "smtppass"),
    "imap_host": ("imaphost", "imapserver", "imap", "imaphostname", "incomingserver"),
    "imap_port": ("imapport",),
    "imap_security": ("imapsecurity", "imaptls", "imapssl", "imapencryption", "imapporttype"),
    "imap_username": ("imapusername", "imapuser", "imaplogin"),
    "imap_password": ("imappassword", "imappass"),
    "oauth": ("oauth", "oauthprovider", "issuer"),
    "refresh_token": ("refreshtoken", "oauthrefreshtoken"),
    "provider": ("provider", "mailprovider"),
    "junk_folder": ("junkfolder", "junk", "spamfolder"),
    "labels": ("labels", "label", "tags", "tag"),
    "pool": ("pool",),
    "timezone": ("timezone", "zone", "tz"),
    "language": ("language", "lang"),
    "weekdays_only": ("weekdaysonly", "weekdays"),
    "start_hour": ("starthour", "windowstart", "windowstarthour"),
    "end_hour": ("endhour", "windowend", "windowendhour"),
    "ramp_start": ("rampstart", "warmupstart"),
    "ramp_step": ("rampstep", "warmupincrement", "dailyrampup", "rampup", "increment"),
    "target_daily": ("target", "targetdaily", "dailytarget", "warmuplimit", "totalwarmupperday", "warmupperday"),
    "min_daily": ("minimum", "mindaily", "dailyminimum"),
    "already_warm": ("alreadywarm", "warm"),
    "own_mail": ("ownmail", "dailylimit", "maxemailperday", "messageperday", "dailysendinglimit"),
    "provider_limit": ("providerlimit",),
    "warmup": ("warmupenabled", "warmup", "enabled"),
    "reason": ("reason", "rejectedbecause"),  # of a rejected row that is imported again: not read
}
DEFUSED = "rejected because"  # the header of reasons in a file of ours whose cells no spreadsheet takes for formulas
SECRETS = ("password", "smtp_password", "imap_password", "refresh_token")

_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?: google| microsoft)?")
_OTHERWISE = {  # what is said to who enrols or changes one mailbox, and what to who imports many
    re.compile(r" \(--reset [a-z-]+ takes the default\)"): " (an empty cell takes the default)",
    re.compile(r"`warmupd mailbox set (ADDRESS )?--oauth[^`]*`"): "import it with its new refresh token",
    re.compile("; `warmupd mailbox pause` keeps it from sending"): "",
}
_FIELDS = {header: field for field, headers in HEADERS.items() for header in headers}


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Where each field stands in a row, and the headers that mean nothing to us."""

    fields: Mapping[str, int]
    unknown: Sequence[str]
    width: int
    defused: bool = False  # its cells were, by core/sheet.py


def find_columns(header: SheetRow) -> Columns:
    """What the header says. Raises UsageError when a column that is needed is missing, or one is there twice."""
    fields: dict[str, int] = {}
    unknown = []
    titles = [cell.text.strip() for cell in header.cells]
    for place, title in enumerate(titles):
        field = _FIELDS.get(folded(title))
        if field is None:
            unknown += [title] if title else []
        elif field in fields:
            raise UsageError(
                f"the columns {titles[fields[field]]!r} and {title!r} both mean {field}", remedy="leave one of them out"
            )
        else:
            fields[field] = place
    missing = [] if "email" in fields else ["email"]
    missing += [] if set(SECRETS) & fields.keys() else ["password (or smtp_password, imap_password, refresh_token)"]
    if missing:
        raise UsageError(
            f"there is no column {' and none '.join(missing)}; {_found(titles)}",
            remedy="the first row names the columns, such as email,from_name,smtp_host,imap_host,password",
        )
    defused = any(folded(title) == folded(DEFUSED) for title in titles)
    return Columns(fields=fields, unknown=unknown, width=len(titles), defused=defused)


def _found(titles: Sequence[str]) -> str:
    """Titles that mean something, no others: without a header the first row is a mailbox, with its password."""
    known = [title for title in titles if folded(title) in _FIELDS]
    if not known:
        return "the first row is no header"
    return f"the columns found: {', '.join(map(repr, known))}"


def in_columns(text: str) -> str:
    """A reason or remedy that names options, for somebody whose columns take their place."""
    for theirs, ours in _OTHERWISE.items():
        text = theirs.sub(ours, text)
    return _OPTION.sub(
        lambda option: f"the column {option[1].replace('-', '_')}" if folded(option[1]) in _FIELDS else option[0], text
    )


def folded(title: str) -> str:
    """A header as it is compared: its letters and digits, in lower case."""
    return "".join(char for char in title.casefold() if char.isalnum())
