"""A clock of CPU time: this process's, and that of a Postgres that works for it. Others on the machine do not count."""

import time

from warmupd.sandbox.cpu_time import children_of, fine_seconds


class CpuClock:
    """Called, it tells seconds, as `time.process_time` does."""

    def __init__(self) -> None:
        self._postmaster: int | None = None
        self._children: list[int] = []

    @property
    def postmaster(self) -> int | None:
        """Of the Postgres that counts; None: there is none."""
        return self._postmaster

    @postmaster.setter
    def postmaster(self, pid: int | None) -> None:
        self._postmaster = pid
        self._children = []

    def note_children(self) -> None:
        """The sessions that are there by now are those that count."""
        if self._postmaster is not None:
            self._children = children_of(self._postmaster)

    def __call__(self) -> float:
        return time.process_time() + sum(map(fine_seconds, self._children))


CPU = CpuClock()
