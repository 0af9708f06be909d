"""What others changed, heard by LISTEN or found by looking: hints only hasten what looking would find."""

import asyncio
from collections.abc import Awaitable, Callable

from warmupd.daemon.ground import Ground
from warmupd.daemon.patience import within
from warmupd.store.listening import FLEET, MAILBOX, Listener

LOOK_EVERY = 10.0  # real seconds between looks at what changed, while notifications are heard


class Hints:
    """Tells when to look for changed mailboxes, and hands on what changed about the fleet."""

    def __init__(
        self,
        ground: Ground,
        listener: Listener | None,
        *,
        on_fleet: Callable[[frozenset[str]], Awaitable[None]],
    ) -> None:
        """`on_fleet` gets the payloads of `warmupd_fleet` that came together.

        Without a `listener` nothing is heard, and `due` alone tells when to look.
        """
        self._ground = ground
        self._listener = listener
        self._on_fleet = on_fleet
        self._mailboxes = asyncio.Event()
        self._fleet: set[str] = set()
        self._fleet_told = asyncio.Event()

    async def run(self) -> None:
        """Listen, and hand on what is heard, until cancelled."""
        if self._listener is None:
            await self._hand_on()
        else:
            await asyncio.gather(self._listener.run(self), self._hand_on())

    async def _hand_on(self) -> None:
        """Hand on what changed about the fleet, one after the other, until cancelled."""
        while True:
            await self._fleet_told.wait()
            self._fleet_told.clear()
            told, self._fleet = frozenset(self._fleet), set()
            await self._on_fleet(told)

    async def due(self, every: float) -> None:
        """Return when it is time to look for changed mailboxes: one was told of, or the last look is long ago.

        That is `every` real seconds, and LOOK_EVERY, if that is longer, while notifications are heard.
        """
        hearing = self._listener is not None and self._listener.up
        await within(self._ground, max(every, LOOK_EVERY) if hearing else every, self._mailboxes)
        self._mailboxes.clear()

    def _tell_fleet(self, what: str) -> None:
        self._fleet.add(what)
        self._fleet_told.set()

    # -- as the listener tells ------------------------------------------------------------------------------------

    def hear(self, channel: str, payload: str) -> None:
        if channel == MAILBOX:
            self._mailboxes.set()
        elif channel == FLEET:
            self._tell_fleet(payload)

    def connected(self) -> None:
        self._ground.events.listening()
        self._miss()

    def lost(self, why: str) -> None:
        self._ground.events.not_listening(why)
        self._miss()

    def _miss(self) -> None:
        """Look at once, at mailboxes, settings and slots: what was told meanwhile was told to nobody."""
        self._mailboxes.set()
        self._tell_fleet("slots")
