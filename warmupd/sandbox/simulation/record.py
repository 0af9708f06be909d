"""What the modelled servers saw: one line a MAIL FROM, written to a file at once, so that memory stays bounded."""

from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from warmupd.mail.message_id import MessageToken

CHUNK = 2000  # lines kept back until they are written


class Offer(NamedTuple):  # made for each send: a frozen dataclass takes twice as long to make
    """One MAIL FROM, `at` so many seconds after the run began, and what became of its message."""

    at: float
    mailbox_id: int
    recipient_id: int  # 0: nobody of this world
    job: MessageToken | None  # what the message names, if it names one of ours
    taken: bool
    folder: str = ""  # where it was delivered


class Record:
    """The file. Moments are microseconds since the run began."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rebuffs = file.with_suffix(".rebuffs")  # attempts that never came to MAIL FROM, which are few
        self.offers = 0
        self.accepted = 0
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._stream = self.file.open("a", encoding="ascii")
        self._rebuffs = self.rebuffs.open("a", encoding="ascii")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        self._stream.close()
        self._rebuffs.close()

    def note(self, offer: "Offer") -> None:
        """One MAIL FROM."""
        self.offers += 1
        self.accepted += offer.taken
        day, number = (offer.job.day, offer.job.job_id) if offer.job else ("", "")
        self._lines.append(
            f"{round(offer.at * 1e6)},{offer.mailbox_id},{offer.recipient_id},{day},{number},"
            f"{offer.taken:d},{offer.folder}\n"
        )
        if len(self._lines) >= CHUNK:
            self.flush()

    def rebuff(self, at: float, mailbox_id: int) -> None:
        """An attempt that the server ended before MAIL FROM."""
        self._rebuffs.write(f"{round(at * 1e6)},{mailbox_id}\n")

    def flush(self) -> None:
        """Write what was kept back."""
        self._rebuffs.flush()
        self._stream.writelines(self._lines)
        self._stream.flush()
        self._lines.clear()
