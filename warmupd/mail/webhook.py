"""A webhook: one signed POST to an address that a user chose, which must not lead into the operator's own network."""

import asyncio
import datetime as dt
import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from warmupd.errors import UsageError, WarmupdError
from warmupd.mail.hosts import ForbiddenHost, HostPolicy, UnresolvedHost, resolve_public

SIGNATURE = "X-Warmupd-Signature"
NOTICE_ID = "X-Warmupd-Notice"
WEB_PORTS = frozenset({443, 8443})
MOST_BYTES = 65_536  # of a body
LONGEST_URL = 2000  # characters
PATIENCE = 10.0  # real seconds, from resolving the name to the status line


class WebhookFailed(WarmupdError):
    """It did not take the notice. `retry_after` is in seconds, if it said so; `for_good`: it never will."""

    def __init__(
        self, message: str, *, remedy: str = "", retry_after: float | None = None, for_good: bool = False
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after
        self.for_good = for_good


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """Where to, and what it is signed with. Both are secrets: addresses of chats let everybody write who knows them."""

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)  # "": not signed


def check_url(url: str, policy: HostPolicy) -> None:
    """Raise UsageError for an address that may not be used, as far as the text tells.

    HTTPS only, but for hosts that the configuration vouches for: notices name mailboxes, and paths hold tokens.
    """
    parts = _parts(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not policy.names(host) and not _exempt(host, policy):
        raise UsageError("a webhook's address begins with https://", remedy="use HTTPS")


def host_of(url: str) -> str:
    """What of an address is no secret; "" when it is none."""
    try:
        return _parts(url).hostname or ""
    except UsageError:
        return ""


async def check_reachable(url: str, policy: HostPolicy) -> None:
    """Raise UsageError for an address that must not be connected to, or whose name has no address now."""
    parts = _parts(url)
    try:
        await resolve_public(parts.hostname or "", _port(parts), policy, ports=WEB_PORTS)
    except (ForbiddenHost, UnresolvedHost) as error:
        raise UsageError(Exception.__str__(error), remedy=error.remedy) from None
    except OSError:
        return  # no file is left to ask with: it is judged again at each delivery


async def post_webhook(
    hook: Webhook,
    body: bytes,
    *,
    notice_id: str,
    at: dt.datetime,
    policy: HostPolicy | None,
    context: ssl.SSLContext,
    patience: float = PATIENCE,
) -> None:
    """Hand over the body. Raises WebhookFailed unless the answer is 2xx; nothing of the answer but its status is read.

    The address that was judged by `policy` (None: it may be anywhere) is the one connected to; redirects are not
    followed, since they would lead past that.
    """
    if len(body) > MOST_BYTES:
        raise WebhookFailed(f"the notice is longer than {MOST_BYTES} bytes", for_good=True)
    headers = {"Content-Type": "application/json", "User-Agent": "warmupd", NOTICE_ID: notice_id}
    if hook.secret:
        headers[SIGNATURE] = sign(hook.secret, body, at)
    try:
        async with asyncio.timeout(patience):
            status, answered = await _post(hook.url, body, headers, policy, context, patience)
    except (UsageError, ForbiddenHost, UnresolvedHost) as error:
        raise WebhookFailed(Exception.__str__(error), remedy=error.remedy) from None
    except (TimeoutError, httpx.TimeoutException):
        raise WebhookFailed(f"no answer within {patience:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, ValueError) as error:
        raise WebhookFailed(f"it cannot be reached: {_why(error)}") from None
    if not httpx.codes.is_success(status):
        raise _refusal(status, answered)


def sign(secret: str, body: bytes, at: dt.datetime) -> str:
    """`t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`: who checks it can refuse what is old, or was changed."""
    stamp = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def as_json(document: Mapping[str, Any]) -> bytes:
    """The body for programs."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def as_slack(subject: str, text: str) -> bytes:
    """The body for Slack, and chats that understand the same; what is special there is escaped as it documents."""
    escaped = f"*{subject.replace('*', '')}*\n{text}"
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        escaped = escaped.replace(char, entity)
    return as_json({"text": escaped[:10_000]})


async def _post(
    url: str,
    body: bytes,
    headers: dict[str, str],
    policy: HostPolicy | None,
    context: ssl.SSLContext,
    patience: float,
) -> tuple[int, httpx.Headers]:
    parts = _parts(url)
    host, port, target = parts.hostname or "", _port(parts), httpx.URL(url)
    if policy is not None:
        check_url(url, policy)
        address = await resolve_public(host, port, policy, ports=WEB_PORTS)
        target = target.copy_with(host=address, port=port)
        headers = {**headers, "Host": parts.netloc}
    # No proxy, no .netrc of the surroundings; the certificate is judged against the name, not the address.
    async with (
        httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=patience) as client,
        client.stream("POST", target, content=body, headers=headers, extensions={"sni_hostname": host}) as answer,
    ):
        return answer.status_code, answer.headers


def _parts(url: str) -> SplitResult:
    """Raises UsageError for what is no web address, or one with a password in it."""
    wrong = UsageError("that is not a web address", remedy="give it as https://host/path")
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or "@" in parts.netloc:
        raise wrong
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _exempt(host: str, policy: HostPolicy) -> bool:
    """Whether it is an address in a network that the configuration vouches for."""
    try:
        return policy.exempts(host, ip_address(host))
    except ValueError:
        return False


def _refusal(status: int, headers: httpx.Headers) -> WebhookFailed:
    wait = headers.get("retry-after", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else None
    if httpx.codes.is_redirect(status):
        return WebhookFailed(f"it answered {status}, a redirect", remedy="give the address that it leads to")
    return WebhookFailed(f"it answered {status}", retry_after=seconds, for_good=status == httpx.codes.GONE)


def _why(error: Exception) -> str:
    """Kinds of failure only: the words of a TLS or HTTP library may repeat the address, which is a secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return "no connection" if isinstance(error, httpx.ConnectError) else type(error).__name__
