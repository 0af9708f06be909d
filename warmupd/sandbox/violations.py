"""Counting broken promises from what the mail server's record and the ledger saw, not from what the daemon believes."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from warmupd.core.job import JobStatus
from warmupd.sandbox.record import Refused, Taken
from warmupd.sandbox.reserved import JobKey, Offer, count_unreserved
from warmupd.store.evidence import Reservation
from warmupd.store.ledger import DayEntry, LedgerEntry

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
EPSILON = dt.timedelta(milliseconds=1)  # rounding of instants on their way through JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Promises:
    """What was promised for a run.

    `slack` is what may lie between a reservation and its MAIL FROM. `early` and `late` are what is overlooked where
    the server's record is held to a reservation's own times: the grain of timers, and the way of a line to the server.
    """

    mailbox_gap: dt.timedelta
    user_gap: dt.timedelta
    global_per_minute: int
    global_per_hour: int
    user_per_minute: int
    user_per_hour: int
    slack: dt.timedelta
    early: dt.timedelta = EPSILON
    late: dt.timedelta = EPSILON


@dataclass(frozen=True, kw_only=True, slots=True)
class Violations:
    """How often each promise was broken."""

    spacing: int
    window: int
    caps: int
    quota: int
    outside_pool: int
    twice: int
    unreserved: int = 0  # MAIL FROM that no reservation allowed, or not at that moment
    lost: int = 0  # SENT by the ledger, and the mail server has not taken it
    misplaced: int = 0  # seen in another place than the mail server put it
    unexplained: int = 0  # days that fell short by more than the rows account for

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def count_violations(
    ledger: Sequence[LedgerEntry],
    days: Sequence[DayEntry],
    record: Sequence[Taken | Refused],
    *,
    promises: Promises,
    clock_at: Callable[[float], dt.datetime],
    owners: Mapping[str, tuple[int, Hashable]],
    job_of: Callable[[Taken], JobKey | None] | None = None,
    reservations: Sequence[Reservation] | None = None,
) -> Violations:
    """Compare the ledger's reservations and the server's record with the promises.

    `clock_at` maps the record's CLOCK_BOOTTIME to the run's time; `owners` maps each enrolled address to its mailbox
    and pool. `reservations` are all that were made: they are held to the promises themselves, and each MAIL FROM to
    one of them, those of messages that were refused as well. So the server's record keeps the pace too, however fast
    the clock runs; beside that it is held to the promises less the slack, which says something at low speeds only.
    Without `reservations` the last one of each job, as the ledger has it, is judged, and `unreserved` is not counted.
    `job_of` reads the job that a message names: without it `lost` is not counted. Nor are `misplaced` and
    `unexplained`, which need more than these.
    """
    taken = [entry for entry in record if isinstance(entry, Taken)]
    accepted, mails = _in_time(taken, clock_at), _in_time(record, clock_at)
    reserved = ledger if reservations is None else reservations
    offers = _offers(record, clock_at, owners, job_of)
    return Violations(
        spacing=_spacing(reserved, mails, promises),
        window=_window(reserved, days, mails, owners, promises),
        caps=_caps(reserved, mails, promises),
        quota=_quota(days, accepted, owners),
        outside_pool=_outside(ledger, taken, owners),
        twice=sum(count - 1 for count in Counter(entry.token for entry in taken if entry.token).values()),
        unreserved=count_unreserved(offers, reservations, early=promises.early, late=promises.late)
        if reservations is not None
        else 0,
        lost=_lost(ledger, taken, job_of) if job_of else 0,
    )


Mails = Sequence[tuple[dt.datetime, str]]  # moment of MAIL FROM, and the account that was logged in
Reserved = Sequence[LedgerEntry] | Sequence[Reservation]


def _in_time(entries: Iterable[Taken | Refused], clock_at: Callable[[float], dt.datetime]) -> Mails:
    return sorted((clock_at(entry.mail_at), entry.user) for entry in entries if entry.mail_at is not None)


def _offers(
    entries: Iterable[Taken | Refused],
    clock_at: Callable[[float], dt.datetime],
    owners: Mapping[str, tuple[int, Hashable]],
    job_of: Callable[[Taken], JobKey | None] | None,
) -> list[Offer]:
    return [
        Offer(
            at=clock_at(entry.mail_at),
            mailbox_id=owners.get(entry.user, (0, None))[0],
            job=job_of(entry) if job_of and isinstance(entry, Taken) else None,
        )
        for entry in entries
        if entry.mail_at is not None
    ]


def _spacing(ledger: Reserved, mails: Mails, promises: Promises) -> int:
    by_mailbox = _group((entry.mailbox_id, entry.start_at) for entry in ledger)
    by_user = _group((entry.user_id, entry.start_at) for entry in ledger)
    on_server = _group((user, at) for at, user in mails)
    return (
        sum(_too_close(moments, promises.mailbox_gap) for moments in by_mailbox.values())
        + sum(_too_close(moments, promises.user_gap) for moments in by_user.values())
        + sum(_too_close(moments, promises.mailbox_gap - promises.slack) for moments in on_server.values())
    )


def _window(
    ledger: Reserved,
    days: Sequence[DayEntry],
    mails: Mails,
    owners: Mapping[str, tuple[int, Hashable]],
    promises: Promises,
) -> int:
    reserved = sum(
        not (
            entry.opens_at <= entry.picked_at and entry.start_at < entry.closes_at and entry.send_by <= entry.closes_at
        )
        for entry in ledger
    )
    windows: defaultdict[int, list[DayEntry]] = defaultdict(list)
    for day in days:
        windows[day.mailbox_id].append(day)
    outside = 0
    for at, user in mails:
        mailbox_id, _ = owners.get(user, (0, None))
        outside += not any(
            day.opens_at - promises.early <= at <= day.closes_at + promises.late for day in windows[mailbox_id]
        )
    return reserved + outside


def _caps(ledger: Reserved, mails: Mails, promises: Promises) -> int:
    everybody = [entry.picked_at for entry in ledger]
    by_user = _group((entry.user_id, entry.picked_at) for entry in ledger)
    count = _too_many(everybody, MINUTE, promises.global_per_minute)
    count += _too_many(everybody, HOUR, promises.global_per_hour)
    for moments in by_user.values():
        count += _too_many(moments, MINUTE, promises.user_per_minute)
        count += _too_many(moments, HOUR, promises.user_per_hour)
    seen = [at for at, _ in mails]
    for length, cap in ((MINUTE, promises.global_per_minute), (HOUR, promises.global_per_hour)):
        if length > promises.slack:
            count += _too_many(seen, length - promises.slack, cap)
    return count


def _quota(days: Sequence[DayEntry], accepted: Mails, owners: Mapping[str, tuple[int, Hashable]]) -> int:
    """Sends above the quota: by the rows, and by what the server took of each mailbox between two windows' openings."""
    count = sum(max(0, day.sent - day.quota) for day in days)
    moments = _group((owners.get(user, (0, None))[0], at) for at, user in accepted)
    by_mailbox: defaultdict[int, list[DayEntry]] = defaultdict(list)
    for day in days:
        by_mailbox[day.mailbox_id].append(day)
    for mailbox_id, its_days in by_mailbox.items():
        its_days.sort(key=lambda day: day.opens_at)
        ends = [day.opens_at for day in its_days[1:]] + [dt.datetime.max.replace(tzinfo=dt.UTC)]
        for day, end in zip(its_days, ends, strict=True):
            taken = sum(day.opens_at <= at < end for at in moments.get(mailbox_id, ()))
            count += max(0, taken - day.quota)
    return count


