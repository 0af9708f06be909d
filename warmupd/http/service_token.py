"""Making a service token: one way for API, page and command line."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field

from warmupd.errors import UsageError
from warmupd.http.bearer import PREFIX, new_token, token_hash
from warmupd.http.identity import Scope
from warmupd.http.site import Site
from warmupd.store.access import Access
from warmupd.store.service_tokens import add_service_token
from warmupd.store.users import Role

LONGEST_DAYS = 3650
LONGEST_NAME = 100  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A new token, with the secret that is shown once."""

    id: int
    name: str
    scopes: tuple[Scope, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    token: str = field(repr=False)


async def make_service_token(
    site: Site, access: Access, *, name: str, scopes: Collection[Scope], days: int | None, actor: str
) -> Made:
    """For `access`. Raises UsageError for a name that is taken or unfit, and for more than the user may."""
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name.strip() == name):
        raise UsageError(
            f"a token's name is one line of 1 to {LONGEST_NAME} characters", remedy="such as: nightly report"
        )
    if not scopes:
        raise UsageError("a token needs a scope", remedy=f"choose among {', '.join(Scope)}")
    if Scope.ADMIN in scopes and access.role is not Role.ADMIN:
        raise UsageError("only an admin's token can have the scope admin", remedy="leave it out")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise UsageError(f"a token lasts 1 to {LONGEST_DAYS} days", remedy="or until it is revoked, without a number")
    token, now = new_token(PREFIX), site.clock.now()
    wanted = tuple(scope for scope in Scope if scope in scopes)
    expires_at = now + dt.timedelta(days=days) if days else None
    token_id = await add_service_token(
        site.db,
        access.user_id,
        name=name,
        scopes=wanted,
        token_hash=token_hash(token),
        actor=actor,
        at=now,
        expires_at=expires_at,
    )
    return Made(id=token_id, name=name, scopes=wanted, created_at=now, expires_at=expires_at, token=token)
