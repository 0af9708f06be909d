"""The sandbox server's record, oracle of demo and tests: what it took, refused and let in, what its folders hold.

All moments are CLOCK_BOOTTIME seconds of this machine (`SystemClock().boottime()`), so that another process can map
them to its own time with `ScaledClock.at`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from warmupd.core.outcome import Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """One message that the server took after its final dot, whether or not the client was told."""

    connection: int
    user: str  # the account that was logged in
    sender: str  # MAIL FROM
    recipients: tuple[str, ...]
    message_id: str  # with its angle brackets; "" when there is none
    token: str  # the header X-Warmupd; "" when there is none
    subject: str  # decoded
    size: int  # bytes of the content as it came
    code: int | None  # 250, or None when the connection was cut instead
    folder: str  # where it was delivered; "" when it was lost on purpose
    mail_at: float  # MAIL FROM came
    rcpt_at: float  # the first RCPT TO came
    accepted_at: float  # the final dot came
    event: str = ""  # what the weather calls it when the connection was cut

    @property
    def recipient(self) -> str:
        """The first recipient; a warmup message has no other."""
        return self.recipients[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """One login, MAIL, RCPT, DATA or content that was refused, for good (5xx) or for now (4xx), or cut off."""

    connection: int
    user: str
    phase: Phase  # AUTH (on purpose: a wrong password is a `Login` alone), MAIL, RCPT, DATA or BODY
    code: int | None  # None when the connection was cut instead
    text: str  # the whole reply
    sender: str
    recipients: tuple[str, ...]  # the refused one at RCPT, all of them at BODY, none at MAIL
    message_id: str = ""  # known at BODY only, as are token, subject and size
    token: str = ""
    subject: str = ""
    size: int = 0
    event: str = ""  # what the weather calls it; "" when it was not the weather
    mail_at: float | None  # MAIL FROM came; None when it was refused before
    refused_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """One attempt to log in. An SMTP login with the right password is an attempt to send."""

    connection: int
    protocol: Literal["SMTP", "IMAP"]
    user: str  # as the client gave it, in lower case
    ok: bool
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """A time in which nobody answered: connections were refused, and those that were open were cut."""

    began_at: float
    ended_at: float


Entry = Taken | Refused | Login | Outage


class Record(list[Entry]):
    """All entries in the order in which they happened."""

    @property
    def taken(self) -> list[Taken]:
        return [entry for entry in self if isinstance(entry, Taken)]

    @property
    def refused(self) -> list[Refused]:
        return [entry for entry in self if isinstance(entry, Refused)]

    @property
    def logins(self) -> list[Login]:
        return [entry for entry in self if isinstance(entry, Login)]

    @property
    def outages(self) -> list[Outage]:
        return [entry for entry in self if isinstance(entry, Outage)]


class Journal:
    """The record as a file of JSON lines, each on disk (not synced) before its message is answered."""

    def __init__(self, file: Path) -> None:
        self._fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, entry: Entry) -> None:
        line = json.dumps({"kind": type(entry).__name__, **asdict(entry)})
        os.write(self._fd, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self._fd)


class JournalReader:
    """Reads a journal that may still be growing; each call of `read` parses only what is new."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self._record = Record()

    def read(self) -> Record:
        """A copy of the record up to now. A half-written last line is left for the next time."""
        if self._file.exists():
            with self._file.open("rb") as stream:
                stream.seek(self._offset)
                lines = stream.read().rpartition(b"\n")[0]
            if lines:
                self._offset += len(lines) + 1
                self._record.extend(_entry(json.loads(line)) for line in lines.split(b"\n"))
        return Record(self._record)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderState:
    """What one IMAP folder holds at the moment."""

    messages: int
    seen: int
    flagged: int
    answered: int
    message_ids: tuple[str, ...]  # in order of arrival; "" for a message without one

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "message_ids": tuple(data["message_ids"])})


Snapshot = dict[str, dict[str, FolderState]]  # address -> folder -> its state


def _entry(data: dict[str, Any]) -> Entry:
    kind = data.pop("kind")
    if kind == "Login":
        return Login(**data)
    if kind == "Outage":
        return Outage(**data)
    data["recipients"] = tuple(data["recipients"])
    return Taken(**data) if kind == "Taken" else Refused(**{**data, "phase": Phase(data["phase"])})
