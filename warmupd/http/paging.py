"""Lists in pages: a limit, and an opaque cursor that says where the next page begins (keyset, never an offset)."""

import base64
import binascii
import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from warmupd.http.problem import Problem

LIMIT, MOST = 50, 500
_INTEGERS = range(-(2**63), 2**63)  # what a bigint of Postgres holds

Limit = Annotated[int, Query(ge=1, le=MOST, description="rows of one page")]
CursorText = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")]


def cursor_of(key: Sequence[str | int | float | None]) -> str:
    """The cursor behind the row with this sort key."""
    return base64.urlsafe_b64encode(json.dumps(list(key), separators=(",", ":")).encode()).decode().rstrip("=")


def key_of(cursor: str | None, kinds: Sequence[type]) -> list[Any] | None:
    """The sort key in a cursor, each value of its kind (or None); None for the first page. Raises Problem 422.

    A float takes whole numbers, too. Text never holds NUL, which Postgres refuses.
    """
    if not cursor:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        if isinstance(key, list) and len(key) == len(kinds) and all(map(_fits, key, kinds)):
            return [
                float(value) if kind is float and value is not None else value
                for value, kind in zip(key, kinds, strict=True)
            ]
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise Problem(422, "the cursor is not one of this list", remedy="begin with the first page, without a cursor")


def _fits(value: object, kind: type) -> bool:
    if value is None:
        return True
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int):
        return kind in {int, float} and value in _INTEGERS
    if isinstance(value, str):
        return kind is str and "\0" not in value and value.isprintable()
    return isinstance(value, float) and kind is float and math.isfinite(value)
