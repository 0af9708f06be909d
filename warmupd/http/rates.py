"""How many requests a minute are answered: of a user, and of a client that shows nothing valid."""

from uuid import UUID

from fastapi import Request

from warmupd.http.client import client_of, lane_of
from warmupd.http.limiter import Limiter, retry_after
from warmupd.http.problem import Problem
from warmupd.http.site import site_of


class Rates:
    """Of this worker. Each worker counts for itself: a fleet of several answers several times as many."""

    def __init__(self) -> None:
        self._by_client = Limiter(1)
        self._by_user = Limiter(1)

    def count_client(self, request: Request) -> None:
        """Counted until it is known who asks. Raises Problem 429."""
        self._count(self._by_client, _client(request), request)

    def count_user(self, request: Request, user_id: UUID) -> None:
        """It is known now: counted for the user in the place of the client. Raises Problem 429."""
        self._by_client.give_back(_client(request), now=site_of(request).clock.boottime())
        self._count(self._by_user, str(user_id), request)

    def _count(self, limiter: Limiter, key: str, request: Request) -> None:
        site = site_of(request)
        limiter.per_minute = site.config.auth.api_rate_limit
        if wait := limiter.take(key, now=site.clock.boottime()):
            raise Problem(429, "too many requests", remedy="wait a moment", headers=retry_after(wait))


def rates_of(request: Request) -> Rates:
    """Those of this worker."""
    rates: Rates = request.app.state.rates
    return rates


def _client(request: Request) -> str:
    return lane_of(client_of(request, site_of(request).config.auth.trusted_proxies))
