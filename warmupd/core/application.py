"""An application: what an owner says of a mailbox that is to be enrolled, and the servers that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warmupd.core import entries
from warmupd.core.provider_match import Match
from warmupd.errors import UsageError

PORTS = {("smtp", "TLS"): 465, ("smtp", "STARTTLS"): 587, ("imap", "TLS"): 993, ("imap", "STARTTLS"): 143}
PREFERRED = {"smtp": "STARTTLS", "imap": "TLS"}
USUAL: Mapping[int, str] = {  # port to how it is secured
    465: "TLS",
    993: "TLS",
    587: "STARTTLS",
    25: "STARTTLS",
    2525: "STARTTLS",
    143: "STARTTLS",
}
SERVER_COLUMNS = tuple(
    f"{kind}_{part}" for kind in ("smtp", "imap") for part in ("host", "port", "security", "username")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """How the mailbox logs in: by passwords, or by a refresh token of an issuer (GOOGLE or MICROSOFT)."""

    smtp: str = field(default="", repr=False)
    imap: str = field(default="", repr=False)
    issuer: str = ""
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """What was said, and checked piece by piece; what was not said is None or left out."""

    address: str
    servers: Mapping[str, Any] = field(default_factory=dict)  # of SERVER_COLUMNS
    provider: str | None = None  # a word of core/providers.py
    guess: bool = False  # where no host is known, smtp.DOMAIN and imap.DOMAIN
    display_name: str = ""
    labels: tuple[str, ...] = ()
    pool: str | None = None  # a shared one's name; None: the user's private pool
    settings: Mapping[str, Any] = field(default_factory=dict)  # of CHANGEABLE in store/changes.py
    pause_reason: str = ""  # not "": it is enrolled PAUSED

    @property
    def hosts(self) -> list[str]:
        """The servers that its owner named."""
        return [self.servers[name] for name in ("imap_host", "smtp_host") if self.servers.get(name)]


def servers_of(application: Application, match: Match) -> dict[str, Any]:
    """All of SERVER_COLUMNS and the provider's word. What the owner did not say is the provider's.

    Raises UsageError when a host is not known, or a port does not say how it is secured.
    """
    given, domain = application.servers, application.address.rpartition("@")[2]
    known = {"smtp": match.smtp, "imap": match.imap}
    servers: dict[str, Any] = {"provider": match.provider.word}
    missing = [f"--{kind}-host" for kind, server in known.items() if not (given.get(f"{kind}_host") or server)]
    if missing and not application.guess:
        raise UsageError(
            f"the servers of {domain} are not known: {' and '.join(missing)} missing",
            remedy=f"give them as your provider names them, or --guess to try smtp.{domain} and imap.{domain}",
        )
    for kind, preferred in PREFERRED.items():
        host, port, security = (given.get(f"{kind}_{part}") for part in ("host", "port", "security"))
        if security is None and port not in {None, *USUAL}:
            raise UsageError(
                f"nobody can tell from {kind.upper()} port {port} how it is secured",
                remedy=f"give --{kind}-security tls (from the first byte on) or starttls",
            )
        server = None if host else known[kind]
        usual = server.security if server and not port else preferred
        secured = str(security or (USUAL[port] if port else usual))
        its_port = server.port if server and secured == server.security else PORTS[kind, secured]
        servers[f"{kind}_host"] = entries.host(host or (server.host if server else f"{kind}.{domain}"))
        servers[f"{kind}_port"] = port or its_port
        servers[f"{kind}_security"] = secured
        username = given.get(f"{kind}_username")
        servers[f"{kind}_username"] = username or (server.username if server else application.address)
    return servers
