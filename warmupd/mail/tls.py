"""The one TLS context that all connections of the process share: making one costs the CPU of twenty sends."""

import hashlib
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass

from warmupd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Trust:
    """A context, and what the authorities were that it was made of."""

    context: ssl.SSLContext
    signature: str


_shared: dict[str | None, Trust] = {}  # by CA file


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A verifying context, TLS 1.2 or later, the same object for the same `ca_file`.

    `ca_file` (PEM) is trusted beside the system's authorities, not instead of them. What stands in it is read once, and
    again by a reload. Raises ConfigError when it cannot be read.
    """
    if ca_file not in _shared:
        share(ca_file, read_trust(ca_file))
    return _shared[ca_file].context


def read_trust(ca_file: str | None = None) -> Trust:
    """By what stands in the files by now; nobody else goes by it before it is shared. Raises as `client_context`.

    It is the shared one itself where nothing has changed.
    """
    signature, known = _signature(ca_file), _shared.get(ca_file)
    if known is not None and known.signature == signature:
        return known
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8314 section 4.1
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"cannot read certificate authorities from {ca_file}: {error.strerror or error}",
                remedy="name a PEM file that this user may read",
            ) from None
    return Trust(context, signature)


def share(ca_file: str | None, trust: Trust) -> None:
    """Who asks for a context of this file gets this one from now on."""
    _shared[ca_file] = trust


def _signature(ca_file: str | None) -> str:
    """Other authorities, in the file or the system's, give another one."""
    said = hashlib.sha256()
    system = ssl.get_default_verify_paths()
    for place in (system.cafile, system.capath):
        with suppress(OSError):
            said.update(f"{place} {os.stat(place).st_mtime_ns}\n".encode() if place else b"")
    if ca_file:
        with suppress(OSError), open(ca_file, "rb") as file:
            said.update(file.read())
    return said.hexdigest()
