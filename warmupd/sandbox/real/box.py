"""One account of the real servers, and the looks that providers give their mailboxes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIRST_UID = 20_000  # each account has its own: one user gets 128 inotify watches only, and IDLE would push no more
GID = 65534  # nogroup


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """An account. `look` are Dovecot settings of its own, such as `namespace/inbox/prefix`: `INBOX.`."""

    address: str
    password: str = field(repr=False)
    look: Mapping[str, str] = field(default_factory=dict)


PREFIXED = {"namespace/inbox/prefix": "INBOX.", "namespace/inbox/separator": "."}  # cPanel, old Courier
NO_JUNK = {"namespace/inbox/mailbox/Junk/auto": "no"}


def localised(**names: str) -> dict[str, str]:
    """A look whose folders have other names: `localised(Junk="[Gmail]/Spamverdacht")`."""
    return {f"namespace/inbox/mailbox/{folder}/name": name for folder, name in names.items()}


def unflagged(**names: str) -> dict[str, str]:
    """Localised names without the special-use flags that would tell (Dovecot takes no empty one), as Microsoft 365."""
    flags = {f"namespace/inbox/mailbox/{folder}/special_use": "\\Archive" for folder in names}
    return localised(**names) | flags


def over_quota(messages: int) -> dict[str, str]:
    """Nothing more is taken once there are so many messages."""
    return {"quota_rule": f"*:messages={messages}"}


def write_boxes(file: Path, boxes: list[Box], mail: Path) -> None:
    """A passwd-file with all accounts; Dovecot reads it again when it changes."""
    lines = []
    for number, box in enumerate(boxes):
        own = "".join(f" userdb_{key}={value}" for key, value in box.look.items())
        uid = FIRST_UID + number
        lines.append(f"{box.address}:{{PLAIN}}{box.password}:{uid}:{GID}::{mail}/{uid}::{own.strip()}\n")
    new = file.with_suffix(".new")
    new.write_text("".join(lines))
    new.chmod(0o644)  # its folder is closed to all but Dovecot
    new.replace(file)
