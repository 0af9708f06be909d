"""How often, and how many at once, users may have mail servers, name servers and providers asked: each try connects."""

import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import Request

from warmupd.http.limiter import Limiter
from warmupd.http.problem import Problem
from warmupd.http.site import site_of

A_MINUTE = 30  # logins of a user
LOOKS_A_MINUTE = 120  # of a user at domains: one whenever the typing of an address pauses
AT_ONCE = 10  # logins of a worker
OF_USER = 3  # of these, one user's
IMPORTS = 2  # of a worker, that somebody waits for
SOON = 5  # seconds after which a place may be free


class Trials:
    """Of one worker."""

    def __init__(self) -> None:
        self._logins = Limiter(A_MINUTE)
        self._looks = Limiter(LOOKS_A_MINUTE)
        self._busy: Counter[UUID] = Counter()
        self._importing: set[UUID] = set()

    @asynccontextmanager
    async def turn(self, request: Request, user_id: UUID) -> AsyncIterator[None]:
        """Try the logins of one mailbox meanwhile. Raises Problem 429 with Retry-After."""
        if self._busy[user_id] >= OF_USER or self._busy.total() >= AT_ONCE:
            raise _too_many("other mailboxes are being checked at the moment", SOON)
        self._take(self._logins, request, user_id)
        self._busy[user_id] += 1
        try:
            yield
        finally:
            self._busy[user_id] -= 1
            self._busy += Counter()  # drops who has none

    @asynccontextmanager
    async def importing(self, user_id: UUID) -> AsyncIterator[None]:
        """Try those of many mailboxes, for a user who waits for it. Raises Problem 429 with Retry-After."""
        if user_id in self._importing or len(self._importing) >= IMPORTS:
            raise _too_many("another import is under way", SOON)
        self._importing.add(user_id)
        try:
            yield
        finally:
            self._importing.discard(user_id)

    def look(self, request: Request, user_id: UUID) -> None:
        """Ask name servers about a domain. Raises Problem 429 with Retry-After."""
        self._take(self._looks, request, user_id)

    def _take(self, limiter: Limiter, request: Request, user_id: UUID) -> None:
        if wait := limiter.take(str(user_id), now=site_of(request).clock.boottime()):
            raise _too_many("too many mailboxes were checked", math.ceil(wait))


def trials_of(request: Request) -> Trials:
    """Those of this worker."""
    trials: Trials = request.app.state.trials
    return trials


def _too_many(detail: str, seconds: int) -> Problem:
    return Problem(429, detail, remedy="wait a moment", headers={"Retry-After": str(seconds)})
