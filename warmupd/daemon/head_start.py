"""A head start for sends to servers that are slow to log in to: the login first, then the reservation.

A reservation lasts five seconds, and some servers take longer to let anybody in. There the mailbox logs in when it is
due, and asks for its place once it could say MAIL at once. So it keeps every promise, as the server sees it, without
a longer slack that everybody's spacing and caps would pay for.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from warmupd.clock import VirtualClock
from warmupd.core.mailbox import Mailbox
from warmupd.daemon.ground import Ground
from warmupd.daemon.holds import Holds
from warmupd.daemon.keyring import Keyring
from warmupd.errors import WarmupdError
from warmupd.mail.account import Account
from warmupd.store.accounts import load_accounts

KEPT = 30.0  # real seconds that a login waits for its reservation
IDLE = 240.0  # while a cap holds everybody back; servers end idle connections after 5 minutes (RFC 5321, 4.5.3.2.7)
MOST = 100  # at once, with or without a reservation in sight; each lane has its own bound, too
QUICK = 2.0  # real seconds: a server that logs us in within these needs no head start any more


class Login(Protocol):
    """A conversation that has come as far as it can without a message: logged in, or at its end."""

    @property
    def is_in(self) -> bool:
        """Whether the server has let us in and still waits for what we say."""
        ...

    @property
    def is_sound(self) -> bool:
        """Whether what it has come to still holds: the connection lives, or failed for a reason that is told."""
        ...

    def end(self) -> None:
        """It is not needed any more."""
        ...


class Receptionist(Protocol):
    """Who logs in."""

    async def log_in(self, account: Account) -> Login:
        """Connect and log in; every ending is a login."""
        ...


@dataclass(kw_only=True, slots=True)
class _Start:
    task: asyncio.Task[None] | None = None
    login: Login | None = None
    useless: bool = False  # nobody could even try: the send will say why
    taken: bool = False


class HeadStarts:
    """Logins without a reservation yet, of mailboxes whose servers are known to be slow. Kept in memory only."""

    def __init__(self, ground: Ground, receptionist: Receptionist, keyring: Keyring, holds: Holds) -> None:
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._receptionist = receptionist
        self._keyring = keyring
        self._holds = holds
        self._permits = holds.permits
        self._slow: set[str] = set()  # mail servers
        self._starts: dict[int, _Start] = {}
        self.begun = 0  # ever
        self.on_ready: Callable[[int], object] = id  # told of each mailbox that may ask now

    def note_slow(self, server: str) -> None:
        """A reservation ran out while this server logged us in."""
        self._slow.add(server)

    def under_way(self, mailbox_id: int) -> bool:
        """Whether the mailbox has been given a head start, and holds a place at its server."""
        return mailbox_id in self._starts

    def waits(self, mailbox: Mailbox) -> bool:
        """Whether the mailbox must wait with its request: for a login that is under way, or begins now.

        When MOST are there none begins.
        """
        start = self._starts.get(mailbox.id)
        if start is None and mailbox.smtp_server not in self._slow:
            return False
        if start is None or (start.login is not None and not start.login.is_sound):
            self._drop(mailbox.id)
            if len(self._starts) < MOST:
                self._begin(mailbox)
            return True
        return start.login is None and not start.useless

    def take(self, mailbox_id: int) -> Login | None:
        """The mailbox has its reservation: its login, if it has one."""
        start = self._starts.get(mailbox_id)
        if start is None:
            return None
        start.taken = True
        self._drop(mailbox_id)
        return start.login

    async def cut(self) -> None:
        """Give up all of them."""
        tasks = [start.task for start in self._starts.values() if start.task is not None]
        for mailbox_id in list(self._starts):
            self._drop(mailbox_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    def asleep(self, clock: VirtualClock) -> bool:
        """Whether all of them wait for the clock alone."""
        return all(clock.asleep(start.task) for start in self._starts.values())

    def _begin(self, mailbox: Mailbox) -> None:
        start = self._starts[mailbox.id] = _Start()
        self.begun += 1
        self._permits.enter(("head start", mailbox.id), mailbox.lane)
        start.task = asyncio.create_task(self._keep(mailbox, start), name=f"head start {mailbox.id}")

    def _drop(self, mailbox_id: int) -> None:
        start = self._starts.pop(mailbox_id, None)
        if start is None:
            return
        self._permits.leave(("head start", mailbox_id), in_vain=start.login is None or not start.login.is_in)
        if start.task is not None:
            start.task.cancel()
        if start.login is not None and not start.taken:
            start.login.end()

    async def _keep(self, mailbox: Mailbox, start: _Start) -> None:
        """Log in, say so, and keep it for a while: until it may ask, if a cap holds everybody back until soon."""
        start.login = await self._log_in(mailbox)
        start.useless = start.login is None
        self.on_ready(mailbox.id)
        idle_from = self._clock.boottime()
        await self._clock.sleep(KEPT * self._clock.speed)
        while (wait := self._until_it_may_ask()) and (
            self._clock.boottime() + wait <= idle_from + IDLE * self._clock.speed
        ):
            await self._clock.sleep(wait)
        if self._starts.get(mailbox.id) is start:
            start.task = None
            self._drop(mailbox.id)

    def _until_it_may_ask(self) -> float | None:
        """Seconds until those whom a cap of the whole fleet holds back, or did just now, have asked; else None."""
        wait = KEPT * self._clock.speed - self._holds.since_opening(self._clock.now())
        return max(wait, 1.0) if wait > 0.0 and not self._holds.by_order else None

    async def _log_in(self, mailbox: Mailbox) -> Login | None:
        """None when nobody could even try."""
        began = self._clock.boottime()
        try:
            sealed = (await load_accounts(self._db, [mailbox.id])).get(mailbox.id)
            if sealed is None:
                return None
            login = await self._receptionist.log_in(await self._keyring.open(sealed))
        except WarmupdError:
            return None
        except Exception as error:  # noqa: BLE001  else the mailbox would wait for this login until a restart
            self._events.part_failed("head start", error)
            return None
        if (self._clock.boottime() - began) / self._clock.speed < QUICK and login.is_in:
            self._slow.discard(mailbox.smtp_server)
        return login
