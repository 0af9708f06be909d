"""Trying the logins of many mailboxes: in parallel, no more at once than a server likes, a dead one soon given up."""

import asyncio
from collections.abc import Awaitable, Callable

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.provider_match import lane
from warmupd.daemon.login_check import LoginCheck, Refusal
from warmupd.mail.account import Account, Endpoint

GIVE_UP = 3  # tries in a row that a server has never answered, after which nobody else waits for it
PAUSES = (5.0, 20.0)  # real seconds before a login is tried again that was put off

Try = Callable[[Account], Awaitable[Refusal | None]]


class LoginLanes:
    """As `LoginCheck`, for thousands: bounded by `sending.max_concurrent` overall, by `per_host_concurrent` a lane.

    A server that has let nobody through yet is tried by a few at first: so one that is dead holds up few, and not for
    longer than the time-outs of those few.
    """

    def __init__(self, config: Config, check: LoginCheck, clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._turns = asyncio.Semaphore(config.sending.max_concurrent)
        self._width = config.sending.per_host_concurrent
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._servers: dict[tuple[str, str, int, str], _Server] = {}

    async def check(self, account: Account) -> list[Refusal]:
        """What went wrong, nothing when both servers let us in."""
        answers = await asyncio.gather(
            self._patiently("SMTP", account.smtp, self._check.try_smtp, account),
            self._patiently("IMAP", account.imap, self._check.try_imap, account),
        )
        return [refusal for refusal in answers if refusal is not None]

    async def _patiently(self, protocol: str, endpoint: Endpoint, attempt: Try, account: Account) -> Refusal | None:
        for seconds in PAUSES:
            refusal = await self._in_lane(protocol, endpoint, attempt, account)
            if refusal is None or not refusal.passing:
                return refusal
            await self._clock.pause(seconds)
        return await self._in_lane(protocol, endpoint, attempt, account)

    async def _in_lane(self, protocol: str, endpoint: Endpoint, attempt: Try, account: Account) -> Refusal | None:
        server = self._server(protocol, endpoint)
        among = self._lanes.setdefault(lane(endpoint.host), asyncio.Semaphore(self._width))
        async with server.place():
            if server.last_refusal is not None:
                return server.last_refusal
            async with among, self._turns:
                refusal = await attempt(account)
            server.note(refusal)
        return refusal

    def _server(self, protocol: str, endpoint: Endpoint) -> "_Server":
        key = (protocol, endpoint.host, endpoint.port, endpoint.security.value)
        if key not in self._servers:
            self._servers[key] = _Server(self._width)
        return self._servers[key]


class _Server:
    """What has become of the tries at one server."""

    def __init__(self, width: int) -> None:
        self._failures = 0  # in a row
        self._width = width
        self._places = asyncio.Semaphore(min(GIVE_UP, width))
        self._widened = False
        self.last_refusal: Refusal | None = None  # what the others are told once it is given up

    def place(self) -> asyncio.Semaphore:
        return self._places

    def note(self, refusal: Refusal | None) -> None:
        """A server that answers is tried by more from now on; whether it let anybody in does not matter."""
        if refusal is None or refusal.reached:
            self._failures = 0
            self._widen()
            return
        self._failures += 1
        patience = 2 * max(GIVE_UP, self._width) if self._widened else GIVE_UP  # all that are there may meet one blip
        if self._failures >= patience and self.last_refusal is None:
            self.last_refusal = Refusal(
                protocol=refusal.protocol,
                host=refusal.host,
                port=refusal.port,
                message=f"not tried, since {self._failures} others before it got no answer there: {refusal.message}",
                remedy=refusal.remedy,
                reached=False,
            )

    def _widen(self) -> None:
        if not self._widened:
            self._widened = True
            for _ in range(self._width - min(GIVE_UP, self._width)):
                self._places.release()
