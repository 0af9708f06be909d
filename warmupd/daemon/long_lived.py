"""What lives as long as the worker does: the garbage collector need not look at it again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 5000  # objects that come on top until they are looked at: a batch of sends makes a thousand, and all go with it
LEAST = 10_000  # objects that are worth it; fewer are looked at in a few milliseconds


class LongLived:
    """Sets aside what was loaded, for good: a look at a million objects stops the loop for half a second."""

    def __init__(self) -> None:
        self._aside = LEAST // 2

    @contextmanager
    def loading(self) -> Iterator[None]:
        """No look at what grows while it grows: nothing of it is garbage."""
        gc.disable()
        try:
            yield
        finally:
            gc.enable()

    def set_aside(self, count: int) -> None:
        """About so many objects are there to stay. Heeded when they have doubled: what happens to be under way at that
        moment stays with them, but for what is garbage by then.
        """
        if count >= 2 * self._aside:
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
            self._aside = count
