"""Where a visit has put messages itself: the next one need not read there what this one knows."""

from warmupd.core.placement import FolderMark
from warmupd.mail.found import Found


class Arrivals:
    """Of one visit."""

    def __init__(self) -> None:
        self._places: set[tuple[str, int, int]] = set()  # folder, UIDVALIDITY, UID

    def add(self, place: Found) -> None:
        """A message was moved there."""
        self._places.add((place.folder, place.uidvalidity, place.uid))

    def after(self, mark: FolderMark) -> int:
        """The last UID up to which the folder is known: that of the mark, and those of arrivals right behind it."""
        last = mark.last_uid
        while (mark.folder, mark.uidvalidity, last + 1) in self._places:
            last += 1
        return last
