"""Which mailboxes a request is to do something to, and in whose name: another's is not there."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path

from warmupd.errors import DatabaseUnavailable, NotAllowed, NotFound, WarmupdError
from warmupd.http.identity import Identity
from warmupd.http.listing import BIGINT
from warmupd.http.problem import Problem
from warmupd.store.database import Database
from warmupd.store.mailbox_report import MailboxReport, mailbox_reports
from warmupd.store.selection import those_of

MailboxId = Annotated[int, Path(ge=1, le=BIGINT, description="the mailbox's number")]


async def chosen_one(db: Database, mailbox_id: int, identity: Identity) -> MailboxReport:
    """The mailbox, if it is theirs. Raises Problem 404."""
    found = await chosen_ones(db, [mailbox_id], identity)
    if not found:
        raise Problem(404, "there is no such mailbox")
    return found[0]


async def chosen_ones(db: Database, ids: Sequence[int], identity: Identity) -> list[MailboxReport]:
    """Those of the mailboxes that are theirs, in the order of their ids."""
    return await mailbox_reports(db, await those_of(db, ids, owner=identity.owner))


def refused(error: WarmupdError, *, field: str = "") -> Problem:
    """What cannot be done as it was asked for; what is nobody's mistake is raised as it is."""
    if isinstance(error, DatabaseUnavailable | NotAllowed | NotFound):
        raise error
    told = Exception.__str__(error)
    errors = [{"field": field, "detail": told}] if field else []
    return Problem(422, told, remedy=error.remedy, errors=errors)
