"""This worker's slots: claimed up to its share, renewed, trusted only as long as is certain, handed over by plan."""

import asyncio
import datetime as dt
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from warmupd.clock import VirtualClock
from warmupd.core.mailbox import Mailbox
from warmupd.core.share import Intent, intend_auto, intend_one
from warmupd.daemon.ground import Ground
from warmupd.daemon.patience import patiently
from warmupd.daemon.standing_by import why_standing_by
from warmupd.errors import DatabaseUnavailable
from warmupd.store import slots
from warmupd.store.slots import FleetView

RENEWALS = 3  # in a lease's time
MARGIN = 0.1  # of the lease: how much earlier than Postgres this worker believes it is over


class Leases:
    """What this process may reserve for.

    `held` maps slots to epochs; `trusted` says whether they may be relied on. What is in `giving` is still leased, so
    that errands under way can end, but nothing new is begun there; then it is given back.
    """

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
        on_keys: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """`only` is the one slot wanted, None for a fair share; `on_keys` gets the ids of the keys that all hold."""
        self.worker_id: UUID = uuid4()
        self.name = name
        self.held: dict[int, int] = {}
        self.giving: dict[int, int] = {}
        self.slot_count = 0
        self.leaving = False  # it has begun to end
        self.standing_by = ""  # why it holds no slot; "" when it does
        self.changed = asyncio.Event()  # slots were gained or lost
        self.on_change: Callable[[], None] = lambda: None  # called then
        self.waiting = asyncio.Event()  # slots are to be given back as soon as what is under way there has ended
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._ttl = ttl
        self._only = only
        self._limits = limits
        self._version = version
        self._demand = demand
        self._on_keys = on_keys
        self._trusted_until = float("-inf")
        self._era = ground.db.era
        self._errands: dict[Hashable, frozenset[int]] = {}  # what is under way, and the epochs that it needs
        self._hastened = asyncio.Event()
        self._sleeping: asyncio.Task[None] | None = None
        self._left = False
        self.http_address = ""

    @property
    def trusted(self) -> bool:
        """Whether the slots in `held` are surely still this worker's.

        Not after a failover or a restart, until they are claimed anew: the server that answers now may lack what the
        last one had committed, be it a reservation or another worker's claim.
        """
        return bool(self.held) and self._is_sure()

    def _is_sure(self) -> bool:
        return self._clock.boottime() < self._trusted_until and self._db.era == self._era

    def slot_of(self, mailbox: Mailbox) -> int:
        """The slot of a mailbox: computed when asked, never stored, as the number of slots may change."""
        return mailbox.slot_hash % self.slot_count

    def owns(self, mailbox: Mailbox) -> bool:
        """Whether the mailbox is in a slot held, trusted or not."""
        return self.slot_count > 0 and mailbox.slot_hash % self.slot_count in self.held

    def epoch_of(self, mailbox: Mailbox) -> int | None:
        """The epoch of the mailbox's slot, while it is leased; None otherwise."""
        if not self.slot_count:
            return None
        slot = self.slot_of(mailbox)
        return self.held.get(slot, self.giving.get(slot))

    def trusts(self, mailbox: Mailbox, epoch: int | None) -> bool:
        """Whether the mailbox's slot is surely still this worker's, by the same epoch as then."""
        return self._is_sure() and epoch is not None and self.epoch_of(mailbox) == epoch

    # -- errands: what must end before a slot is handed over -------------------------------------------------------

    def begin(self, errand: Hashable, mailboxes: Iterable[Mailbox]) -> None:
        """Something is under way for these mailboxes: their slots are not given back before its `end`."""
        epochs = (self.epoch_of(mailbox) for mailbox in mailboxes)
        self._errands[errand] = frozenset(epoch for epoch in epochs if epoch is not None)

    def end(self, errand: Hashable) -> None:
        """It has ended, and is written down."""
        epochs = self._errands.pop(errand, frozenset())
        if epochs & {*self._idle().values()}:
            self.hasten()

    def waits_for(self, errand: Hashable) -> bool:
        """Whether a slot would be given back but for this errand."""
        return not self._errands.get(errand, frozenset()).isdisjoint(self.giving.values())

    def _idle(self) -> dict[int, int]:
        """The slots to be given back for which nothing is under way any more."""
        busy = frozenset[int]().union(*self._errands.values()) if self.giving else frozenset[int]()
        return {slot: epoch for slot, epoch in self.giving.items() if epoch not in busy}

    # -- claiming and renewing -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register this process and claim its share of what is free."""
        await self.register()
        self.slot_count = await slots.slot_count(self._db)
        await self._renew()

    def tell(self, limits: Mapping[str, Any]) -> None:
        """What this process's row says of it when it is written the next time."""
        self._limits = limits

    async def register(self) -> None:
        """Write this process's row."""
        await slots.register_worker(
            self._db,
            self.worker_id,
            name=self.name,
            http_address=self.http_address,
            version=self._version,
            limits=self._limits,
            wants=self._only,
            ttl=self._ttl,
            leaving=self.leaving,
            at=self._clock.stamp(),
        )
        self._on_keys((await slots.view_fleet(self._db, at=self._clock.stamp())).key_ids)

    async def run(self) -> None:
        """Renew every third of the lease, claim and give back what the shares ask for, until cancelled."""
        while True:
            self._ground.progress.turn("lease", rest=self._ttl / RENEWALS / self._clock.speed)
            await self._wait()
            self._hastened.clear()
            await patiently(self._ground, "lease", self._renew)

    def hasten(self) -> None:
        """Renew at once: somebody came or went, or slots are free."""
        self._hastened.set()

    def lacks(self, view: FleetView) -> bool:
        """Whether this worker holds less than its share of the fleet, and could claim some of it."""
        free = view.free - view.wanted if self._only is None else view.free & {self._only}
        return bool(free) and self._intend({**self.giving, **self.held}, view).claim > 0

    def is_calm(self, clock: VirtualClock) -> bool:
        """Whether nothing is to be done before the next renewal."""
        return clock.asleep(self._sleeping) and not self._hastened.is_set()

    def leave(self) -> None:
        """Reserve nothing more: each slot is given back as soon as nothing is under way for it."""
        self.leaving = True
        self.held, self.giving = {}, self.giving | self.held
        self.hasten()

    async def release(self) -> None:
        """Give everything back, so that a successor need not wait; without a database it just lapses."""
        self._trusted_until = float("-inf")
        self.held, self.giving = {}, {}
        with suppress(DatabaseUnavailable):
            await slots.release_slots(self._db, self.worker_id, at=self._clock.stamp())

    async def _wait(self) -> None:
        """For a third of the lease, or until hastened."""
        sleeping = self._sleeping = asyncio.create_task(self._clock.sleep(self._ttl / RENEWALS), name="leases sleep")
        hastened = asyncio.create_task(self._hastened.wait(), name="leases listen")
        try:
            await asyncio.wait({sleeping, hastened}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, hastened):
                task.cancel()
            await asyncio.gather(sleeping, hastened, return_exceptions=True)

    async def _renew(self) -> None:
        asked_at, at = self._clock.boottime(), self._clock.stamp()
        era = self._db.era
        if era != self._era:  # new epochs, so that nothing goes out that the last server had granted
            await slots.lapse_slots(self._db, self.worker_id)
        if self.leaving and not self._left:
            await slots.leave_fleet(self._db, self.worker_id, at=at)
            self._left = True
        if (kept := await self._prolong(at)) is None:
            await self.register()
            kept = await self._prolong(at)
        if self._db.era != era:
            return await self._renew()
        view = await slots.view_fleet(self._db, at=self._clock.stamp())
        self._on_keys(view.key_ids)
        intent = self._intend(kept if kept and view.count == self.slot_count else {}, view)
        gained: dict[int, int] = {}
        if intent.claim:
            gained = await self._claim(intent, view)
        if (until := asked_at + self._ttl * (1 - MARGIN)) <= self._clock.boottime():
            return self.hasten()  # frozen meanwhile, perhaps: what was read is of the past, and read anew
        self._take_over(intent, gained, view)
        self._era = era
        self._trusted_until = until
        return await self._give_back()

    async def _prolong(self, at: dt.datetime | None) -> dict[int, int] | None:
        return await slots.renew_slots(self._db, self.worker_id, ttl=self._ttl, demand=self._demand(), at=at)

    def _intend(self, kept: Mapping[int, int], view: FleetView) -> Intent:
        if self.leaving:
            return Intent(keep={}, give=kept, claim=0)
        if self._only is not None:
            return intend_one(kept, slot=self._only, count=view.count)
        return intend_auto(kept, worker_id=self.worker_id, autos=view.autos, wanted=view.wanted, count=view.count)

    async def _claim(self, intent: Intent, view: FleetView) -> dict[int, int]:
        return await slots.claim_slots(
            self._db,
            self.worker_id,
            ttl=self._ttl,
            most=intent.claim,
            only=[self._only] if self._only is not None else None,
            but=view.wanted if self._only is None else (),
            count=view.count,
            at=self._clock.stamp(),
        )

    def _take_over(self, intent: Intent, gained: Mapping[int, int], view: FleetView) -> None:
        """From here on only this is held."""
        before = self.held
        now = {**intent.keep, **intent.give}
        lost = [slot for slot, epoch in (before | self.giving).items() if now.get(slot) != epoch]
        if self.leaving:  # it began to leave while the rows were read
            intent, gained = Intent(keep={}, give={**now, **gained}, claim=0), {}
        self.held = {**intent.keep, **gained}
        self.giving = dict(intent.give)
        if self.giving:
            self.waiting.set()
        self.slot_count = view.count
        if lost:
            self._events.slots_lost(sorted(lost))
        if gained:
            self._events.slots_claimed(len(gained))
        if self.held != before:  # also when the answer to an earlier claim was lost
            self.changed.set()
            self.on_change()
        self._stand_by(view)

    def _stand_by(self, view: FleetView) -> None:
        """Say why no slot is held, once for each reason."""
        reason = "" if self.held or self.leaving else why_standing_by(self._only, view)
        if reason not in {"", self.standing_by}:
            self._events.standing_by(reason)
        self.standing_by = reason

    async def _give_back(self) -> None:
        if not (idle := self._idle()):
            return
        for slot in idle:
            del self.giving[slot]
        await slots.give_back_slots(self._db, self.worker_id, idle)
        self._events.slots_given_back(len(idle))
