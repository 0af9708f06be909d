"""What one worker's mailboxes have sent to each member of a pool, measured against that member's share of it.

The rotation cannot know of answers, retries, members who are spared or only receive, or whom a sender prefers; the
tally evens these out. A share is a member's part of all quotas, and each worker keeps the shares of what its own
mailboxes send: so they hold for the pool, and no worker has to ask another. What is owed at a day's end is owed on the
next. It is kept in memory: after a restart all are even, and the little that was owed is lost. Who has written to whom
is read from the ledger then.
"""

from array import array
from collections.abc import Iterable

from warmupd.core.directory import Directory

SLACK = 1.0  # messages that a member of weight 30 may be ahead; a lighter one less: its share grows more slowly
TYPICAL = 30  # weight
MOST_OWED = 0.5  # days' worth: who was away for long is not flooded afterwards


class Tally:
    """Who is ahead of its share of the mail, who is behind, and who has written to whom of late."""

    def __init__(self, directory: Directory, before: "Tally | None" = None) -> None:
        """`before` is the tally of the pool's last directory, of an earlier day or an earlier version of this one."""
        self.directory = directory
        self._total = max(1, sum(directory.weights))
        self._level = 0.0  # days' worth that everybody should have had by now
        self._got = array("d", bytes(8 * len(directory)))  # messages; below 0: owed from before
        self._met: list[dict[int, bytes]] = [{}]  # senders and the marks of their recipients, by day, the last first
        if before is not None:
            self._follow(before)

    def behind(self, index: int) -> float:
        """How far the member is behind its share, in days' worth of it; negative when it is ahead."""
        return self._level - self._got[index] / self.directory.weights[index]

    def slacks_ahead(self, index: int) -> float:
        """How often the slack fits into what the member has had beyond its share; negative when it is behind."""
        weight = self.directory.weights[index]
        return (self._got[index] - self._level * weight) / (SLACK * (weight + TYPICAL) / (2 * TYPICAL))

    def count(self, recipient_id: int, messages: int = 1) -> None:
        """So many were sent to the member; negative: they were not sent after all."""
        index = self.directory.index_of(recipient_id)
        if index is not None:
            self._got[index] += messages
            self._level += messages / self._total

    def raise_level(self) -> None:
        """All who can be chosen are ahead: others are away, and those who are here take their part."""
        self._level += 1 / TYPICAL

    def days_since(self, sender_id: int, recipient_id: int) -> int | None:
        """How many days ago `sender_id` wrote to `recipient_id`, 0 is today; None: not of late, or not remembered.

        Marks are short: of ids beyond 65,535 some share one. Among 120 recipients that are remembered, two answers in a
        thousand tell of a meeting that was not.
        """
        mark = _mark(recipient_id)
        for days, met in enumerate(self._met):
            if _among(mark, met.get(sender_id, b"")):
                return days
        return None

    def note_meeting(self, sender_id: int, recipient_id: int) -> None:
        """`sender_id` has begun to write to `recipient_id`. It is remembered where that is of use."""
        if self.directory.days_to_remember:
            self._met[0][sender_id] = self._met[0].get(sender_id, b"") + _mark(recipient_id)

    def recall_meetings(self, sender_id: int, recipients: Iterable[int], *, days_ago: int) -> None:
        """All that `sender_id` has begun to write to so many days ago, as the ledger knows it."""
        if days_ago < self.directory.days_to_remember:
            self._met += [{} for _ in range(days_ago + 1 - len(self._met))]
            self._met[days_ago][sender_id] = b"".join(map(_mark, recipients))

    def _follow(self, before: "Tally") -> None:
        passed = (self.directory.day - before.directory.day).days
        if keep := self.directory.days_to_remember:
            self._met = ([{} for _ in range(passed)] + before._met)[:keep]
        for index, member in enumerate(self.directory.members):
            if (at := before.directory.index_of(member)) is not None:
                owed = max(-1.0, min(before.behind(at), MOST_OWED if passed else 1.0))
                self._got[index] = -owed * self.directory.weights[index]


def _mark(recipient_id: int) -> bytes:
    return (recipient_id & 0xFFFF).to_bytes(2, "big")


def _among(mark: bytes, marks: bytes) -> bool:
    """Whether it is one of these. What lies across two of them is none."""
    at = marks.find(mark)
    while at > 0 and at % 2:
        at = marks.find(mark, at + 1)
    return at >= 0
