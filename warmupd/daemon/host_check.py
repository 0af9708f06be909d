"""Whether mail servers may be connected to at all: judged whenever a mailbox is enrolled or given other servers."""

import asyncio
from collections.abc import Iterable

from warmupd.config import Config
from warmupd.mail.hosts import HostPolicy, refuse_forbidden

Server = tuple[str, int]  # host and port


def policy_of(config: Config) -> HostPolicy:
    """Which hosts the configuration vouches for."""
    return HostPolicy(allow_hosts=tuple(config.security.allow_hosts))


async def check_hosts(config: Config, servers: Iterable[Server]) -> None:
    """Raise ForbiddenHost for the first of these that may not be connected to.

    Nobody is connected to, and it does not matter whether a login is tried afterwards. A name that has no address now
    passes on a mail port: it is judged again at each connection.
    """
    policy = policy_of(config)
    judged = (refuse_forbidden(host, port, policy) for host, port in dict.fromkeys(servers))
    for verdict in await asyncio.gather(*judged, return_exceptions=True):
        if verdict is not None:
            raise verdict
