"""What `explain` tells of a mailbox at any moment is what then happens, in whatever weather."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

from tests.daemon.chronicle import Chronicle, Happening
from tests.daemon.model import LOST, OK, Answer, fails, says
from tests.daemon.rig import BEGIN, Rig
from warmupd.core.obstacle import Why
from warmupd.core.reply import Phase, Trouble
from warmupd.daemon import housekeeping
from warmupd.daemon.explain import Explained, explain_mailbox

HOUSEKEEPING = 300.0
TOLERANCE = dt.timedelta(seconds=20)  # users' spacing, a denial and the time until it is asked again
DAYS = 3
NEEDS_SOMEBODY = {Why.PAUSED, Why.AUTH_FAILED, Why.FLEET_STOPPED, Why.NO_WORKER, Why.RECEIVE_ONLY, Why.REMOVED}

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


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """An explanation, and what could be seen beside it."""

    explained: Explained
    under_way: int
    states: dict[int, str]


class Weather:
    """A generated world: its mailboxes, its mail servers' moods, and what befalls it, all from one seed."""

    def __init__(self, rig: Rig, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.rng = Random(seed)
        self.boxes: list[int] = []
        self.config: dict[str, object] = {"worker.lease_seconds": 900, "quota.variance": 0.1}
        self.chronicle = Chronicle(rig, patch)
        self.paused: tuple[int, str] | None = None  # and the state it had
        self.stopped = False
        self.away: list[tuple[str, float, float]] = []
        self.gloom = self.rng.choice([0.0, 0.04, 0.12])
        if self.rng.random() < 0.4:
            self.config |= {"limits.global_per_hour": 16, "limits.global_per_minute": 3}
        rig.server.rule = lambda account, message: self._answer(account.smtp.host)

    async def enrol(self) -> None:
        rng = self.rng
        for number in range(3):
            caps = {"per_hour": rng.choice([4, 8, 30]), "per_minute": 2} if rng.random() < 0.4 else {}
            most = {"sends_per_day": rng.choice([4, 12])} if rng.random() < 0.3 else {}
            user = await self.rig.world.user(rng.choice([None, "Asia/Kolkata", "America/New_York"]), **caps, **most)
            for _ in range(rng.choice([1, 2, 3])):
                self.boxes += await self._mailbox(user, number)

    async def _mailbox(self, user: object, number: int) -> list[int]:
        rng = self.rng
        start = rng.choice([0, 6, 9])
        return await self.rig.world.enrol(
            1,
            user,  # type: ignore[arg-type]  # a UUID
            quota=rng.choice([3, 10, 25, 40]),
            host=f"mail{number % 2}.test",
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
        )

    def _answer(self, host: str) -> Answer:
        at, rng = self.rig.clock.boottime(), self.rng
        if any(one == host and begin <= at < end for one, begin, end in self.away):
            return fails(Trouble.UNREACHABLE)
        if rng.random() < self.gloom:
            return rng.choice(REFUSALS)
        return Answer(reply=OK.reply, body_takes=rng.choice([0.0, 0.0, 3.0, 40.0]))

    async def strike(self) -> None:
        """Something happens, or what happened is put right again."""
        world, rng, box = self.rig.world, self.rng, self.rng.choice(self.boxes)
        if self.stopped or self.paused:
            await self._put_right()
            return
        match rng.randrange(40):
            case 0:
                begin = self.rig.clock.boottime()
                self.away.append((f"mail{rng.randrange(2)}.test", begin, begin + rng.uniform(600, 9000)))
            case 1 if (state := (await world.mailbox(box))["state"]) in {"ACTIVE", "RECEIVE_ONLY"}:
                self.paused = box, state
                self.chronicle.note("paused", box)
                self.chronicle.note("pool changed")
                await self._change(box, "PAUSED")
            case 2:
                self.stopped = True
                self.chronicle.note("fleet stopped")
                await self.rig.db.execute("UPDATE settings SET sending_stopped = true")
            case 3 if self.rig.ended is not None:
                self.chronicle.note("worker restarted")
                await self.rig.halt()
                await self.rig.start(self.rig.build(self.config))
            case 4 if self.rig.ended is not None:
                self.chronicle.note("worker killed")
                await self.rig.kill()
            case 5:
                self.chronicle.note("zone changed", box)
                await world.change([box], timezone=rng.choice(["UTC", "Asia/Tokyo", "America/Los_Angeles"]))
                await self._look(box)
            case _:
                await self._answer_planned(box)

    async def _put_right(self) -> None:
        if self.stopped:
            self.stopped = False
            self.chronicle.note("fleet started")
            await self.rig.db.execute("UPDATE settings SET sending_stopped = false")
        if self.paused:
            box, state = self.paused
            self.chronicle.note("resumed", box)
            await self._change(box, state)
            self.chronicle.note("pool changed")
            self.paused = None

    async def live_on(self, moment: dt.datetime) -> None:
        if self.rig.ended is None:
            await self.rig.until_nobody(moment)
            if self.rng.random() < 0.4:
                self.chronicle.note("worker started")
                await self.rig.start(self.rig.build(self.config))
        else:
            await self.rig.until(moment)

    async def foretell(self, box: int) -> Foretold:
        explained = await explain_mailbox(self.rig.db, self.rig.config(self.config), box, at=self.rig.clock.now())
        states = {
            r["id"]: r["state"] + str(r["u"])
            for r in await self.rig.db.fetch(
                "SELECT id, state, f.unproven_sends as u FROM mailboxes JOIN proofs f on f.mailbox_id=id"
            )
        }
        return Foretold(states=states, explained=explained, under_way=self.chronicle.under_way[box])

    async def _answer_planned(self, box: int) -> None:
        """As a visit that found a message would plan it."""
        now = self.rig.clock.now()
        planned = await self.rig.db.fetchval(
            """
            INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,
                                     thread_depth, parent_day, parent_id, created_at)
            SELECT ($2::timestamptz AT TIME ZONE 'UTC')::date, 'REPLY', 'PENDING', $1, m.user_id, j.mailbox_id, $3, 1, 2,
                   j.day, j.id, $2
            FROM warmup_jobs j JOIN mailboxes m ON m.id = $1 WHERE j.recipient_id = $1 AND j.status = 'SENT' LIMIT 1
            RETURNING id
            """,
            box,
            now,
            now + dt.timedelta(minutes=self.rng.uniform(5, 400)),
        )
        if planned is not None:
            self.chronicle.note("answer planned", box)
            if self.rig.ended is not None and self.rig.worker is not None:
                self.rig.worker.shard.knock(answered=[box])
                await self.rig.calm()

    async def _change(self, box: int, state: str) -> None:
        await self.rig.world.change([box], state=state)
        await self._look(box)

    async def _look(self, box: int) -> None:
        if self.rig.ended is not None and self.rig.worker is not None:
            self.rig.worker.shard.knock(changed=[box])
            await self.rig.calm()


EARLIER: dict[Why, set[str]] = {  # what may bring on a send before the moment that was told
    Why.PAUSED: {"resumed"},
    Why.SUSPENDED: {"resumed"},
    Why.AUTH_FAILED: {"resumed"},
    Why.FLEET_STOPPED: {"fleet started"},
    Why.NO_WORKER: {"worker started"},
    Why.NO_RECIPIENT: {"resumed"},
    Why.HOST: {"host reached", "worker restarted", "worker started"},
    Why.QUOTA_MET: {"refused"},
    Why.NO_ATTEMPTS: {"refused"},
    Why.WINDOW: {"zone changed"},
    Why.WAITING: {"refused", "resumed", "zone changed"},
}
EARLIER = {why: EARLIER.get(why, set()) | {"answer planned", "zone changed"} for why in Why}
LATER = {  # what may put off any
    *("refused", "paused", "zone changed", "resumed", "fleet stopped", "worker killed", "worker restarted"),
    *("answer planned", "host left alone", "worker started", "fleet started", "recipient", "unproven"),
    *("user_minute", "user_hour", "global_minute", "global_hour"),
}


class Judge:
    """Holds what was foretold against what happened."""

    def __init__(self, weather: Weather, until: dt.datetime) -> None:
        self.chronicle = weather.chronicle
        self.until = until
        self.borne_out: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.untrue: list[str] = []

    def judge(self, foretold: Foretold) -> None:
        """Every promise of one explanation."""
        explained = foretold.explained
        self._judge_now(foretold)
        verdict, box = explained.verdict, explained.mailbox.id
        came = self.chronicle.next_send(box, explained.at)
        told = f"{dict((k, v) for k, v in foretold.states.items())} {[(j.kind, j.status, str(j.scheduled_for), j.may_go) for j in explained.jobs]} {explained.recipients} {explained.at:%a %H:%M:%S} {explained.mailbox.address} {verdict.why}: {verdict.text}"
        span = (
            f"not before {verdict.not_before}, about {verdict.next_send_at}, not after {verdict.not_after}; came {came}"
        )
        too_early = came is not None and (
            verdict.not_before is None or came < verdict.not_before - dt.timedelta(seconds=1)
        )
        if too_early and came is not None:
            self._weigh(explained, came, EARLIER[verdict.why], f"too early: {told} ({span})")
            return
        latest = verdict.not_after
        if latest is None:
            self._note(self.borne_out, verdict.why)
            return
        latest += TOLERANCE + dt.timedelta(seconds=HOUSEKEEPING if verdict.why is Why.SUSPENDED else 0)
        if latest < self.until and (came is None or came > latest):
            self._weigh(explained, latest, LATER, f"too late: {told} ({span})")
        else:
            self._note(self.borne_out, verdict.why)

    def _judge_now(self, foretold: Foretold) -> None:
        explained = foretold.explained
        flying = sum(job.status == "PROCESSING" for job in explained.jobs)
        lost = self._since(explained, "worker killed")
        if flying != foretold.under_way and not lost:
            soon = self.chronicle.next_send(explained.mailbox.id, explained.at)
            about_to = soon is not None and soon <= explained.at + dt.timedelta(seconds=3)
            if not about_to or flying != foretold.under_way + 1:
                self.untrue.append(f"{explained.at} {flying} in flight, really {foretold.under_way}")
        if explained.today is not None and not lost:
            day = explained.today.day
            sent = self.chronicle.sent(explained.mailbox.id, day.opens_at, explained.at)
            if sent != explained.today.sent:
                self.untrue.append(
                    f"{explained.at} {explained.mailbox.address} {explained.today.sent} sent, really {sent}"
                )
            assert explained.budget is not None
            assert explained.budget.factors[-1][1] == explained.budget.quota == day.quota

    def _since(self, explained: Explained, what: str) -> bool:
        return any(h.what == what and h.at <= explained.at for h in self.chronicle.happenings)

    def _weigh(self, explained: Explained, moment: dt.datetime, able: set[str], told: str) -> None:
        if any(job.status == "PENDING" for job in explained.jobs):
            able = able | {"pool changed"}  # its recipient may be back
        reasons = [
            happening.what
            for happening in self.chronicle.happenings
            if explained.at <= happening.at <= moment and happening.what in able and _concerns(happening, explained)
        ]
        if reasons:
            self.excused[f"{explained.verdict.why} by {reasons[0]}"] += 1
        else:
            self.untrue.append(told)

    def _note(self, where: Counter[str], why: Why) -> None:
        where[why.value] += 1


def _concerns(happening: Happening, explained: Explained) -> bool:
    if happening.mailbox_id is not None:
        return happening.mailbox_id == explained.mailbox.id
    if happening.user is not None:
        return happening.user == str(explained.mailbox.user_id)
    return True


@pytest.mark.parametrize("seed", range(40))
async def test_what_is_told_is_what_then_happens(rig: Rig, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(housekeeping, "EVERY", HOUSEKEEPING)
    weather = Weather(rig, seed, monkeypatch)
    rig.clock.advance_to(BEGIN + dt.timedelta(days=weather.rng.randrange(7), hours=weather.rng.uniform(0, 8)))
    await weather.enrol()
    await rig.start(rig.build(weather.config))
    end = rig.clock.now() + dt.timedelta(days=DAYS)
    foretold = []
    while rig.clock.now() < end:
        await weather.live_on(rig.clock.now() + dt.timedelta(seconds=weather.rng.expovariate(1 / 1200)))
        foretold += [await weather.foretell(box) for box in weather.rng.sample(weather.boxes, 2)]
        if weather.rng.random() < 0.2:
            await weather.strike()
    judge = Judge(weather, rig.clock.now())
    for one in foretold:
        judge.judge(one)
    for h in weather.chronicle.happenings:
        print("HAP", h)
    for d in weather.chronicle.deliveries:
        print("DEL", d)
    for r in await rig.db.fetch(
        "SELECT id,mailbox_id,recipient_id,kind,status,scheduled_for,picked_at,created_at FROM warmup_jobs ORDER BY mailbox_id, picked_at"
    ):
        print("JOB", *[f"{x:%d %H:%M:%S}" if isinstance(x, dt.datetime) else x for x in r])
    print(seed, len(foretold), dict(judge.borne_out), dict(judge.excused))
    assert not judge.untrue, f"{len(judge.untrue)} untrue\n" + "\n".join(judge.untrue[:25])
