"""How Postgres fails, in words of ours: away, busy with others, or wrong."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from warmupd.errors import DatabaseBusy, DatabaseUnavailable

DRIVER_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_UNREACHABLE = {
    "25006",  # read_only_sql_transaction: the primary was demoted under us
    "25P03",  # idle_in_transaction_session_timeout: the session is gone
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P04",  # database_dropped
    "57P05",  # idle_session_timeout
}
_UNREACHABLE_CLASSES = {"08", "53"}  # connection exceptions; insufficient resources (connections, memory, disk)
_TOLD = {
    "25006": ("is read-only", "have database.url name the primary, or let it write; sends go on by themselves then"),
    "53100": ("has no room left on its disk", "free some on the database's machine; sends go on by themselves then"),
}
# Another host has migrated: what this connection had prepared is void, and is prepared anew the next time.
_REPLANNED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
_BUSY = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57014",  # query_canceled: a statement time-out
}


@contextmanager
def reached() -> Iterator[None]:
    """Turn the driver's many ways of saying that Postgres went away into DatabaseUnavailable; the rest passes.

    A statement that lost against others is DatabaseBusy: temporary too, but the connection is sound.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate in _BUSY:
            raise DatabaseBusy(f"Postgres was busy with others: {error}") from error
        if isinstance(error, _REPLANNED):
            raise DatabaseBusy(f"the schema has just been changed: {error}") from error
        if not _is_unreachable(error):
            raise
        what, remedy = _TOLD.get(getattr(error, "sqlstate", None) or "", ("does not answer", ""))
        raise DatabaseUnavailable(f"Postgres {what}: {_reason(error)}", remedy=remedy) from error


def _is_unreachable(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _UNREACHABLE or state[:2] in _UNREACHABLE_CLASSES
    if isinstance(error, asyncpg.InterfaceError):  # also our own misuse of the driver, which must stay visible
        return re.search(r"\bclos(ed|ing)\b", str(error)) is not None
    return True


def _reason(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def not_reached(failures: list[tuple[str, BaseException]], seconds: float) -> DatabaseUnavailable:
    """The error that names each host and why it could not be had within so many seconds, and the remedy."""
    told = [
        f"{label}: {f'no answer within {seconds:g} s' if isinstance(error, TimeoutError) else _reason(error)}"
        for label, error in failures
    ]
    remedy = "check database.url, and that Postgres runs there"
    for _, error in failures:
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            remedy = "check the user and the password in database.url, and pg_hba.conf"
        elif isinstance(error, asyncpg.InvalidCatalogNameError):
            remedy = "create the database, or name another in database.url"
        elif "could not write" in str(error):  # as who connects is told when the disk is full
            remedy = _TOLD["53100"][1]
    return DatabaseUnavailable(f"Postgres cannot be reached: {'; '.join(told)}", remedy=remedy)
