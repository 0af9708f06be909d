"""`POST /api/auth/token`: e-mail and password for a signed token."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from warmupd.http.identity import signer_of
from warmupd.http.login import logins_of
from warmupd.http.site import site_of

router = APIRouter(prefix="/api/auth", tags=["auth"])


class Credentials(BaseModel):
    """What a user knows."""

    email: Annotated[str, Field(max_length=320, examples=["owner@example.com"])]
    password: Annotated[str, Field(max_length=1024, repr=False)]


class Token(BaseModel):
    """RFC 6750 section 4."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  a kind of token, not one
    expires_in: int  # seconds


@router.post("/token", summary="Log in", response_model=Token)
async def token(credentials: Credentials, request: Request, response: Response) -> Token:
    """A token for `auth.token_minutes`. It ends early when the password is changed."""
    access = await logins_of(request).log_in(request, credentials.email, credentials.password)
    site = site_of(request)
    minutes = site.config.auth.token_minutes
    response.headers["Cache-Control"] = "no-store"
    signed = signer_of(site).sign(
        access.user_id, credentials_version=access.credentials_version, now=site.clock.now(), minutes=minutes
    )
    return Token(access_token=signed, expires_in=minutes * 60)
