"""A connection to a mail server, SMTP or IMAP: where it may go, where it comes from, whose certificate it wants."""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import cast

from warmupd.errors import ConfigError
from warmupd.mail.hosts import HostPolicy, resolve_public


async def connect_public(
    protocol: asyncio.BaseProtocol,
    host: str,
    port: int,
    *,
    policy: HostPolicy,
    context: ssl.SSLContext | None,
    handshake_seconds: float,
    source_address: str = "",
) -> None:
    """Connect `protocol`, in verified TLS from the first byte if there is a `context`.

    `source_address` is a local IP address to connect from, "" for any. Raises ForbiddenHost, UnresolvedHost, OSError.
    """
    address = await resolve_public(host, port, policy, source_address=source_address)
    await asyncio.get_running_loop().create_connection(
        lambda: protocol,
        address,
        port,
        ssl=context,
        server_hostname=certificate_name(host) if context else None,
        ssl_handshake_timeout=handshake_seconds if context else None,
        local_addr=(source_address, 0) if source_address else None,
    )


def check_source(address: str) -> None:
    """Raise ConfigError unless connections can leave from this local IP address; "" is any."""
    if not address:
        return
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        raise ConfigError(
            f"sending.source_address: connections cannot leave from {address}: {error.strerror}",
            remedy="name an IP address of this machine, or leave it empty for the system's choice",
        ) from None


def certificate_name(host: str) -> str:
    """The host as certificates name it: an address without brackets, a name without the dot of the DNS root."""
    return host.strip().strip("[]").rstrip(".")


def hang_up(transport: asyncio.BaseTransport) -> None:
    """Cut a connection at once, whatever state it is in."""
    with suppress(AttributeError):  # Python 3.11.2 raises it for a TLS connection that is gone already
        cast(asyncio.WriteTransport, transport).abort()
