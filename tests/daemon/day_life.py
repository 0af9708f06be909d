"""A small fleet lives through its days, whatever is done to it; beside it the model is told what happened."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tests.daemon.day_model import MailboxModel, Row, Settings
from tests.daemon.day_post import DayPost, Said
from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import PATIENCE, Rig
from tests.store.invariants import broken
from warmupd.clock import VirtualClock
from warmupd.core.engagement import Engagement
from warmupd.core.mailbox import MailboxState
from warmupd.core.placement import Placement
from warmupd.mail.message_id import MessageKey
from warmupd.store import sightings, states
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence
from warmupd.store.sightings import Sighting

CHUNK = dt.timedelta(hours=2)  # between looks at the rows
AWAY_STEP = 1800.0  # seconds: in each of them something asks Postgres
UNTRUSTED = dt.timedelta(seconds=2)  # until a worker notices that its lease can be trusted again
LEASE = dt.timedelta(hours=1)
SENDERS = 3


class SwiftClock(VirtualClock):
    """After a fault the machine's time is not waited for."""

    async def pause(self, seconds: float) -> None:
        # Real time, for sockets and Postgres to answer in; what is longer than a minute is a guard, and stays.
        await asyncio.sleep(seconds if seconds > 60 else min(seconds, 0.005))


@dataclass(kw_only=True)
class Box:
    id: int
    address: str
    plan_of: Any  # the user
    model: MailboxModel


