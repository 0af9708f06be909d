"""The result of a demo: counted from the ledger, from the mail server's record, and from its folders."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from warmupd.clock import ScaledClock
from warmupd.core.placement import Placement
from warmupd.mail.message_id import MessageKey
from warmupd.sandbox.attempts import DayKey, count_in_vain
from warmupd.sandbox.holdup import Holdup, busy_times
from warmupd.sandbox.placements import count_misplaced
from warmupd.sandbox.record import Record, Refused, Snapshot, Taken
from warmupd.sandbox.reserved import JobKey
from warmupd.sandbox.shortfall import Shortfall, explain_shortfalls
from warmupd.sandbox.violations import Promises, Violations, count_violations
from warmupd.sandbox.weather import AWAY, Weather
from warmupd.store.database import Database
from warmupd.store.evidence import Reservation, load_reservations, load_rests
from warmupd.store.ledger import DayEntry, LedgerEntry, load_day_entries, load_engagements, load_ledger, load_placements
from warmupd.store.shortfall import count_unknowns, load_short_days


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoReport:
    """The result, under the names that `demo --json` promises."""

    mailboxes: int
    days: int
    weather_name: str
    weather: dict[str, int]  # how often the mail server did what on purpose, each kind that this weather has
    quota: int
    sent: int
    failed: int
    unknown: int  # still, at the end
    unknowns_resolved: int  # by a sighting, or a copy in the sender's folder of sent mail
    fill_rate: float
    mailboxes_met: int
    shortfalls: tuple[Shortfall, ...]
    replies: int
    rescued: int
    placement: dict[str, int]
    unseen: int  # sent so late that no visit has looked for it yet
    violations: Violations
    busy_minutes: int  # of the run's time in which no more sends could be under way: the machine is the limit
    wall_seconds: float
    server: dict[str, int]  # what the mail server's own record and folders say

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(self)
        plain["shortfalls"] = [{**entry, "day": entry["day"].isoformat()} for entry in plain["shortfalls"]]
        return plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run that is over, and what to judge it by."""

    days: int
    owed: Sequence[DayEntry]  # one a mailbox and day of the run, whatever the ledger has
    weather: Weather
    promises: Promises
    at_once: int  # sends to the mail server, at most
    clock: ScaledClock
    owners: Mapping[str, tuple[int, int]]
    message_key: MessageKey
    record: Record
    folders: Snapshot


async def report_of(db: Database, run: Run, *, wall_seconds: float) -> DemoReport:
    """Count everything."""
    days = await load_day_entries(db)
    ledger = await load_ledger(db)
    engaged, unknowns = await load_engagements(db), await count_unknowns(db)
    reservations = await load_reservations(db)
    busy = busy_times(reservations, most=run.at_once, speed=run.clock.speed)
    unopened = _unopened(run, days)
    shortfalls = explain_shortfalls(
        await load_short_days(db, unopened),
        in_vain=_in_vain(run, reservations),
        rests=await load_rests(db),
        for_all=[*_outages(run), *busy],
    )
    owed = [*days, *unopened]
    met = {day.mailbox_id for day in owed} - {day.mailbox_id for day in owed if day.sent < day.quota}
    quota, sent = sum(day.quota for day in owed), sum(day.sent for day in owed)
    violations = _violations(run, ledger, days, reservations, said=await load_placements(db))
    return DemoReport(
        mailboxes=len(run.owners),
        days=run.days,
        weather_name=run.weather.name,
        weather=_weather(run),
        quota=quota,
        sent=sent,
        failed=sum(entry.status == "FAILED" for entry in ledger),
        unknown=unknowns.open,
        unknowns_resolved=unknowns.resolved,
        fill_rate=round(sent / quota, 4) if quota else 0.0,
        mailboxes_met=len(met),
        shortfalls=tuple(shortfalls),
        replies=engaged.replies,
        rescued=engaged.rescued,
        unseen=max(0, sent - sum(engaged.placement.values())),
        placement={word.value: count for word, count in engaged.placement.items()},
        violations=replace(
            violations,
            unexplained=sum(short.unexplained > 0 for short in shortfalls),
        ),
        busy_minutes=round(sum((time.end - time.begin).total_seconds() for time in busy) / 60),
        wall_seconds=round(wall_seconds, 1),
        server=_server(run),
    )


def _violations(
    run: Run,
    ledger: Sequence[LedgerEntry],
    days: Sequence[DayEntry],
    reservations: Sequence[Reservation],
    *,
    said: Mapping[JobKey, Placement],
) -> Violations:
    job_of = _job_of(run.message_key)
    broken = count_violations(
        ledger,
        days,
        [*run.record.taken, *run.record.refused],
        promises=run.promises,
        clock_at=run.clock.at,
        owners=run.owners,
        job_of=job_of,
        reservations=reservations,
    )
    return replace(broken, misplaced=count_misplaced(said, run.record.taken, job_of))


def _unopened(run: Run, days: Sequence[DayEntry]) -> list[DayEntry]:
    opened = {(day.mailbox_id, day.day) for day in days}
    return [day for day in run.owed if (day.mailbox_id, day.day) not in opened]


def _in_vain(run: Run, reservations: Sequence[Reservation]) -> Mapping[DayKey, int]:
    refusals = [
        (run.owners[refused.user][0], run.clock.at(refused.refused_at))
        for refused in run.record.refused
        if refused.user in run.owners
    ]
    return count_in_vain(
        reservations,
        refusals,
        _outages(run),
        speed=run.clock.speed,
        early=run.promises.early,
        late=run.promises.late,
    )


def _outages(run: Run) -> list[Holdup]:
    spans = [(run.clock.at(outage.began_at), run.clock.at(outage.ended_at)) for outage in run.record.outages]
    return [
        Holdup(begin=begin, end=end, cause=AWAY, words=f"no mail server answered until {end:%a %H:%M} UTC")
        for begin, end in spans
    ]


def _job_of(message_key: MessageKey) -> Callable[[Taken], JobKey | None]:
    def job_of(taken: Taken) -> JobKey | None:
        token = message_key.recognise(taken.token)
        return (token.day, token.job_id) if token is not None else None

    return job_of


def _server(run: Run) -> dict[str, int]:
    record, folders = run.record, run.folders.values()
    away = sum((outage.ended_at - outage.began_at) * run.clock.speed for outage in record.outages)
    given: list[Taken | Refused] = [*record.taken, *record.refused]
    return {
        "attempts": sum(login.protocol == "SMTP" and login.ok for login in record.logins),
        "accepted": len(record.taken),
        "refused": sum(refused.code is not None for refused in record.refused),
        "cut": sum(entry.code is None for entry in given),
        "outages": len(record.outages),
        "away_minutes": round(away / 60),
        "rescued_and_read": sum(its["INBOX"].seen for its in folders if "INBOX" in its),
        "filed": sum(its["Warmup"].messages for its in folders if "Warmup" in its),
    }


def _weather(run: Run) -> dict[str, int]:
    record = run.record
    given: list[Taken | Refused] = [*record.taken, *record.refused]
    counts = Counter(entry.event for entry in given) + Counter({AWAY: len(record.outages)})
    return {kind: counts[kind] for kind in sorted(run.weather.kinds)}
