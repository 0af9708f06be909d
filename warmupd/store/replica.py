"""Reports that are read from a replica, as long as it is there and not too far behind."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from warmupd.errors import DatabaseUnavailable
from warmupd.store.database import Database

MOST_BEHIND = 10.0  # seconds: much more, and live workers would look dead by a replica's rows
_CONNECT_SECONDS = 3.0  # for each host: a report does not wait long for a replica, the primary serves it too

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a report was read from."""

    behind_seconds: float | None  # of the replica; None: it was read from the primary
    warning: str  # why the replica did not serve; "" when it did


async def read_report(
    primary: Database, replica_url: str, read: Callable[[Database], Awaitable[T]], *, application_name: str
) -> tuple[T, Source]:
    """What `read` makes of the replica's rows, else of the primary's. Never for what decides about a send."""
    try:
        async with AsyncExitStack() as stack:
            with_replica = Database.open(
                replica_url,
                pool_size=1,
                application_name=application_name,
                connect_timeout=_CONNECT_SECONDS,
                standby_ok=True,
            )
            replica = await stack.enter_async_context(await with_replica)
            behind = await _seconds_behind(primary, replica)
            if behind <= MOST_BEHIND:
                return await read(replica), Source(behind_seconds=behind, warning="")
            warning = f"the replica is {behind:.0f} s behind, more than {MOST_BEHIND:.0f} s"
    except DatabaseUnavailable as error:
        warning = f"the replica cannot serve: {Exception.__str__(error)}"
    return await read(primary), Source(behind_seconds=None, warning=warning)


async def _seconds_behind(primary: Database, replica: Database) -> float:
    """0.0 for a replica that has replayed all there is, however long ago that was written."""
    try:
        written = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
        behind: float | None = await replica.fetchval(
            """
            SELECT CASE WHEN pg_last_wal_replay_lsn() >= $1::text::pg_lsn THEN 0.0
                   ELSE extract(epoch FROM clock_timestamp()
                                - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))::float8 END
            WHERE pg_is_in_recovery()  -- no row, else
            """,
            written,
        )
    except asyncpg.PostgresError as error:  # a service that keeps these functions to itself
        raise DatabaseUnavailable(f"it does not tell how far behind it is: {error}") from error
    if behind is None:
        raise DatabaseUnavailable("it is not a standby that replays what the primary writes")
    return behind