class Life:
    """What can be done to the fleet; after each of it, all that must hold is looked at."""

    rig: Rig

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self.boxes: list[Box] = []  # the last two only receive: so there is always somebody to write to
        self.synced_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._sighted: set[str] = set()

    async def begin(self, moment: dt.datetime, zones: list[str], ramp_days: int) -> None:
        self.db = await self._stack.enter_async_context(
            await Database.open(self._url, pool_size=2, application_name="tests")
        )
        await keep_evidence(self.db)
        self.flaky = await self._stack.enter_async_context(
            await FlakyDatabase.open(self._url, pool_size=2, application_name="worker")
        )
        self.clock = SwiftClock(moment)
        self.rig = Rig(self.db, self.clock)
        self.post = self.rig.server = DayPost(self.clock)
        self.key = MessageKey(self.rig.world.vault)
        for number, zone in enumerate([*zones, "UTC", "UTC"]):
            await self._enrol(f"host{number}.test", zone, ramp_days, starts=number < len(zones))
        self.synced_at = moment
        await self._start()
        await self.look()

    async def end(self) -> None:
        """In peace to the end of the day after tomorrow; then all that was promised is counted once more."""
        await self.live_until(self.now + dt.timedelta(days=2))
        violations = await self.rig.violations()
        assert violations.total == 0, violations

    async def close(self) -> None:
        if self.boxes and self.rig.ended is not None:
            await self.rig.kill()
        await self._stack.aclose()

    @property
    def now(self) -> dt.datetime:
        return self.clock.now()

    # -- time ---------------------------------------------------------------------------------------------------

    async def live_until(self, moment: dt.datetime) -> None:
        while self.now < moment:
            await self.rig.until(min(moment, self.now + CHUNK))
            await self.sync()
        await self.look()

    async def until_edge(self, box: Box, seconds: float) -> None:
        """To so many seconds after the next opening, close or midnight of the mailbox."""
        settings, today = box.model.settings, box.model.settings.local_day(self.now)
        edges = [edge for n in range(4) for edge in settings.window(today + n * dt.timedelta(days=1)) or ()]
        ahead = [edge for edge in edges if edge > self.now]
        await self.live_until(min(ahead) + dt.timedelta(seconds=seconds))

    # -- what the owner does --------------------------------------------------------------------------------------

    async def change(self, box: Box, *changes: Mapping[str, Any]) -> None:
        """Set columns of the mailbox, one after the other."""
        for columns in changes:
            await self.rig.world.change([box.id], **columns)
        await self._hear_owner(box)

    async def limit_plan(self, box: Box, most: int | None) -> None:
        await self.db.execute(
            "UPDATE plans SET sends_per_day = $2 WHERE id = (SELECT plan_id FROM users WHERE id = $1)",
            box.plan_of,
            most,
        )
        box.model.settings.plan = most
        await self.rig.world.change([box.id], language="en")  # it is noticed with the mailbox
        await self._hear_owner(box)

    async def pause(self, box: Box) -> None:
        await self._set_state(box, MailboxState.PAUSED)

    async def resume(self, box: Box) -> None:
        await self._set_state(box, MailboxState.ACTIVE)
        box.model.doubts = 0

    async def stop(self, box: Box) -> None:
        await states.stop_mailbox(self.db, box.id, actor="owner", reason="", at=self.now)
        box.model.state, box.model.ramp_days, box.model.silent_since = "PAUSED", 0, self.now
        await self._hear_owner(box)

    async def _set_state(self, box: Box, state: MailboxState) -> None:
        await states.change_state(self.db, box.id, state, actor="owner", reason="", at=self.now)
        box.model.state, box.model.silent_since = state.value, self.now
        await self._hear_owner(box)

    async def _hear_owner(self, box: Box) -> None:
        box.model.upset(self.now)
        assert self.rig.worker is not None
        await self.rig.worker.housekeeping._look_for_changes()
        await self.rig.calm()
        await self.look()

    # -- what happens to the worker ---------------------------------------------------------------------------------

    async def nudge(self, box: Box) -> None:
        """The heap believes that the mailbox is due now: `reserve` is asked, and decides."""
        assert self.rig.worker is not None
        box.model.nudged.update(row.day for row in box.model.days[-1:])
        self.rig.worker.shard.schedule.push(box.id, self.now)
        self.rig.worker.shard.knock()
        await self.rig.calm()
        await self.look()

    async def restart(self, absence: dt.timedelta, *, kill: bool) -> None:
        """Another worker goes on from the rows; it has the slots at once, or a lease after the one that was killed."""
        assert self.rig.worker is not None
        kill = kill or self.rig.worker.shard.in_flight > 0
        await (self.rig.kill() if kill else self.rig.halt())
        await self.rig.until_nobody(self.now + absence)
        await self._start()
        self._upset_all(2 * LEASE if kill else dt.timedelta(0))
        await self.look()

    async def lose_postgres(self, halves: int, *, kill: bool) -> None:
        """Postgres is away for so many half hours; the worker may die of something else meanwhile."""
        since, self.flaky.away = self.now, True
        for _ in range(halves):
            self.clock.advance(AWAY_STEP)
            for _ in range(3):  # what waits in memory now waits for Postgres
                self.flaky.refused.clear()
                await asyncio.wait_for(self.flaky.refused.wait(), PATIENCE)
        if kill:
            await self.rig.kill()
        self.flaky.away = False
        for said in self.post.said:
            if said.heard_at is not None and said.heard_at > since:
                said.forgotten |= kill
        if kill:
            await self._start()
        await self.rig.calm()
        self._upset_all(2 * LEASE)
        await self.sync(deaf_since=since)
        await self.rig.until(self.now + UNTRUSTED)
        await self.look()

    async def lose_answer(self, query: str, box: Box) -> None:
        """The next answer of Postgres to this is lost, though it was done; the next send is soon."""
        self.flaky.loses, self.flaky.times = query, 1
        await self.nudge(box)
        self.flaky.loses, self.flaky.times = "", 0

    # -- what recipients do -----------------------------------------------------------------------------------------

    async def find(self, number: int, answer_after: dt.timedelta | None) -> None:
        """One of the messages that have not been seen is found, and maybe answered."""
        worker = self.rig.worker
        unseen = [one for one in self.post.taken if one.message_id not in self._sighted]
        if not unseen or worker is None or not worker.leases.trusted:
            return
        taken = unseen[number % len(unseen)]
        recipient = next(box for box in self.boxes if box.address == taken.recipients[0])
        token = self.key.recognise(taken.message_id)
        assert token is not None
        mailbox = worker.shard.schedule.book.mailboxes[recipient.id]
        slot = worker.leases.slot_of(mailbox)
        answer_at = None if answer_after is None else self.now + answer_after
        known = await sightings.record_sightings(
            self.db,
            recipient.id,
            [sighting_of(token.day, token.job_id, taken.message_id, self.now, answer_at)],
            slot=slot,
            epoch=worker.leases.held[slot],
            at=self.now,
        )
        assert [word.value for word in known] == ["new"]
        self._sighted.add(taken.message_id)
        self._last_said(taken.message_id).sighted = True
        if answer_at is not None:
            recipient.model.upset(answer_at + dt.timedelta(hours=2))
            worker.shard.knock(answered=[recipient.id])
        await self.rig.calm()
        await self.look()

    # -- looking ----------------------------------------------------------------------------------------------------

    async def sync(self, *, deaf_since: dt.datetime | None = None) -> None:
        """Tell the model what has happened since the last time, in order, and compare the rows with it."""
        rows = await self._rows()
        taken = Counter(one.message_id for one in self.post.taken)
        assert set(taken.values()) <= {1}, "a message was taken twice"
        for message_id in taken:
            self._last_said(message_id).accepted = True
        for box in self.boxes:
            self._tell(box, rows[box.id], deaf_since)
        found = {row["id"]: row for row in await self.db.fetch("SELECT id, ramp_days, state FROM mailboxes")}
        for box in self.boxes:
            box.model.climb(rows[box.id])
            box.model.check(rows[box.id], found[box.id]["ramp_days"], found[box.id]["state"])
            box.model.check_shortfall(self.now)
        self.synced_at = self.now

    async def look(self) -> None:
        await self.sync()
        assert not (wrong := await broken(self.db)), wrong
        worker = self.rig.worker
        if worker is None or not worker.leases.trusted:
            return
        for box in self.boxes:
            if box.model.state in {"ACTIVE", "RECEIVE_ONLY"}:
                assert not box.model.owes_a_day(self.now), f"no day of {box} was opened at {self.now}"

    def _tell(self, box: Box, rows: list[Row], deaf_since: dt.datetime | None) -> None:
        """What was heard and which days were opened, in the order of time."""
        model = box.model
        said = [one for one in self.post.said if one.address == box.address]
        fresh = [one for one in said if one.heard_at is not None and one not in model.heard]
        model.said = said
        happened: list[tuple[dt.datetime, Said | Row]] = [(one.heard_at, one) for one in fresh if one.heard_at]
        happened += [(max(row.opens_at, self.synced_at), row) for row in rows[len(model.days) :]]
        for _, what in sorted(happened, key=lambda one: one[0]):
            if isinstance(what, Row):
                model.open(what, self.synced_at, self.now)
            else:
                model.heard.append(what)
                model.hear(what, deaf=deaf_since is not None)

    async def _rows(self) -> dict[int, list[Row]]:
        rows: dict[int, list[Row]] = {box.id: [] for box in self.boxes}
        for row in await self.db.fetch(
            "SELECT mailbox_id, day, opens_at, closes_at, quota, ramp_day, taken, attempts, sent"
            " FROM mailbox_days ORDER BY mailbox_id, day"
        ):
            mailbox_id, *columns = row.values()
            names = ("day", "opens_at", "closes_at", "quota", "ramp_day", "taken", "attempts", "sent")
            rows[mailbox_id].append(Row(**dict(zip(names, columns, strict=True))))
        return rows

    def _last_said(self, message_id: str) -> Said:
        return next(one for one in reversed(self.post.said) if one.message_id == message_id)

    def _upset_all(self, more: dt.timedelta) -> None:
        for box in self.boxes:
            box.model.upset(self.now + more)

    async def _start(self) -> None:
        await self.rig.start(self.rig.build({"worker.lease_seconds": LEASE.total_seconds()}, db=self.flaky))
        await self.rig.calm()

    async def _enrol(self, host: str, zone: str, ramp_days: int, *, starts: bool) -> None:
        world = self.rig.world
        user = await world.user()
        state = "ACTIVE" if starts else "RECEIVE_ONLY"
        settings = Settings(zone=zone)
        (mailbox_id,) = await world.enrol(
            1,
            user,
            zone=zone,
            host=host,
            state=state,
            start_hour=settings.start,
            end_hour=settings.end,
            ramp_start=settings.ramp_start,
            ramp_step=settings.ramp_step,
            target_daily=settings.target,
            ramp_days=ramp_days,
        )
        model = MailboxModel(settings=settings, ramp_days=ramp_days, starts=starts, state=state)
        address = await world.address(mailbox_id)
        self.boxes.append(Box(id=mailbox_id, address=address, plan_of=user, model=model))


def sighting_of(
    job_day: dt.date, job_id: int, message_id: str, now: dt.datetime, answer_at: dt.datetime | None
) -> Sighting:
    later = now + dt.timedelta(days=30)
    return Sighting(
        job_day=job_day,
        job_id=job_id,
        placement=Placement.INBOX,
        folder="INBOX",
        uidvalidity=1,
        uid=1,
        message_id=message_id,
        thread={"subject": "x", "in_reply_to": message_id, "references": [message_id]},
        engagement=Engagement(
            open_at=now, star=False, rescue=False, answer_at=answer_at, file_at=later, delete_at=later
        ),
    )
