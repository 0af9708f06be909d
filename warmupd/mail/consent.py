"""An owner's consent to an OAuth client: where it is asked for, with which parameters, and how it is proven (PKCE)."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

from warmupd.mail.oauth import ClientRefused, Registration, host_of

# What each provider asks of who wants to send and read mail for long. Google: "Using OAuth 2.0 for web server
# applications" (a refresh token comes with access_type=offline, and again only with prompt=consent) and "OAuth 2.0
# mechanism" of Gmail (the scope). Microsoft: "Authenticate an IMAP, POP or SMTP connection using OAuth"; with
# prompt=consent who is no administrator is refused where users may not consent (AADSTS90095): so it is not forced.
PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "GOOGLE": {"scope": "https://mail.google.com/", "access_type": "offline", "prompt": "consent"},
    "MICROSOFT": {
        "scope": "offline_access https://outlook.office.com/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All",
        "response_mode": "query",
    },
}
NEEDED: Mapping[str, frozenset[str]] = {  # of the scopes those that mail needs: owners can untick them
    "GOOGLE": frozenset({"https://mail.google.com/"}),
    "MICROSOFT": frozenset(
        {"https://outlook.office.com/SMTP.Send", "https://outlook.office.com/IMAP.AccessAsUser.All"}
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A consent that is asked for once."""

    state: str = field(repr=False)  # comes back with the answer: whose it is
    verifier: str = field(repr=False)  # shown with the code: only who asked can use it (RFC 7636)


def new_request() -> Request:
    """256 random bits each."""
    return Request(state=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(32))


def challenge_of(verifier: str) -> str:
    """S256 (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def consent_url(registration: Registration, request: Request, *, address: str, redirect_uri: str) -> str:
    """Where the owner of `address` is to go. Raises ClientRefused when there is no client, or no such place."""
    host_of(registration)
    parts = urlsplit(registration.authorize_url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        name = registration.provider.lower()
        raise ClientRefused(f"oauth.{name}.authorize_url is no address", remedy="leave it out, or correct it")
    asked = {
        "client_id": registration.client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "state": request.state,
        "code_challenge": challenge_of(request.verifier),
        "code_challenge_method": "S256",
        "login_hint": address,
        **PARAMETERS[registration.provider],
    }
    query = "&".join(part for part in (parts.query, urlencode(asked)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def origin_of(registration: Registration) -> str:
    """Scheme and host of the page that asks for consent; "" without a client."""
    parts = urlsplit(registration.authorize_url)
    return f"{parts.scheme}://{parts.netloc}" if registration.client_id and parts.hostname else ""
