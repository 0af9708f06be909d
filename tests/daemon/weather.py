"""A generated world: its mailboxes, its mail servers' moods, and what befalls it, all from one seed."""

import datetime as dt
from random import Random
from uuid import UUID

import pytest

from tests.daemon.chronicle import Chronicle
from tests.daemon.model import LOST, OK, Answer, fails, says
from tests.daemon.rig import Rig
from warmupd.core.reply import Phase, Trouble

HOSTS = ("mail0.test", "mail1.test")
ZONES = ("UTC", "Asia/Tokyo", "America/Los_Angeles")
REFUSALS: tuple[Answer, ...] = (
    says(451, "Greylisted, please come back later", enhanced="4.7.1"),
    says(450, "too much mail from you", phase=Phase.MAIL, enhanced="4.7.1"),
    says(421, "try again in 900 seconds", phase=Phase.MAIL, enhanced="4.7.0"),
    says(550, "Daily user sending limit exceeded", phase=Phase.MAIL, enhanced="5.4.5"),
    says(554, "SubmissionQuotaExceeded", phase=Phase.MAIL, enhanced="5.2.0"),
    says(552, "mailbox full", enhanced="5.2.2"),
    says(450, "receiving mail at a rate that is too high", enhanced="4.2.1"),
    says(535, "authentication failed", phase=Phase.AUTH, enhanced="5.7.8"),
    says(550, "WASCL UserAction verdict", phase=Phase.BODY, enhanced="5.1.8"),
    says(554, "spam", phase=Phase.BODY, enhanced="5.7.1"),
    fails(Trouble.TIMEOUT, Phase.MAIL),
    LOST,
)


