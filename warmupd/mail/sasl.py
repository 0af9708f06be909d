"""How a mailbox proves itself to its SMTP server: the mechanisms we speak, in the order we prefer them."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from warmupd.mail.account import Endpoint
from warmupd.mail.concealment import forms_of
from warmupd.mail.oauth import xoauth2


@dataclass(frozen=True, kw_only=True, slots=True)
class Mechanism:
    """A SASL mechanism: `lines` are what follows the word AUTH, then the answer to each challenge of the server."""

    name: str
    lines: Callable[[Endpoint], tuple[bytes, ...]]


def choose_mechanism(offered: Iterable[str], endpoint: Endpoint) -> Mechanism | None:
    """The mechanism to use, of those a server offers by name; None when none suits this mailbox's credential."""
    names = {name.upper() for name in offered}
    return next((mechanism for mechanism in _suiting(endpoint) if mechanism.name in names), None)


def secret_forms(endpoint: Endpoint) -> tuple[str, ...]:
    """The password as it may be written, and each line with it that goes over the wire: what no error may repeat."""
    coded = (
        line.decode().rpartition(" ")[2] for mechanism in _suiting(endpoint) for line in mechanism.lines(endpoint)[-1:]
    )
    return tuple(form for form in (*forms_of(endpoint.password), *coded) if form)


def _suiting(endpoint: Endpoint) -> tuple[Mechanism, ...]:
    """A token is never shown as a password, nor a password as a token."""
    return TOKEN_MECHANISMS if endpoint.by_token else MECHANISMS


def _plain(endpoint: Endpoint) -> tuple[bytes, ...]:
    """RFC 4616, with the initial response of RFC 4954."""
    return (b"PLAIN " + b64encode(f"\0{endpoint.username}\0{endpoint.password}".encode()),)


def _login(endpoint: Endpoint) -> tuple[bytes, ...]:
    """Never standardised; servers that offer nothing else expect name and password one challenge each."""
    return (b"LOGIN", b64encode(endpoint.username.encode()), b64encode(endpoint.password.encode()))


def _xoauth2(endpoint: Endpoint) -> tuple[bytes, ...]:
    """Google's and Microsoft's own. A refusal is a challenge (334) that explains itself and wants an empty line."""
    return (b"XOAUTH2 " + b64encode(xoauth2(endpoint.username, endpoint.password)),)


TOKEN_MECHANISMS = (Mechanism(name="XOAUTH2", lines=_xoauth2),)
MECHANISMS = (Mechanism(name="PLAIN", lines=_plain), Mechanism(name="LOGIN", lines=_login))
