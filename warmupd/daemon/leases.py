"""This worker's slots: claimed, renewed, trusted only as long as is certain, given back at the end."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from warmupd.core.mailbox import Mailbox
from warmupd.daemon.ground import Ground
from warmupd.daemon.patience import patiently
from warmupd.errors import DatabaseUnavailable
from warmupd.store import slots

RENEWALS = 3  # in a lease's time
MARGIN = 0.1  # of the lease: how much earlier than Postgres this worker believes it is over


class Leases:
    """What this process may reserve for. `held` maps slots to epochs; `trusted` says whether they may be relied on."""

    def __init__(
        self,
        ground: Ground,
        *,
        name: str,
        ttl: float,
        only: int | None = None,
        limits: Mapping[str, Any],
        version: str,
        demand: Callable[[], int],
    ) -> None:
        """`only` is the one slot wanted (worker.id as an integer); None takes all that are free."""
        self.worker_id: UUID = uuid4()
        self.name = name
        self.held: dict[int, int] = {}
        self.slot_count = 0
        self.changed = asyncio.Event()  # slots were gained or lost
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._ttl = ttl
        self._only = only
        self._limits = limits
        self._version = version
        self._demand = demand
        self._trusted_until = float("-inf")
        self.http_address = ""

    @property
    def trusted(self) -> bool:
        """Whether the slots in `held` are surely still this worker's."""
        return bool(self.held) and self._clock.boottime() < self._trusted_until

    def slot_of(self, mailbox: Mailbox) -> int:
        """The slot of a mailbox: computed when asked, never stored."""
        return mailbox.slot_hash % self.slot_count

    def owns(self, mailbox: Mailbox) -> bool:
        """Whether the mailbox is in a slot held, trusted or not."""
        return self.slot_count > 0 and self.slot_of(mailbox) in self.held

    async def start(self) -> None:
        """Register this process and claim what is free."""
        await slots.register_worker(
            self._db,
            self.worker_id,
            name=self.name,
            http_address=self.http_address,
            version=self._version,
            limits=self._limits,
            at=self._clock.stamp(),
        )
        self.slot_count = await slots.slot_count(self._db)
        await self._renew()

    async def run(self) -> None:
        """Renew every third of the lease, and claim what became free, until cancelled."""
        while True:
            await self._clock.sleep(self._ttl / RENEWALS)
            await patiently(self._ground, "lease", self._renew)

    async def release(self) -> None:
        """Give everything back, so that a successor need not wait; without a database it just lapses."""
        self._trusted_until = float("-inf")
        self.held = {}
        with suppress(DatabaseUnavailable):
            await slots.release_slots(self._db, self.worker_id, at=self._clock.stamp())

    async def _renew(self) -> None:
        asked_at = self._clock.boottime()
        at = self._clock.stamp()
        kept = await slots.renew_slots(self._db, self.worker_id, ttl=self._ttl, demand=self._demand(), at=at)
        before = self.held
        lost = {slot for slot, epoch in before.items() if kept.get(slot) != epoch}
        self.slot_count = await slots.slot_count(self._db)
        missing = self.slot_count - len(kept)
        gained: dict[int, int] = {}
        if missing and not (self._only is not None and self._only in kept):
            only = None if self._only is None else [self._only]
            gained = await slots.claim_slots(self._db, self.worker_id, ttl=self._ttl, most=missing, only=only, at=at)
        self.held = kept | gained
        self._trusted_until = asked_at + self._ttl * (1 - MARGIN)
        if lost:
            self._events.slots_lost(sorted(lost))
        if gained:
            self._events.slots_claimed(len(gained))
        if self.held != before:  # also when the answer to an earlier claim was lost
            self.changed.set()
