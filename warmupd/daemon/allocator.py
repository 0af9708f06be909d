"""How the C library keeps freed memory: it gives large blocks back at once, instead of learning to keep them."""

import ctypes

LARGE = 128 << 10  # bytes; where glibc begins, before each freed block of up to 32 MiB raises it
_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in malloc.h


def return_large_blocks() -> None:
    """The tables of a large fleet grow and are replaced: with glibc's own rule the old ones stay as holes.

    Elsewhere (musl, macOS) there is no such rule, and nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM, LARGE)
        mallopt(_MMAP, LARGE)
