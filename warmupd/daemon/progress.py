"""Whether the parts of a worker turn: what its watchdog goes by."""

import time
from collections.abc import Callable

PATIENCE = 180.0  # seconds beyond its longest rest until a part counts as stuck: opening 100,000 days takes less


class Progress:
    """When each part is due again, in real seconds that stand still while the machine sleeps."""

    def __init__(self, *, patience: float = PATIENCE, now: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._now = now
        self._rests: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def turn(self, part: str, *, rest: float) -> None:
        """The part has come round, and will again within `rest` seconds if there is nothing to do."""
        self._rests[part] = rest
        self.wait(part)

    def wait(self, part: str) -> None:
        """The part waits on purpose, for Postgres: it is not stuck. Nothing to those that never turned."""
        if part in self._rests:
            self._due[part] = self._now() + self._rests[part] + self._patience

    def end(self, part: str) -> None:
        """The part has ended: whoever waits for it looks after that."""
        self._rests.pop(part, None)
        self._due.pop(part, None)

    def stuck(self) -> list[str]:
        """The parts that should have come round long ago."""
        now = self._now()
        return sorted(part for part, due in self._due.items() if due < now)
