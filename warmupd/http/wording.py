"""What the house says to who sits at a terminal, said to who looks at a page or calls the API."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator

LABELS: Mapping[str, str] = {  # option of the command line to the field of the page
    "smtp-host": "SMTP server",
    "smtp-port": "SMTP port",
    "smtp-security": "SMTP security",
    "smtp-username": "SMTP user name",
    "imap-host": "IMAP server",
    "imap-port": "IMAP port",
    "imap-security": "IMAP security",
    "imap-username": "IMAP user name",
    "provider": "Provider",
    "anew": "Enrol it as new",
    "pool": "Pool",
    "timezone": "Time zone",
}
_ROUTE = "/api/warmup/mailboxes/ID"
_CLAUSES: tuple[tuple[str, str, str], ...] = (  # of a terminal: what a page says in its place, and what the API says
    (r"use --oauth google", "use Connect Google", "use oauth google"),
    (r"use --oauth microsoft", "use Connect Microsoft", "use oauth microsoft"),
    (r"or --guess to try", "such as", "or guess, to try"),
    (r"`warmupd mailbox remove --undo [^`]*` does that; --anew enrols it as a new one",
     "bring it back from the list of removed mailboxes, or enrol it as new",
     f"POST {_ROUTE}/undo-removal does that; anew enrols it as a new one"),
    (r"`(?:warmupd )?mailbox remove --undo` brings it back", "bring it back from the list of removed mailboxes",
     f"POST {_ROUTE}/undo-removal brings it back"),
    (r"; see `warmupd mailbox show [^`]*`", "", ""),
    (r"--create-pool makes it", "name one that there is", "name one that there is"),
    (r",? then `warmupd mailbox set [^`]*--oauth[^`]*`", " and connect it anew", " and connect it anew"),
    (r"`warmupd mailbox set (?:ADDRESS )?--oauth[^`]*`", "connect it anew", "connect it anew"),
    (r"set it with `warmupd mailbox set --password`", "set it in Settings", f"set password by PATCH {_ROUTE}"),
    (r"with `warmupd mailbox set`", "in its settings", f"by PATCH {_ROUTE}"),
    (r"`warmupd mailbox set` changes (it|them)", r"its page changes \1", rf"PATCH {_ROUTE} changes \1"),
    (r"see `warmupd mailbox set --help`", "look at what was entered", "look at the fields that were given"),
    (r"`warmupd mailbox resume` ends that", "resume it", f"POST {_ROUTE}/resume ends that"),
    (r"then `warmupd mailbox resume`", "then resume it", f"then POST {_ROUTE}/resume"),
    (r"`warmupd mailbox resume`", "you resume it", f"POST {_ROUTE}/resume"),
    (r"; `warmupd mailbox pause` keeps it from sending", "", ""),
    (r"`warmupd mailbox check ADDRESS --dkim-selector WORD`", "the command line", "the command line"),
    (r"`warmupd mailbox check`", "Check now", f"POST {_ROUTE}/check"),
    (r"`warmupd mailbox list` shows", "the list of mailboxes shows", "GET /api/warmup/mailboxes shows"),
    (r"with `warmupd mailbox add`", "on the page Add", "by POST /api/warmup/mailboxes"),
    (r"`warmupd fleet start` ends that", "an admin starts it again on the page Fleet", "an admin starts it again"),
    (r"change the fleet with `warmupd fleet resize [^`]*`", "have the operator resize the fleet",
     "have the operator resize the fleet"),
    (r"if the move was given up, `warmupd fleet start --anyway`", "if the move was given up, the operator starts it",
     "if the move was given up, the operator starts it"),
    (r"by `warmupd fleet start --anyway`", "by the operator", "by the operator"),
    (r" by `warmupd backup --move`", " for a move", " for a move"),
    (r"^by `warmupd backup --move`", "for a move", "for a move"),
    (r"make it with `warmupd backup --move`, or restore without --move", "the operator makes it anew",
     "the operator makes it anew"),
    (r"enter the passwords anew \(`warmupd mailbox set ADDRESS --password`, or import the sheet again\)",
     "enter the passwords anew", "enter the passwords anew"),
    (r"`warmupd mailbox set [^`]* --password` gives it the mailbox's password",
     "its settings take the mailbox's password", f"PATCH {_ROUTE} takes the mailbox's password"),
    (r"`--old-key-file` opens it, before it is enrolled; `--plain-passwords` if it is none that is encrypted",
     "the operator has its key", "the operator has its key"),
    (r"`warmupd mailbox add` enrols it anew", "the page Add enrols it anew",
     "POST /api/warmup/mailboxes enrols it anew"),
    (r"`warmupd user remove --undo` brings them back", "an admin brings them back", "an admin brings them back"),
    (r"`warmupd user set`", "the page of the user", "PATCH /api/users/ID"),
    (r"start one with `warmupd run`(?:, or see `warmupd status`)?", "the operator has to start one",
     "the operator has to start one"),
    (r"run `warmupd migrate`", "the operator has to migrate the database",
     "the operator has to migrate the database"),
    (r"`warmupd init` writes one, `warmupd key new` prints one", "the operator can make one",
     "the operator can make one"),
    (r"; `openssl rand -hex 32` makes one", "", ""),
    (r"`warmupd user add [^`]*` creates one", "an admin invites users", "an admin creates users"),
    (r"`warmupd plan list` shows", "the page Plans shows", "GET /api/warmup/plans shows"),
    (r"`warmupd plan set --help`", "the plan's fields", "the plan's fields"),
    (r"`warmupd plan set [^`]*` creates it", "an admin creates plans", "an admin creates plans"),
    (r" \(--reset [a-zA-Z-]+ takes the default\)", "", ""),
    (r",? or name other (?:servers|resolvers) in dns\.servers", "", ""),
)  # fmt: skip
_PAGE = tuple((re.compile(pattern), page) for pattern, page, _ in _CLAUSES)
_API = tuple((re.compile(pattern), api) for pattern, _, api in _CLAUSES)
_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")


def for_page(text: str) -> str:
    """In the words of the pages' labels."""
    return _OPTION.sub(lambda found: LABELS.get(found[1], found[1].replace("-", " ")), _said(text, _PAGE))


def for_api(text: str) -> str:
    """In the words of the API's fields."""
    return _OPTION.sub(lambda found: found[1].replace("-", "_"), _said(text, _API))


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    first = text[:1] if "@" in text.partition(" ")[0] else text[:1].upper()  # an address is written as it is
    return f"{first}{text[1:]}{'' if not text or text[-1] in '.!?' else '.'}"


def on_page(text: str) -> str:
    """The same as `for_page`, as a sentence."""
    return sentence(for_page(text))


def _said(text: str, table: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, said in table:
        text = pattern.sub(said, text)
    return text


ForApi = Annotated[str, AfterValidator(for_api)]  # a field of an answer
