"""Mailboxes that take part again: resumed by their owners, or because their login is mended."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.mailbox import MailboxState
from warmupd.store.database import Database
from warmupd.store.states import change_states


async def resume_mailbox(
    db: Database,
    mailbox_id: int,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    into: MailboxState | None = None,
) -> tuple[MailboxState | None, MailboxState]:
    """As `resume_mailboxes`, for one; REMOVED when it is not there."""
    resumed = await resume_mailboxes(db, [mailbox_id], actor=actor, reason=reason, at=at, into=into)
    return resumed.get(mailbox_id, (None, MailboxState.REMOVED))


async def resume_mailboxes(
    db: Database,
    ids: Sequence[int],
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    into: MailboxState | None = None,
) -> dict[int, tuple[MailboxState | None, MailboxState]]:
    """Have mailboxes take part again: `into` that state, else the one that each last took part in.

    By mailbox the state it had, None when nothing had to change, and the one it has now; removed ones are left out. One
    that takes part keeps its state unless `into` says otherwise.
    """
    rows = await db.fetch(
        "SELECT id, state, took_part_as(id) AS last FROM mailboxes WHERE id = ANY ($1) AND state <> 'REMOVED'", ids
    )
    wanted: dict[int, MailboxState] = {}
    for row in rows:
        now = MailboxState(row["state"])
        wanted[row["id"]] = into or (now if now.sends else MailboxState(row["last"]))
    was: dict[int, MailboxState] = {}
    for state in set(wanted.values()):
        those = [mailbox_id for mailbox_id, one in wanted.items() if one is state]
        was |= await change_states(db, those, state, actor=actor, reason=reason, at=at)
    return {mailbox_id: (was.get(mailbox_id), state) for mailbox_id, state in wanted.items()}


async def mend_login(db: Database, mailbox_id: int, *, actor: str, at: dt.datetime) -> bool:
    """Have a mailbox that is AUTH_FAILED take part again as it did before; whether it was."""
    failed: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM mailboxes WHERE id = $1 AND state = 'AUTH_FAILED')", mailbox_id
    )
    if failed:
        await resume_mailbox(db, mailbox_id, actor=actor, reason="its login was changed", at=at)
    return failed
