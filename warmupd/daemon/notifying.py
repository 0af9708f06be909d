"""Notifying: finds what there is to tell owners and operators, writes it into the outbox, and has it delivered."""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from warmupd.config import Config
from warmupd.core.notice import Event, Notice, Turned
from warmupd.core.notice_fleet import Outage
from warmupd.core.notice_pace import next_daily, quiet_after
from warmupd.core.notice_words import digest_notice, missed_notice, trouble_notice
from warmupd.core.window import is_zone
from warmupd.daemon.ground import Ground
from warmupd.daemon.notif_fleet import look_after_fleet, operators_of
from warmupd.daemon.notif_post import Postman
from warmupd.errors import DatabaseUnavailable
from warmupd.mail.vault import Vault
from warmupd.store.notice_owners import LookedBack, due, look_back, tell_troubles
from warmupd.store.notice_settings import NoticeSettings
from warmupd.store.notices import drop_old

EVERY = 60.0  # seconds of the clock between rounds
EVERY_LEAST = 0.5  # real seconds, however fast the clock runs
OWNERS = 50  # that are looked after in one go
LOOK_EVERY = 60.0  # seconds between looks at the fleet, and
LOOK_SHARE = 100.0  # of what a look takes, at least
DROP_EVERY = dt.timedelta(hours=6)


class Notifying:
    """Every worker does all of it; rows decide who does what. `config` is what is in force: a reload puts a new one."""

    def __init__(self, ground: Ground, config: Config, vault: Callable[[], Vault], *, worker: str) -> None:
        self.config = config
        self._worker = worker
        self._outage = Outage()
        self.postman = Postman(ground, lambda: self.config, vault)
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._look_seconds = 0.0  # that the last look at the fleet took
        self._dropped_at: dt.datetime | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled. What is broken off is claimed anew later."""
        while True:
            await self.turn()
            await self._clock.sleep(max(EVERY, EVERY_LEAST * self._clock.speed))

    async def turn(self) -> None:
        """Rounds until there is nothing left to do; or, without the database, that to whom it concerns."""
        try:
            while await self.round():
                continue
            await self._drop_old()
            news = self._outage.back(self._clock.boottime(), worker=self._worker)
        except DatabaseUnavailable as error:
            self._ground.events.database_unavailable("notices", str(error))
            news = self._outage.away(self._clock.boottime(), worker=self._worker, why=str(error))
            await self._clock.pause(1.0)
        if news is not None:
            await self.postman.deliver_directly(news, operators_of(self.config))

    async def round(self) -> bool:
        """All of it once; whether another round may find more at once."""
        now, mail = self._clock.now(), bool(self.config.notifications.smtp_host)
        todo = await due(self._db, limit=OWNERS, at=now)
        turns = partial(tell_troubles, self._db, compose=of_turned, quiet=quiet_after, mail=mail, at=now)
        days = partial(look_back, self._db, compose=of_day, next_at=self._next_daily, mail=mail, at=now)
        deeds = [*(partial(turns, owner) for owner in todo.troubled), *(partial(days, owner) for owner in todo.daily)]
        ends = [await self._apart(deed) for deed in deeds]
        told = any([*ends, await self._apart(partial(self._look_after_fleet, now))])
        delivered = await self.postman.round() if told or todo.deliveries else False
        got_on = any(end is not None for end in ends)  # where all failed, they would fail again at once
        return delivered or (got_on and OWNERS in {len(todo.troubled), len(todo.daily)})

    async def _apart(self, deed: Callable[[], Awaitable[bool]]) -> bool | None:
        """Whether it told anything; None: it failed. One owner's oddity costs nobody else a notice, nor a send."""
        try:
            return await deed()
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is logged, and tried again in the next round
            self._ground.events.part_failed("notices", error)
            return None

    def _next_daily(self, settings: NoticeSettings) -> dt.datetime:
        zone = settings.zone if settings.zone and is_zone(settings.zone) else self.config.window.timezone
        return next_daily(self._clock.now(), settings.daily_hour, zone)

    async def _look_after_fleet(self, now: dt.datetime) -> bool:
        """A large fleet takes long to judge, and is looked at less often for it."""
        began, every = self._clock.boottime(), max(LOOK_EVERY, LOOK_SHARE * self._look_seconds)
        looked = await look_after_fleet(self._db, self.config, every=every, at=now)
        if looked:
            self._look_seconds = self._clock.boottime() - began
        return looked

    async def _drop_old(self) -> None:
        now = self._clock.now()
        if self._dropped_at is None or now - self._dropped_at >= DROP_EVERY:
            await drop_old(self._db, at=now)
            self._dropped_at = now


def of_turned(settings: NoticeSettings, turned: Sequence[Turned]) -> Notice | None:
    """What is told of what happened to mailboxes."""
    return trouble_notice(turned, settings.events)


def of_day(seen: LookedBack) -> Notice | None:
    """What is told of the days that have closed."""
    settings = seen.settings
    if settings.digest:
        return digest_notice(seen.turned, seen.missed, seen.day, settings.events)
    return missed_notice(seen.missed) if Event.QUOTA_MISSED in settings.events else None
