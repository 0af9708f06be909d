"""Which mailboxes a command is about."""

from collections.abc import Sequence

from warmupd.errors import NotFound, UsageError
from warmupd.store.accounts import find_mailbox, find_mailboxes
from warmupd.store.database import Database
from warmupd.store.mailbox_report import MailboxReport, mailbox_reports
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
        ids = [await find_mailbox(db, address) for address in dict.fromkeys(addresses)]
    elif by_fit:
        ids = await find_mailboxes(db, user=user, label=label, domain=domain)
    else:
        raise UsageError("no mailbox was named", remedy="give addresses, or choose by --user, --label or --domain")
    if not ids:
        raise NotFound("no mailbox fits", remedy="`warmupd mailbox list` shows them all")
    return await mailbox_reports(db, ids)


async def pool_id(db: Database, name: str | None, *, create: bool) -> int | None:
    """The shared pool with this name; None when none is named. Raises NotFound when it is not there."""
    if name is None:
        return None
    try:
        return await shared_pool(db, name, create=create)
    except NotFound as error:
        raise NotFound(f"there is no shared pool {name}", remedy="--create-pool makes it") from error
