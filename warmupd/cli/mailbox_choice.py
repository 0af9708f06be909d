"""Which mailboxes a command is about."""

from collections.abc import Sequence

from warmupd.errors import NotFound, UsageError
from warmupd.store.accounts import find_mailboxes
from warmupd.store.database import Database
from warmupd.store.mailbox_report import MailboxReport, mailbox_reports
from warmupd.store.selection import Selection, ids_of
from warmupd.store.users import shared_pool


async def choose(
    db: Database,
    addresses: Sequence[str] | None,
    *,
    user: str | None = None,
    label: str | None = None,
    domain: str | None = None,
) -> list[MailboxReport]:
    """Those with the addresses, or those that fit all of the rest. Raises UsageError, NotFound."""
    by_fit = any((user, label, domain))
    if addresses and by_fit:
        raise UsageError("addresses and --user, --label, --domain do not go together", remedy="use one or the other")
    if addresses:
        ids = await _named(db, addresses)
    elif by_fit:
        ids = await ids_of(db, Selection(user=user, label=label, domain=domain), owner=None)
    else:
        raise UsageError("no mailbox was named", remedy="give addresses, or choose by --user, --label or --domain")
    if not ids:
        raise NotFound("no mailbox fits", remedy="`warmupd mailbox list` shows them all")
    return await mailbox_reports(db, ids)


async def pool_id(db: Database, name: str | None, *, create: bool) -> int | None:
    """The shared pool with this name; None when none is named, or `create` and it is not there yet, else NotFound."""
    if name is None:
        return None
    try:
        return await shared_pool(db, name)
    except NotFound as error:
        if create and name.strip():
            return None
        raise NotFound(f"there is no shared pool {name or repr(name)}", remedy="--create-pool makes it") from error


async def make_pool(db: Database, name: str) -> int:
    """The shared pool with this name, made when it is not there."""
    return await shared_pool(db, name, create=True)


async def _named(db: Database, addresses: Sequence[str]) -> list[int]:
    """The ids of the mailboxes with these addresses, each once; NotFound names all that are not there."""
    ids: list[int] = []
    missing: list[str] = []
    for address in dict.fromkeys(addresses):
        found = await find_mailboxes(db, address=address)
        ids += found
        missing += [] if found else [address]
    if missing:
        told = " or ".join(missing)
        raise NotFound(f"no mailbox {told} is enrolled", remedy="`warmupd mailbox list` shows those that are")
    return ids
