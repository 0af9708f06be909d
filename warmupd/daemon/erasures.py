"""Erasures: what belonged to users who left for good is wiped by any worker, bit by bit, between its sends."""

import datetime as dt
from uuid import UUID

from warmupd.daemon.ground import Ground
from warmupd.errors import DatabaseUnavailable
from warmupd.store import erasure

LASTS = 600.0  # seconds for which one worker holds an erasure; each batch prolongs it
BREATH = 0.05  # real seconds between batches: sends come first


class Erasures:
    """Whoever claims one first carries it out. It is safe to repeat."""

    def __init__(self, ground: Ground) -> None:
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events

    async def round(self) -> bool:
        """Wipe everything of one user who waits for it; whether there was one."""
        lasts = dt.timedelta(seconds=LASTS * self._clock.speed)
        user_id = await erasure.claim_erasure(self._db, lasts=lasts, at=self._clock.now())
        if user_id is None:
            return False
        try:
            rows = await self._wipe(user_id, lasts)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  one erasure's oddity must not end the worker; it is tried again later
            self._events.part_failed("erasure", error)
        else:
            self._events.user_erased(user=str(user_id), rows=rows)
        return True

    async def _wipe(self, user_id: UUID, lasts: dt.timedelta) -> int:
        rows = 0
        async for batch in erasure.wipe_user(self._db, user_id, pause=self._breathe, at=self._clock.now()):
            rows += batch.rows
            await erasure.keep_claim(self._db, user_id, lasts=lasts, at=self._clock.now())
            await self._breathe()
        return rows

    async def _breathe(self) -> None:
        await self._clock.pause(BREATH)
