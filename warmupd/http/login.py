"""Log-in by e-mail and password, for tokens and for browsers: slow to guess, and it does not tell who exists."""

import math

from fastapi import Request

from warmupd.http.client import client_of
from warmupd.http.limiter import Limiter
from warmupd.http.passwords import verify_password
from warmupd.http.problem import Problem
from warmupd.http.site import site_of
from warmupd.store.access import Access, access_by_email


class Logins:
    """Log-in attempts, limited by client and by address, so that neither many clients nor many addresses help."""

    def __init__(self, per_minute: int) -> None:
        self._by_client = Limiter(per_minute)
        self._by_email = Limiter(per_minute)

    async def log_in(self, request: Request, email: str, password: str) -> Access:
        """The user. Raises Problem 401, or 429 with Retry-After."""
        site = site_of(request)
        client = client_of(request, site.config.auth.trusted_proxies)
        now, email = site.clock.boottime(), email.strip().lower()
        limits = ((self._by_client, client), (self._by_email, email))
        if wait := max(limiter.take(key, now=now) for limiter, key in limits):
            headers = {"Retry-After": str(math.ceil(wait))}
            raise Problem(429, "too many log-ins were tried", remedy="wait a moment", headers=headers)
        access = await access_by_email(site.db, email)
        if not await verify_password(password, access.password_hash if access else None) or access is None:
            raise Problem(401, "address and password do not fit", remedy="try again, or have the password reset")
        for limiter, key in limits:
            limiter.give_back(key, now=site.clock.boottime())
        return access


def logins_of(request: Request) -> Logins:
    """The log-ins of this worker."""
    logins: Logins = request.app.state.logins
    return logins