class Weather:
    """Ramps, caps and limits of plans at the outset; then refusals, outages, pauses, stops, moves and restarts."""

    def __init__(self, rig: Rig, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.rng = Random(seed)
        self.boxes: list[int] = []
        self.config: dict[str, object] = {"worker.lease_seconds": 900, "quota.variance": 0.1}
        self.chronicle = Chronicle(rig, patch)
        self._paused: tuple[int, str] | None = None  # and the state it had
        self._stopped = False
        self._away: list[tuple[str, float, float]] = []  # host, and from when until when (boottime)
        self._gloom = self.rng.choice([0.0, 0.04, 0.12])
        if self.rng.random() < 0.4:
            self.config |= {"limits.global_per_hour": 16, "limits.global_per_minute": 3}
        rig.server.rule = lambda account, message: self._answer(account.smtp.host)

    async def begin(self) -> None:
        """Enrol everybody and start a worker."""
        for _ in range(3):
            caps = {"per_hour": self.rng.choice([4, 8, 30]), "per_minute": 2} if self.rng.random() < 0.4 else {}
            most = {"sends_per_day": self.rng.choice([4, 12])} if self.rng.random() < 0.3 else {}
            zone = self.rng.choice([None, "Asia/Kolkata", "America/New_York"])
            user = await self.rig.world.user(zone, **caps, **most)
            for _ in range(self.rng.choice([1, 2, 3])):
                self.boxes += await self._mailbox(user)
        await self.rig.start(self.rig.build(self.config))

    async def end(self) -> None:
        """Stop the worker, if one runs, once nothing is in flight: nobody moves the clock while it stops."""
        while self.rig.ended is not None and self.chronicle.under_way.total():
            await self.rig.until(self.rig.clock.now() + dt.timedelta(minutes=1))
        await self.rig.halt()

    async def live_on(self, moment: dt.datetime) -> None:
        """Until that moment, whether a worker runs or not; where none does, one may start then."""
        if self.rig.ended is not None:
            await self.rig.until(moment)
            return
        await self.rig.until_nobody(moment)
        if self.rng.random() < 0.4:
            self.chronicle.note("worker started")
            await self.rig.start(self.rig.build(self.config))

    @property
    def troubled(self) -> bool:
        """Whether there is something to put right."""
        return self._stopped or self._paused is not None

    async def strike(self) -> None:
        """Something happens, or what happened is put right again."""
        box = self.rng.choice(self.boxes)
        if self.troubled:
            await self._put_right()
            return
        match self.rng.randrange(8):
            case 0:
                begin = self.rig.clock.boottime()
                self._away.append((self.rng.choice(HOSTS), begin, begin + self.rng.uniform(600, 9000)))
            case 1:
                await self._pause(box)
            case 2:
                self._stopped = True
                self.chronicle.note("fleet stopped")
                await self.rig.db.execute("UPDATE settings SET sending_stopped = true")
            case 3 if self.rig.ended is not None:
                self.chronicle.note("worker restarted")
                await self.end()
                await self.rig.start(self.rig.build(self.config))
            case 4 if self.rig.ended is not None:
                self.chronicle.note("worker killed")
                await self.rig.kill()
                self.chronicle.under_way.clear()
            case 5:
                self.chronicle.note("zone changed", box)
                await self._change(box, timezone=self.rng.choice(ZONES))
            case _:
                await self._plan_answer(box)

    async def _put_right(self) -> None:
        if self._stopped:
            self._stopped = False
            self.chronicle.note("fleet started")
            await self.rig.db.execute("UPDATE settings SET sending_stopped = false")
        if self._paused:
            box, state = self._paused
            self._paused = None
            self.chronicle.note("resumed", box)
            self.chronicle.note("pool changed")
            await self._change(box, state=state)

    async def _mailbox(self, user: UUID) -> list[int]:
        rng = self.rng
        start = rng.choice([0, 6, 9])
        return await self.rig.world.enrol(
            1,
            user,
            quota=rng.choice([3, 10, 25, 40]),
            host=rng.choice(HOSTS),
            proven=rng.random() < 0.85,
            state=rng.choices(["ACTIVE", "RECEIVE_ONLY"], [9, 1])[0],
            start_hour=start,
            end_hour=start + rng.choice([5, 10, 15]),
            weekdays_only=rng.random() < 0.2,
            ramp_start=rng.choice([2, 10, 40]),
            ramp_step=rng.choice([0, 4]),
            min_daily=rng.choice([5, 30]),
            ramp_days=rng.choice([0, 3, 9]),
            provider_limit=rng.choice([None, None, 20]),
            own_mail=rng.choice([None, 5]),
            health=rng.choices(["HEALTHY", "WATCH", "THROTTLED"], [6, 1, 1])[0],
            health_since=self.rig.clock.now(),  # else one of which nothing was seen is healthy
        )

    def _answer(self, host: str) -> Answer:
        at = self.rig.clock.boottime()
        if any(one == host and begin <= at < end for one, begin, end in self._away):
            return fails(Trouble.UNREACHABLE)
        if self.rng.random() < self._gloom:
            return self.rng.choice(REFUSALS)
        return Answer(reply=OK.reply, body_takes=self.rng.choice([0.0, 0.0, 3.0, 40.0]))

    async def _pause(self, box: int) -> None:
        state = (await self.rig.world.mailbox(box))["state"]
        if state in {"ACTIVE", "RECEIVE_ONLY"}:
            self._paused = box, state
            self.chronicle.note("paused", box)
            self.chronicle.note("pool changed")
            await self._change(box, state="PAUSED")

    async def _plan_answer(self, box: int) -> None:
        """As a visit that found a message would plan it."""
        now = self.rig.clock.now()
        planned = await self.rig.db.fetchval(
            """
            INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,
                                     thread_depth, parent_day, parent_id, created_at)
            SELECT ($2::timestamptz AT TIME ZONE 'UTC')::date, 'REPLY', 'PENDING', $1, m.user_id, j.mailbox_id, $3, 1,
                   2, j.day, j.id, $2
            FROM warmup_jobs j JOIN mailboxes m ON m.id = $1 WHERE j.recipient_id = $1 AND j.status = 'SENT' LIMIT 1
            RETURNING id
            """,
            box,
            now,
            now + dt.timedelta(minutes=self.rng.uniform(5, 400)),
        )
        if planned is not None:
            self.chronicle.note("answer planned", box)
            await self._tell(answered=[box])

    async def _change(self, box: int, **columns: object) -> None:
        await self.rig.world.change([box], **columns)
        await self._tell(changed=[box])

    async def _tell(self, **knock: list[int]) -> None:
        if self.rig.ended is not None and self.rig.worker is not None:
            self.rig.worker.shard.knock(**knock)  # type: ignore[arg-type]  # changed or answered
            await self.rig.calm()
