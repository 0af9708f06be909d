"""Statements about everybody's mailboxes, or about those of one owner: it lies in the statement."""

from typing import Any
from uuid import UUID


def owned(query: str, owner: UUID | None, *arguments: object, column: str = "user_id") -> tuple[Any, ...]:
    """The query and its arguments, for `Database.fetch`. `{mine}` in it becomes a further condition on `column`, or
    nothing where `owner` is None: a parameter that may be null would be planned for as if it were."""
    if owner is None:
        return query.format(mine=""), *arguments
    return query.format(mine=f"AND {column} = ${len(arguments) + 1}"), *arguments, owner
