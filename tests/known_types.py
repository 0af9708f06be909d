"""What the driver asks about types on each new connection, asked once: a quarter of what a small test costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest


@contextmanager
def known_types(socket_dir: Path) -> Iterator[None]:
    """For connections to the server there, whose databases are copies: no type of one has the number of another's.

    Those by way of a pooler, a proxy or another server ask as ever.
    """
    asking = getattr(asyncpg.Connection, "_introspect_types")  # noqa: B009  # the stubs hide it: there is no other way in
    known: dict[frozenset[int], Any] = {}

    async def ask_once(self: Any, typeoids: Any, patience: Any) -> Any:
        if Path(str(self._addr)).parent != socket_dir:
            return await asking(self, typeoids, patience)
        wanted = frozenset(typeoids)
        if wanted not in known:
            known[wanted] = await asking(self, typeoids, patience)
        return known[wanted]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_introspect_types", ask_once)
        yield
