"""What goes wrong with IMAP, and how a server's words are judged and made fit to be shown."""

import re
import ssl
from collections.abc import Iterable

from warmupd.errors import WarmupdError
from warmupd.mail.concealment import conceal
from warmupd.mail.hosts import UnresolvedHost, lacks_files
from warmupd.mail.imap_frames import WireLost
from warmupd.mail.imap_syntax import Reply

LONGEST_BACKOFF = 600.0  # seconds; a longer wish is cut to this
MORE_FILES = "an operator can raise the limit of open files, or lower max_concurrent"
SHUT_OUT = 4 * 3600.0  # seconds of rest after "exceeded ... limits"; Gmail shuts an account out for up to a day
MISTRUSTED = "no password was shown: have the server's certificate renewed, or correct the host name"
LONGEST_TEXT = 200  # characters of a server's text that are passed on

_BACKOFF = re.compile(r"Suggested Backoff Time: *(\d+) *milliseconds", re.IGNORECASE)  # Microsoft 365
_TOO_MUCH = re.compile(r"throttl|too many|rate.?limit|\[LIMIT\]", re.IGNORECASE)
# Gmail: "Account exceeded command or bandwidth limits". A mailbox that is full says "exceeded", too, of its storage.
_USED_UP = re.compile(r"exceeded\b.{0,40}\b(command|bandwidth|connection|request)s?\b.{0,40}\blimit", re.IGNORECASE)
_OVER_LIMIT = re.compile(r"exceeded\b.{0,60}\blimit", re.IGNORECASE)
_PASSING = re.compile(r"temporar|try(ing)? again|unavailable|internal (server )?error|not connected", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_REFUSAL = frozenset({"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED"})  # RFC 5530, as the next
_BUSY = frozenset({"UNAVAILABLE", "INUSE"})
_NOT_NOW = frozenset({"UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT", "CORRUPTION"})


class ImapError(WarmupdError):
    """A mailbox cannot be visited. `temporary`: time may heal it, and its owner need not do anything."""

    temporary = True


class ImapUnreachable(ImapError):
    """No connection, or a server that says of itself that it cannot serve now."""


class ImapStarved(ImapError):
    """This process or machine has no file left to open: no server was asked."""


class ImapRefusedLogin(ImapError):
    """The server said NO to these credentials, or takes no password at all."""

    temporary = False


class ImapInsecure(ImapError):
    """No TLS to be had, or a certificate that does not prove the host. No credential was sent."""

    temporary = False


class ImapThrottled(ImapError):
    """The server asks for patience: `retry_after` seconds, or None when it does not say how long."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ImapBusy(ImapThrottled):
    """NO [UNAVAILABLE] or [INUSE] (RFC 5530): what was asked for cannot be had now, perhaps of this folder only."""


class ImapBroken(ImapError):
    """The conversation failed: garbage, a time-out, BYE, a lost connection."""


class ImapDenied(ImapError):
    """NO or BAD to one command after login; the connection is fine. `reply` holds what came before the NO."""

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.reply = reply


def shown(text: str, secrets: Iterable[str]) -> str:
    """A server's words for the owner: one short line, without control characters and without what we sent in secret."""
    text = _CONTROL.sub(" ", conceal(text, secrets)).strip()
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def throttling(host: str, text: str, reply: Reply | None = None) -> ImapThrottled | None:
    """The request for patience in a server's words, if there is one. `text` must be fit to be shown.

    `reply` is that to a command after login; its codes count, too.
    """
    asked = _BACKOFF.search(text)
    if asked is not None:
        return ImapThrottled(f"{host} asks to wait: {text}", retry_after=min(int(asked[1]) / 1000, LONGEST_BACKOFF))
    if _TOO_MUCH.search(text) or (reply is not None and "LIMIT" in reply.codes):
        return ImapThrottled(f"{host} asks to wait: {text}")
    if _USED_UP.search(text):
        return ImapThrottled(f"{host} lets nobody in for some hours: {text}", retry_after=SHUT_OUT)
    busy = reply is not None and reply.status == "NO" and not _BUSY.isdisjoint(reply.codes)
    return ImapBusy(f"{host} cannot serve this now: {text}") if busy else None


def login_trouble(host: str, reply: Reply, text: str) -> ImapError:
    """Why a login was not OK. Only a plain NO is a refusal: a failing identity back end says NO as well (RFC 5530)."""
    said = f"{host}: {text}"
    if _REFUSAL.isdisjoint(reply.codes) or _BACKOFF.search(text):
        throttled = throttling(host, text)
        if throttled is not None:
            return throttled
        if "OVERQUOTA" in reply.codes or _OVER_LIMIT.search(text):  # of what may be done: a login stores nothing
            return ImapThrottled(f"{host} lets nobody in for some hours: {text}", retry_after=SHUT_OUT)
        if reply.status != "NO":
            return ImapBroken(f"the login was not understood by {said}")
        if not _NOT_NOW.isdisjoint(reply.codes) or _PASSING.search(text):
            return ImapUnreachable(f"the login cannot be checked at present by {said}")
        if "PRIVACYREQUIRED" in reply.codes:
            return ImapInsecure(f"the connection is not secure enough for {said}")
    return ImapRefusedLogin(f"login refused by {said}", remedy="check the IMAP user name and password")


def connect_trouble(host: str, error: BaseException, secrets: Iterable[str]) -> ImapError:
    """What an exception on the way to a secured connection means."""
    if isinstance(error, WireLost):
        return wire_trouble(host, error, secrets)
    if isinstance(error, UnresolvedHost):
        return ImapUnreachable(Exception.__str__(error), remedy=error.remedy)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "not valid"
        return ImapInsecure(f"the certificate of {host} cannot be trusted: {why}", remedy=MISTRUSTED)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return ImapInsecure(f"{host} speaks no TLS here: {error.reason}", remedy="check the IMAP port and its security")
    if lacks_files(error):
        return ImapStarved(f"no connection to {host} could be opened: too many open files", remedy=MORE_FILES)
    if isinstance(error, TimeoutError):
        return ImapUnreachable(f"{host} does not answer")
    reason = error.strerror if isinstance(error, OSError) else None
    return ImapUnreachable(f"{host} cannot be reached: {reason or 'the connection was closed'}")


def wire_trouble(host: str, error: WireLost, secrets: Iterable[str]) -> ImapError:
    """What the end of a connection means: words of the server's (BYE) may ask for patience, our own do not."""
    text = shown(str(error), secrets)
    if error.said:
        return throttling(host, text) or ImapBroken(f"{host} ended the connection: {text}")
    return ImapBroken(f"{host}: {text}")
