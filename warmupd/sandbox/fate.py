"""What becomes of a message in the sandbox: decided by its Message-ID and a seed alone, the same in every run."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TypedDict


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What becomes of one message."""

    refused: bool  # 5xx after the dot
    lost: bool  # taken, and never delivered
    cut: bool  # taken, and the connection cut instead of the 250
    folder: str  # where it is delivered; "" when refused or lost


class ShareOptions(TypedDict, total=False):
    """The keywords of `Shares`, for those who pass them on."""

    seed: int
    spam_share: float
    other_share: float
    other_folder: str
    lost_share: float
    refuse_share: float
    defer_share: float
    drop_after_dot_share: float
    sent_copy_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """How often what happens, each from 0 to 1, each decided independently of the others.

    `spam_share` and `other_share` are parts of what is delivered; `lost_share` and `drop_after_dot_share` of what is
    taken; `refuse_share` of what is submitted. `defer_share` is a part of the RCPT commands: the Message-ID is not
    known then, so it goes by the pair and the pair's count, and the pair's next try is always taken. `sent_copy_share`
    is a part of the accounts: those whose provider puts a copy of all that it takes from them into their Sent folder.
    """

    seed: int = 0
    spam_share: float = 0.0
    other_share: float = 0.0
    other_folder: str = "Promotions"
    lost_share: float = 0.0
    refuse_share: float = 0.0
    defer_share: float = 0.0
    drop_after_dot_share: float = 0.0
    sent_copy_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("spam", "other", "lost", "refuse", "defer", "drop_after_dot", "sent_copy"):
            if not 0 <= getattr(self, f"{name}_share") <= 1:
                raise ValueError(f"{name}_share must be between 0 and 1")
        if self.spam_share + self.other_share > 1:
            raise ValueError("spam_share and other_share must not exceed 1 together")

    def fate(self, message_id: str) -> Fate:
        """What becomes of the message of this Message-ID."""
        refused = self._chance("refuse", message_id) < self.refuse_share
        lost = self._chance("lose", message_id) < self.lost_share
        cut = self._chance("cut", message_id) < self.drop_after_dot_share
        return Fate(
            refused=refused,
            lost=lost and not refused,
            cut=cut and not refused,
            folder="" if refused or lost else self._folder(message_id),
        )

    def defers(self, sender: str, recipient: str, count: int) -> bool:
        """Whether the `count`-th first try of this pair is put off."""
        return self._chance("defer", f"{sender}\n{recipient}\n{count}") < self.defer_share

    def keeps_sent(self, address: str) -> bool:
        """Whether this account's provider keeps copies of what it sends."""
        return self._chance("keep", address.lower()) < self.sent_copy_share

    def _folder(self, message_id: str) -> str:
        place = self._chance("place", message_id)
        if place < self.spam_share:
            return "Junk"
        return self.other_folder if place < self.spam_share + self.other_share else "INBOX"

    def _chance(self, what: str, about: str) -> float:
        return chance(self.seed, what, about)


def chance(seed: int, what: str, about: str) -> float:
    """A number in [0, 1) that is the same for the same question and seed, on every machine."""
    digest = blake2b(f"{seed}\n{what}\n{about}".encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
