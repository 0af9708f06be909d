"""Partitions that are missing, and old ones that cannot go, with the reason: what `doctor` and `status` tell."""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

from warmupd.core.retention import OVERDUE, Retention
from warmupd.store import lingering, partitions
from warmupd.store.database import Database
from warmupd.store.partitions import JOBS, SIGHTINGS, Partition


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What is wrong with a partition, and what helps."""

    text: str
    remedy: str


async def partition_troubles(db: Database, retention: Retention, *, at: dt.datetime) -> list[Trouble]:
    """Empty when there are partitions for today and tomorrow, and none that should have gone for days."""
    today = at.astimezone(dt.UTC).date()
    found = [one async for one in _lingering(db, retention, today)]
    if missing := await partitions.missing_partitions(db, today):
        text = f"missing: {', '.join(missing)}"
        found.insert(0, Trouble(text=text, remedy="a running worker makes them; start one with `warmupd run`"))
    return found


async def _lingering(db: Database, retention: Retention, today: dt.date) -> AsyncIterator[Trouble]:
    for parent, kept in ((JOBS, retention.jobs), (SIGHTINGS, retention.sightings)):
        before = today - kept - OVERDUE
        old = [one for one in await partitions.partitions_of(db, parent) if one.day < before]
        for one in old[:1]:
            others = f", and {len(old) - 1} after it" if len(old) > 1 else ""
            yield await _why(db, one, others)


async def _why(db: Database, old: Partition, others: str) -> Trouble:
    name = f"{old.name}{others}"
    if old.parent == JOBS and (jobs := await lingering.unsettled_by_status(db, old.day)):
        counts = ", ".join(f"{count} {status}" for status, count in jobs.items())
        remedy = "they end by themselves once a worker runs and their mailboxes are visited; see unknown"
        return Trouble(text=f"{name} cannot go: it has unsettled jobs ({counts})", remedy=remedy)
    if old.parent == SIGHTINGS and await partitions.has_jobs(db, old.day):
        return Trouble(text=f"{name} cannot go before the jobs of that day", remedy="have those go first")
    if holder := await lingering.oldest_transaction(db):
        text = f"{name} cannot go while a transaction goes on that began at {holder.began:%Y-%m-%d %H:%M} UTC"
        remedy = f"end it: SELECT pg_terminate_backend({holder.pid}), of {holder.program or 'an unnamed program'}"
        return Trouble(text=text, remedy=remedy)
    remedy = "a running worker drops it; start one with `warmupd run`, or see partitions and keeping in its log"
    return Trouble(text=f"{name} should have gone by now", remedy=remedy)
