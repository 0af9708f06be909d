"""The one TLS context that all connections of the process share: making one costs the CPU of twenty sends."""

import functools
import ssl

from warmupd.errors import ConfigError


@functools.cache
def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A verifying context, TLS 1.2 or later, the same object for the same `ca_file`.

    `ca_file` (PEM) is trusted beside the system's authorities, not instead of them. Raises ConfigError when it
    cannot be read.
    """
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
    return context
