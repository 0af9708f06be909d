"""How much is held at most while something goes on."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

BOUND = 24 << 20  # octets: what one answer may hold (8 MB), twice over, and what the test's own server holds


@contextmanager
def at_most(octets: int) -> Iterator[None]:
    """No more than so much is allocated at any time in between."""
    tracemalloc.start()
    try:
        yield
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < octets
