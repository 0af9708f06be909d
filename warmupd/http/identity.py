"""Who is asking: by bearer token on the API, by session cookie on the pages."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from warmupd.http.bearer import CHALLENGE, PREFIX, Signer, token_hash
from warmupd.http.problem import Problem
from warmupd.http.rates import rates_of
from warmupd.http.site import Site, demand_secret, site_of
from warmupd.store.access import Access, access_by_id
from warmupd.store.service_tokens import service_token
from warmupd.store.users import Role


class Scope(StrEnum):
    """What a service token may do. A signed token, and a session, may do all that its user may."""

    READ = "read"  # look at mailboxes and reports
    MAILBOXES = "mailboxes"  # enrol and change mailboxes
    ADMIN = "admin"  # what needs an admin: the fleet, users, plans; only for an admin's token


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who is asking, and what they may do."""

    user_id: UUID
    email: str
    role: Role
    scopes: frozenset[Scope]
    timezone: str | None = None
    by_password: bool = True  # a session, or a token that was signed for a password; False: a service token

    @property
    def is_admin(self) -> bool:
        """Whether all users' things may be seen and changed."""
        return self.role is Role.ADMIN and Scope.ADMIN in self.scopes

    @property
    def owner(self) -> UUID | None:
        """Whose things may be seen: None means everybody's."""
        return None if self.is_admin else self.user_id


def identity_of(access: Access, scopes: frozenset[Scope] | None = None) -> Identity:
    """The identity of a user who was let in: by password, or by a service token with these scopes."""
    wanted = frozenset(Scope) if scopes is None else scopes
    return Identity(
        user_id=access.user_id,
        email=access.email,
        role=access.role,
        scopes=wanted if access.role is Role.ADMIN else wanted - {Scope.ADMIN},
        timezone=access.timezone,
        by_password=scopes is None,
    )


_bearer = HTTPBearer(auto_error=False, description="A token from `POST /api/auth/token`, or a service token.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def bearer_identity(request: Request, credentials: Credentials) -> Identity:
    """Who shows this token. Raises Problem 401, 429 with Retry-After, and 503 without `auth.secret`."""
    demand_secret(site_of(request))
    rates = rates_of(request)
    rates.count_client(request)
    if credentials is None:
        raise Problem(401, "this needs a bearer token", remedy="POST /api/auth/token gives one", headers=CHALLENGE)
    site, token = site_of(request), credentials.credentials
    found = await (_by_service_token(site, token) if token.startswith(PREFIX) else _by_signature(site, token))
    if found is None:
        headers = {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
        raise Problem(401, "the token is not valid, or not any more", remedy="get a new one", headers=headers)
    rates.count_user(request, found.user_id)
    return found


Asking = Annotated[Identity, Depends(bearer_identity)]


def need_scope(identity: Identity, scope: Scope) -> Identity:
    """The same, if it may do that; else Problem 403."""
    if scope not in identity.scopes:
        told = "this needs an admin" if scope is Scope.ADMIN else f"the token lacks the scope {scope}"
        raise Problem(403, told)
    return identity


def need(scope: Scope) -> object:
    """A dependency: who is asking, if the token may do that; else Problem 403."""

    async def needed(identity: Asking) -> Identity:
        return need_scope(identity, scope)

    return Depends(needed)


Reader = Annotated[Identity, need(Scope.READ)]
Owner = Annotated[Identity, need(Scope.MAILBOXES)]
Admin = Annotated[Identity, need(Scope.ADMIN)]


def need_person(identity: Identity) -> Identity:
    """The same, if they logged in by password: what a revoked token must not leave behind. Else Problem 403."""
    if not identity.by_password:
        raise Problem(403, "a service token may not do this", remedy="log in: POST /api/auth/token gives a token")
    return identity


async def person(identity: Asking) -> Identity:
    """Who logged in by password; a service token may not make others like itself. Raises Problem 403."""
    return need_person(identity)


Person = Annotated[Identity, Depends(person)]


async def _admin_in_person(admin: Admin, _: Person) -> Identity:
    """Whoever makes users that can log in, or admins, could become one of them."""
    return admin


AdminInPerson = Annotated[Identity, Depends(_admin_in_person)]


def signer_of(site: Site) -> Signer:
    """Signs by `auth.secret`, and takes `auth.previous_secrets`. Raises Problem 503 when there is none."""
    demand_secret(site)
    auth = site.config.auth
    return Signer(auth.secret.get_secret_value(), [secret.get_secret_value() for secret in auth.previous_secrets])


async def _by_signature(site: Site, token: str) -> Identity | None:
    claims = signer_of(site).read(token, now=site.clock.now())
    access = await access_by_id(site.db, claims.user_id) if claims else None
    if claims is None or access is None or access.credentials_version != claims.credentials_version:
        return None
    return identity_of(access)


async def _by_service_token(site: Site, token: str) -> Identity | None:
    found = await service_token(site.db, token_hash(token), at=site.clock.now())
    if found is None:
        return None
    access, scopes = found
    return identity_of(access, frozenset(Scope(word) for word in scopes if word in set(Scope)))
