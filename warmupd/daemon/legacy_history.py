"""What mailboxes have sent in the old system, written where the daemon looks: day rows, today's quota, the ramp."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.legacy_days import OldDay, PastDay, past_days
from warmupd.core.legacy_ramp import Carried, carried_ramp
from warmupd.core.mailbox import Mailbox, Ramp
from warmupd.core.ramp import resolve_budget
from warmupd.core.window import local_day
from warmupd.daemon.legacy_report import Report
from warmupd.daemon.options import defaults_of, health_of
from warmupd.store.database import Connection
from warmupd.store.mailboxes import load_mailboxes
from warmupd.store.past_days import carry_ramps, remember_zones, touch, write_past_days
from warmupd.store.users import User

Day = TypeVar("Day", OldDay, PastDay)

REACH = dt.timedelta(days=400)  # as far as reports; well within what housekeeping keeps, so that none counts again


@dataclass(frozen=True, kw_only=True, slots=True)
class Old:
    """What the old system knows of a mailbox's sending."""

    days: Sequence[OldDay]
    zone: str  # that the days are of
    counter: int | None  # its day counter, 1 the first day
    since: dt.date | None  # when its warmup began


class Carrier:
    """Carries counts and ramps over. What was carried is told in the report once it is committed."""

    def __init__(self, config: Config, clock: Clock, report: Report) -> None:
        self._defaults = defaults_of(config)
        self._rules = health_of(config)
        self._variance = config.quota.variance
        self._clock = clock
        self._report = report
        self._ramps: Counter[str] = Counter()
        self._days: Counter[str] = Counter()
        self._today: Counter[str] = Counter()
        self._sent = 0

    async def carry(self, connection: Connection, old: Mapping[int, Old], *, enrolled: bool = False) -> set[int]:
        """Write what is known of these mailboxes, by id; those of which something was new. `enrolled`: workers may
        know them already, and are told.
        """
        self._forget()
        now, rows, ramps = self._clock.now(), dict[int, list[PastDay]](), dict[int, int]()
        for mailbox in await load_mailboxes(connection, self._defaults, list(old), alone=True):
            mine = old[mailbox.id]
            carried = self._carried(mailbox.ramp, mine, local_day(now, mailbox.zone))
            ramps[mailbox.id] = carried.days
            mailbox.ramp_days = max(mailbox.ramp_days, carried.days)
            rows[mailbox.id] = its = self._rows(mailbox, mine, now)
            if enrolled and mine.zone != mailbox.zone:
                self._days["other_zone"] += len(its)
        await remember_zones(connection, {one: old[one].zone for one in rows if old[one].days})
        further = await carry_ramps(connection, ramps)
        written = await write_past_days(connection, rows)
        self._days.update(added=written.added, updated=written.updated)
        changed = further | written.mailboxes
        if enrolled and changed:
            await touch(connection, list(changed))
        return changed

    def foresee(self, old: Old, settings: Mapping[str, Any], owner: User) -> None:
        """Count what would be carried of a mailbox that is not enrolled."""
        own, usual = settings, self._defaults.ramp
        ramp = Ramp(
            start=usual.start,
            step=own.get("ramp_step", usual.step),
            target=own.get("target_daily", usual.target),
            floor=usual.floor,
        )
        today = local_day(self._clock.now(), own.get("timezone") or owner.timezone or self._defaults.zone)
        self._forget()
        self._carried(ramp, old, today)
        days = self._recent([one for one in old.days if one.day <= today and (one.sent or one.failed)], today)
        self._count_days(days, today)
        self._days["added"] += len(days)
        self.tell()

    def tell(self) -> None:
        """What was carried last has come to stay."""
        self._report.ramps += self._ramps
        self._report.days += self._days
        self._report.today += self._today
        self._report.sent += self._sent
        self._forget()

    def _forget(self) -> None:
        self._ramps, self._days, self._today, self._sent = Counter(), Counter(), Counter(), 0

    def _carried(self, ramp: Ramp, old: Old, today: dt.date) -> Carried:
        sends = {one.day: one.sent for one in old.days if one.day <= today}
        carried = carried_ramp(ramp, sends, today=today, counter=old.counter, since=old.since)
        self._ramps[carried.basis] += 1
        return carried

    def _rows(self, mailbox: Mailbox, old: Old, now: dt.datetime) -> list[PastDay]:
        today = local_day(now, mailbox.zone)
        budget = resolve_budget(mailbox, today, variance=self._variance, rules=self._rules)
        made = past_days(
            old.days, zone=mailbox.zone, hours=mailbox.hours, ramp_days=mailbox.ramp_days, now=now, today=budget
        )
        recent = self._recent(made, today)
        self._count_days(recent, today)
        return recent

    def _recent(self, days: Sequence[Day], today: dt.date) -> list[Day]:
        """Without those before REACH: housekeeping would add them up, and another import enter them anew."""
        recent = [one for one in days if one.day >= today - REACH]
        if len(recent) < len(days):
            self._days["too_old"] += len(days) - len(recent)
        return recent

    def _count_days(self, days: Sequence[PastDay | OldDay], today: dt.date) -> None:
        self._sent += sum(one.sent for one in days)
        for one in days:
            if one.day == today and one.sent:
                self._today.update(mailboxes=1, sent=one.sent)