def _outside(ledger: Sequence[LedgerEntry], taken: Iterable[Taken], owners: Mapping[str, tuple[int, Hashable]]) -> int:
    reserved = sum(
        entry.pool_id != entry.recipient_pool_id or entry.mailbox_id == entry.recipient_id for entry in ledger
    )
    outside = 0
    for entry in taken:
        sender = owners.get(entry.user)
        for address in entry.recipients:
            recipient = owners.get(address)
            outside += sender is None or recipient is None or recipient[1] != sender[1] or recipient[0] == sender[0]
    return reserved + outside


def _lost(ledger: Sequence[LedgerEntry], taken: Iterable[Taken], job_of: Callable[[Taken], JobKey | None]) -> int:
    there = {job_of(entry) for entry in taken}
    said = [entry for entry in ledger if entry.status in {JobStatus.SENT, JobStatus.REPLIED}]
    return sum((entry.job_day, entry.job_id) not in there for entry in said)


def _too_close(moments: Sequence[dt.datetime], gap: dt.timedelta) -> int:
    ordered = sorted(moments)
    return sum(later - earlier < gap - EPSILON for earlier, later in pairwise(ordered))


def _too_many(moments: Sequence[dt.datetime], length: dt.timedelta, cap: int) -> int:
    """How many of the moments are one too many in the window of `length` that ends with them."""
    ordered, first, count = sorted(moments), 0, 0
    for index, moment in enumerate(ordered):
        while ordered[first] <= moment - length:
            first += 1
        count += index - first + 1 > cap
    return count


def _group(pairs: Iterable[tuple[Hashable, dt.datetime]]) -> dict[Hashable, list[dt.datetime]]:
    groups: defaultdict[Hashable, list[dt.datetime]] = defaultdict(list)
    for key, moment in pairs:
        groups[key].append(moment)
    return groups
