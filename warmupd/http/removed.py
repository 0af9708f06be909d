"""The list of removed mailboxes, page by page, for the API and the dashboard."""

import datetime as dt
from uuid import UUID

from warmupd.http.paging import cursor_of, key_of
from warmupd.http.problem import Problem
from warmupd.store.database import Database
from warmupd.store.removals import Removal, page_of_removals


async def removed_page(
    db: Database, owner: UUID | None, *, limit: int, cursor: str | None
) -> tuple[list[Removal], str | None]:
    """A page of `owner`'s (None: everybody's), and the cursor behind it, None at the end. Raises Problem 422."""
    key, after = key_of(cursor, (str, int)), None
    if key is not None:
        try:
            after = dt.datetime.fromisoformat(key[0]).astimezone(dt.UTC), int(key[1])
        except (TypeError, ValueError, OverflowError) as error:
            raise Problem(422, "the cursor is not one of this list", remedy="begin with the first page") from error
    found = await page_of_removals(db, owner=owner, limit=limit + 1, after=after)
    last = found[limit - 1] if len(found) > limit else None
    return found[:limit], None if last is None else cursor_of((last.undo_until.isoformat(), last.mailbox_id))
