"""What the house says to who sits at a terminal, said to who looks at a page or calls the API."""

import re
from collections.abc import Mapping

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
_CLAUSES = (
    (re.compile(r"use --oauth (google|microsoft)"), lambda found: f"use Connect {found[1].capitalize()}"),
    (re.compile(r"or --guess to try"), lambda _: "such as"),
    (re.compile(r"`warmupd mailbox remove --undo [^`]*` does that; --anew enrols it as a new one"),
     lambda _: "bring it back from the list of removed mailboxes, or enrol it as new"),
    (re.compile(r"; see `warmupd mailbox show [^`]*`"), lambda _: ""),
    (re.compile(r"--create-pool makes it"), lambda _: "name one that there is"),
    (re.compile(r",? then `warmupd mailbox set [^`]*--oauth[^`]*`"), lambda _: " and connect it anew"),
    (re.compile(r"`warmupd mailbox set (?:ADDRESS )?--oauth[^`]*`"), lambda _: "connect it anew"),
    (re.compile(r"`warmupd mailbox set` changes (it|them)"), lambda found: f"its page changes {found[1]}"),
    (re.compile(r"`warmupd mailbox resume`"), lambda _: "you resume it"),
    (re.compile(r"; `warmupd mailbox pause` keeps it from sending"), lambda _: ""),
    (re.compile(r" \(--reset [a-z-]+ takes the default\)"), lambda _: ""),
    (re.compile(r",? or name other (?:servers|resolvers) in dns\.servers"), lambda _: ""),
    (re.compile(r":? ?`warmupd mailbox check ADDRESS --dkim-selector WORD`"), lambda _: ""),
)  # fmt: skip
_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")


def for_page(text: str) -> str:
    """In the words of the pages' labels."""
    return _OPTION.sub(lambda found: LABELS.get(found[1], found[1].replace("-", " ")), _plain(text))


def for_api(text: str) -> str:
    """In the words of the API's fields."""
    return _OPTION.sub(lambda found: found[1].replace("-", "_"), _plain(text))


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    first = text[:1] if "@" in text.partition(" ")[0] else text[:1].upper()  # an address is written as it is
    return f"{first}{text[1:]}{'' if not text or text[-1] in '.!?' else '.'}"


def _plain(text: str) -> str:
    for pattern, said in _CLAUSES:
        text = pattern.sub(said, text)
    return text
