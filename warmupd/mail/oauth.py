"""OAuth: access tokens for refresh tokens (RFC 6749 section 6), and how one is shown to a mail server (XOAUTH2)."""

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import httpx

from warmupd.core.outcome import presentable
from warmupd.errors import WarmupdError
from warmupd.mail.concealment import conceal, forms_of

RECONNECT = "check that this mailbox may be used by SMTP and IMAP, or connect it again: `warmupd mailbox set --oauth`"
PATIENCE = 10.0  # real seconds for one question, from connecting to the last byte of the answer
MOST_BYTES = 65_536  # of an answer
USUAL_LIFE = 3600.0  # seconds of a token whose answer does not say
LIFE = (60.0, 86_400.0)  # seconds that are believed
LONGEST_WAIT = 3600.0  # seconds of a Retry-After that are heeded

# The grant itself is gone: no waiting helps (RFC 6749 section 5.2; the others are Microsoft's and OpenID Connect's).
_REVOKED = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OAuthError(WarmupdError):
    """No access token is to be had."""


class TokensUnavailable(OAuthError):
    """The token endpoint is away, busy or confused: says nothing of the mailbox. `retry_after` is in seconds.

    `for_all`: it was not reached or is broken, so that asking it for another mailbox is in vain, too.
    """

    def __init__(
        self, message: str, *, remedy: str = "", retry_after: float | None = None, for_all: bool = False
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after
        self.for_all = for_all


class ClientRefused(OAuthError):
    """This installation is not, or wrongly, registered with the provider: says nothing of the mailbox either."""


class GrantRevoked(OAuthError):
    """The refresh token is not valid any more: only the mailbox's owner can give another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """This installation as one provider knows it. Without a `client_id` it is not registered there."""

    provider: str  # GOOGLE or MICROSOFT
    client_id: str
    client_secret: str = field(repr=False)
    token_url: str
    scope: str = ""  # "": what the owner has consented to
    authorize_url: str = ""  # where owners consent


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """What a token endpoint gave."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)  # a new one, or the one that was shown
    seconds: float  # that the access token lives from `asked_at` on
    asked_at: dt.datetime | None = None  # None: just now


class TokenClient:
    """Asks token endpoints. `close` it when no more will follow."""

    def __init__(self, context: ssl.SSLContext, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._context = context
        self._http = self._client(context)
        self._former: list[httpx.AsyncClient] = []  # requests may be under way

    def trust(self, context: ssl.SSLContext) -> None:
        """Judge certificates by this context from the next request on."""
        if context is self._context:
            return
        self._former.append(self._http)
        self._context, self._http = context, self._client(context)

    async def close(self) -> None:
        for client in (*self._former, self._http):
            await client.aclose()

    async def refresh(self, registration: Registration, refresh_token: str) -> Tokens:
        """A fresh access token. Raises TokensUnavailable, ClientRefused or GrantRevoked; no error shows a secret."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": registration.scope}
        told = await self._answer(registration, form, refresh_token)
        return _tokens(host_of(registration), told, refresh_token)

    async def exchange(
        self, registration: Registration, code: str, *, verifier: str, redirect_uri: str, needed: Collection[str]
    ) -> Tokens:
        """The first tokens, for the code that a consent gave (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

        `needed` scopes must have been granted, as far as the answer says. Raises as `refresh`; GrantRevoked also when
        the consent is not enough.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "scope": registration.scope,
        }
        host = host_of(registration)
        try:
            told = await self._answer(registration, form, code, verifier)
        except GrantRevoked as void:
            said = Exception.__str__(void).partition(": ")[2]
            raise GrantRevoked(f"{host} does not take this consent, or no longer: {said}", remedy=_SOON) from None
        granted = told.get("scope")
        if isinstance(granted, str) and {word.lower() for word in needed} - set(granted.lower().split()):
            raise GrantRevoked(f"{host} was not allowed to give access to the mail", remedy=_ALLOW_MAIL)
        tokens = _tokens(host, told, "")
        if not tokens.refresh:
            raise GrantRevoked(f"{host} gave no lasting consent (no refresh token)", remedy=_CONSENT_ANEW)
        return tokens

    async def _answer(self, registration: Registration, form: Mapping[str, str], *shown: str) -> dict[str, Any]:
        """The document of a right answer. `shown` are the secrets in `form`: no error shows them."""
        host = host_of(registration)
        try:
            async with asyncio.timeout(self._patience):
                status, headers, body = await self._ask(registration, form)
        except (TimeoutError, httpx.TimeoutException):
            raise TokensUnavailable(f"{host} did not answer within {self._patience:g} s", for_all=True) from None
        except httpx.InvalidURL:
            raise ClientRefused(f"the token endpoint of {host} has no valid address", remedy=_CHECK) from None
        except httpx.HTTPError as error:
            raise TokensUnavailable(f"{host} cannot be asked for a token: {_why(error)}", for_all=True) from None
        told = _document(body)
        if status == httpx.codes.OK:
            return told
        secrets = tuple(text for secret in (*shown, registration.client_secret) for text in forms_of(secret))
        raise _refusal(registration, status, headers, told, secrets)

    def _client(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        # No proxy, no .netrc of the surroundings: a refresh token goes to the configured address and nowhere else.
        return httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=self._patience)

    async def _ask(self, registration: Registration, form: Mapping[str, str]) -> tuple[int, httpx.Headers, bytes]:
        whole = {**form, "client_id": registration.client_id, "client_secret": registration.client_secret}
        given = {name: value for name, value in whole.items() if value}
        async with self._http.stream("POST", registration.token_url, data=given) as response:
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise httpx.DecodingError("an answer without end")
            return response.status_code, response.headers, body


def xoauth2(username: str, access_token: str) -> bytes:
    """The one response of XOAUTH2, as Google and Microsoft document it; not yet in base64."""
    return f"user={username}\x01auth=Bearer {access_token}\x01\x01".encode()


_ALLOW_MAIL = "connect it again, and leave the box for e-mail ticked on the provider's page"
_SOON = "connect it again; what a provider hands out for a consent is good for minutes, and once"
_CONSENT_ANEW = "take this application's access away in the account's security settings, then connect it again"
_CHECK = "check client_id, client_secret and token_url of this provider in [oauth.*]"


def host_of(registration: Registration) -> str:
    """The endpoint's host, for messages. Raises ClientRefused when it cannot or must not be asked."""
    parts, name = urlsplit(registration.token_url), registration.provider.lower()
    if not registration.client_id:
        remedy = f"register one there, set oauth.{name}.client_id and client_secret: docs/mailboxes.md, section OAuth"
        raise ClientRefused(f"this installation has no client for {name}", remedy=remedy)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ClientRefused(f"oauth.{name}.token_url is not https: a token would go there in clear", remedy=_CHECK)
    return parts.hostname or name


def _why(error: httpx.HTTPError) -> str:
    return presentable(str(error)) or type(error).__name__


def _document(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _tokens(host: str, told: dict[str, Any], shown: str) -> Tokens:
    access, refresh, seconds = told.get("access_token"), told.get("refresh_token"), told.get("expires_in")
    if not _is_token(access):
        raise TokensUnavailable(f"{host} gave an answer without a token")
    try:
        life = float(seconds) if seconds is not None else USUAL_LIFE
    except (TypeError, ValueError):
        life = USUAL_LIFE
    return Tokens(
        access=access, refresh=refresh if _is_token(refresh) else shown, seconds=min(max(life, LIFE[0]), LIFE[1])
    )


def _is_token(value: object) -> TypeGuard[str]:
    """Visible ASCII (RFC 6749 appendix A.12): anything else could break out of what it is put into."""
    return isinstance(value, str) and 0 < len(value) < MOST_BYTES and all("!" <= char <= "~" for char in value)


def _refusal(
    registration: Registration, status: int, headers: httpx.Headers, told: dict[str, Any], secrets: tuple[str, ...]
) -> OAuthError:
    """What an answer other than 200 means. Only the words of RFC 6749 speak of the grant; a status never does."""
    name = registration.provider.lower()
    word, text = (told.get(key) if isinstance(told.get(key), str) else "" for key in ("error", "error_description"))
    said = presentable(conceal(f"{status} {word} {text}", secrets))
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500 or word in _PASSING:
        wait = headers.get("retry-after", "")
        seconds = min(float(wait), LONGEST_WAIT) if wait.isdigit() and len(wait) < 9 else None
        text = f"{name} gives no token at present: {said}"
        return TokensUnavailable(text, retry_after=seconds, for_all=status >= 500)
    if word in _REVOKED:
        remedy = f"have its owner consent again, then `warmupd mailbox set ADDRESS --oauth {name}`"
        return GrantRevoked(f"{name} does not accept its refresh token, or no longer: {said}", remedy=remedy)
    if word:
        return ClientRefused(f"{name} refuses this installation: {said}", remedy=_CHECK)
    return TokensUnavailable(f"{name} gave no answer of a token endpoint: {said}", remedy=_CHECK)
