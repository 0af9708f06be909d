"""Log-in by e-mail and password, for tokens and for browsers: slow to guess, and it does not tell who exists."""

from fastapi import Request

from warmupd.http.bearer import CHALLENGE
from warmupd.http.client import client_of, lane_of
from warmupd.http.limiter import Limiter, retry_after
from warmupd.http.passwords import stronger_hash, under_way, verify_password
from warmupd.http.problem import Problem
from warmupd.http.site import Site, demand_secret, site_of
from warmupd.store.access import Access, access_by_email, keep_rehashed

CLIENTS = 5  # log-ins for one address, in those for one client: no single client locks anybody out
MOST_WAITING = 50  # log-ins in the queue, each a twentieth of a second or so


class Logins:
    """Log-in attempts, limited by client and by address, so that neither many clients nor many addresses help."""

    def __init__(self) -> None:
        self._by_client = Limiter(1)
        self._by_email = Limiter(1)

    async def log_in(self, request: Request, email: str, password: str) -> Access:
        """The user. Raises Problem 401, 429 or 503, both with Retry-After."""
        site = site_of(request)
        demand_secret(site)
        email = email.strip().lower()
        keys = self._take(request, email)
        if under_way() > MOST_WAITING:
            raise Problem(503, "too many log-ins at once", remedy="wait a moment", headers=retry_after(5))
        access = await access_by_email(site.db, email) if email.isprintable() else None
        if not await verify_password(password, access.password_hash if access else None) or access is None:
            remedy = "try again, or have the password reset"
            raise Problem(401, "address and password do not fit", remedy=remedy, headers=CHALLENGE)
        for limiter, key in keys:
            limiter.give_back(key, now=site.clock.boottime())
        await _keep_strong(site, access, password)
        return access

    def count(self, request: Request, email: str) -> None:
        """Count what is as good as a log-in that failed: a request for a new password. Raises Problem 429."""
        self._take(request, email.strip().lower())

    def _take(self, request: Request, email: str) -> tuple[tuple[Limiter, str], ...]:
        """One go of either, each under its present limit. Raises Problem 429."""
        site = site_of(request)
        client = lane_of(client_of(request, site.config.auth.trusted_proxies))
        self._by_client.per_minute = site.config.auth.rate_limit
        self._by_email.per_minute = site.config.auth.rate_limit * CLIENTS
        keys = ((self._by_client, client), (self._by_email, email))
        for limiter, key in keys:
            if wait := limiter.take(key, now=site.clock.boottime()):
                remedy = "wait a moment"
                raise Problem(429, "too many log-ins were tried", remedy=remedy, headers=retry_after(wait))
        return keys


def logins_of(request: Request) -> Logins:
    """The log-ins of this worker."""
    logins: Logins = request.app.state.logins
    return logins


async def _keep_strong(site: Site, access: Access, password: str) -> None:
    if access.password_hash and (stronger := await stronger_hash(password, access.password_hash)):
        await keep_rehashed(site.db, access, stronger)
