"""Every metric is moved by what it counts, says what the rows say, and has no more series for more mailboxes."""

import datetime as dt
import re
from collections import Counter
from typing import Any

import pytest

from tests.daemon.fleet import Fleet
from tests.daemon.model import LOST, OK, Answer, Gate, says
from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import served
from tests.daemon.test_fencing import freeze, wake
from tests.daemon.test_gauges import value
from tests.daemon.test_shares import LEASE
from warmupd.clock import VirtualClock
from warmupd.core.mailbox import MailboxState
from warmupd.daemon import engager as engager_module
from warmupd.daemon import labels
from warmupd.daemon import visitor as visitor_module
from warmupd.daemon.app import Worker
from warmupd.daemon.events import Events
from warmupd.daemon.metrics import Metrics


def series(metrics: Metrics) -> set[str]:
    """Every name with its labels."""
    return {line.rpartition(" ")[0] for line in metrics.render().decode().splitlines() if not line.startswith("#")}


def by(worker: Worker, name: str, label: str, words: tuple[str, ...]) -> dict[str, float]:
    """The series of a metric that are not 0."""
    found = {word: value(worker, name, **{label: word}) for word in words}
    return {word: number for word, number in found.items() if number}


async def test_sends_are_counted_as_the_rows_say(rig: Rig) -> None:
    await rig.world.enrol(6, quota=6, end_hour=10)
    answers = iter([says(550), LOST, says(451), says(550)])
    rig.server.rule = lambda account, message: next(answers, OK)
    async with rig.running() as worker:
        await rig.until(after(11))
        attempts = by(worker, "warmup_send_attempts_total", "outcome", labels.OUTCOMES)
        rows = await rig.world.statuses()
        assert value(worker, "warmup_emails_sent_total", kind="WARMUP") == rows["SENT"] == attempts["SENT"] > 30
        assert by(worker, "warmup_sends_failed_total", "reason", labels.REASONS) == {"refused": rows["FAILED"]}
        assert value(worker, "warmup_sends_unknown_total") == 1
        assert (attempts["FAILED"], attempts["UNKNOWN"], attempts["DEFERRED"]) == (2, 1, 1)
        assert value(worker, "warmup_cycle_duration_seconds_count") == sum(attempts.values())
        assert value(worker, "warmup_reserve_duration_seconds_count") > 0
        assert value(worker, "warmup_errors_per_hour") == 0  # an hour has passed
        await worker.gauges.turn()
        assert (value(worker, "warmup_unknown_open"), value(worker, "warmup_slots_held")) == (1, 64)
        assert value(worker, "warmup_unknown_oldest_seconds") > 3600
        assert value(worker, "warmup_expected_sends_total") == pytest.approx(36)


async def test_what_is_given_up_counts_as_failed(rig: Rig) -> None:
    await rig.world.enrol(4, quota=2, end_hour=10)
    rig.server.rule = lambda account, message: says(451)
    async with rig.running({"sending.max_retries": 1}) as worker:
        await rig.until(after(12))
        counted = by(worker, "warmup_sends_failed_total", "reason", labels.REASONS)
        assert value(worker, "warmup_errors_per_hour") >= 0
    rows = await rig.db.fetch("SELECT outcome, count(*) AS n FROM warmup_jobs WHERE status = 'FAILED' GROUP BY 1")
    expected = Counter({row["outcome"].removesuffix("_gave_up"): row["n"] for row in rows})
    assert counted == expected
    assert expected["temporary"] > 0


async def test_errors_are_counted_for_an_hour(rig: Rig) -> None:
    await rig.world.enrol(4, quota=6, end_hour=10)
    async with rig.running() as worker:
        await rig.until(after(7))
        assert value(worker, "warmup_errors_per_hour") == 0
        rig.server.rule = lambda account, message: says(451)
        await rig.until(after(8))
        rig.server.rule = lambda account, message: OK
        assert value(worker, "warmup_errors_per_hour") > 0
        await rig.until(after(9.5))
        assert value(worker, "warmup_errors_per_hour") == 0


async def test_conversations_visits_placements_and_deeds_are_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(visitor_module, "LOOK_BACK", dt.timedelta(days=3650))
    boxes = await rig.world.enrol(3, quota=4, end_hour=10, provider="gmail")
    shares = {"engagement.reply_rate": 1.0, "engagement.star_rate": 1.0, "engagement.file_after_hours": 1}
    async with (
        served(rig, boxes, seed=3, spam_share=0.5) as post,
        rig.running({**post.config, **shares}, visits=True, real=True) as worker,
    ):
        await rig.until(after(12))
        phases = {phase: value(worker, "warmup_send_duration_seconds_count", phase=phase) for phase in labels.PHASES}
        assert min(phases.values()) > 0
        rows = await rig.db.fetch("SELECT placement, count(*) AS n FROM sightings GROUP BY 1")
        for row in rows:
            placed = {"placement": row["placement"], "provider": "gmail"}
            assert value(worker, "warmup_placement_total", **placed) == row["n"]
        assert {"INBOX", "SPAM"} <= {row["placement"] for row in rows}
        assert {"open", "star", "rescue", "file"} <= set(by(worker, "warmup_engagements_total", "action", labels.DEEDS))
        assert value(worker, "warmup_visits_total", outcome="done") > 3
        assert value(worker, "warmup_emails_sent_total", kind="REPLY") > 0


async def test_denials_are_counted_by_cap(rig: Rig) -> None:
    await rig.world.enrol(8, quota=6, end_hour=8)
    async with rig.running({"limits.global_per_minute": 1}) as worker:
        await rig.until(after(9))
        assert value(worker, "warmup_cap_denials_total", cap="global_minute") > 0


async def test_lease_that_was_lost_and_settlement_that_came_late_are_counted(rig: Rig) -> None:
    await rig.world.enrol(2, quota=1, end_hour=14)
    answer = Gate()
    house = Fleet(rig, {"worker.lease_seconds": LEASE})
    async with house.running(1) as (first,):
        rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=answer)
        await house.until_tried(1)
        assert value(first, "warmup_worker_utilization") > 0
        freeze(first)
        rig.clock.advance(2 * LEASE)
        second = await house.join()
        await rig.db.execute("UPDATE warmup_jobs SET attempt_token = gen_random_uuid()")
        answer.set()
        wake(first)
        await house.live(LEASE)
        assert value(first, "warmup_lease_lost_total") == 64
        assert value(first, "warmup_stale_settlements_total") >= 1
        assert value(second, "warmup_lease_lost_total") == 0


def test_no_more_series_for_more_mailboxes_and_no_word_from_outside() -> None:
    small, large = busy_fleet(10), busy_fleet(1000)
    assert series(small) == series(large) == series(Metrics(VirtualClock(after(0))))
    words = " ".join(series(large))
    assert not re.search(r"box\d|example|@|anna|user|strange", words.replace("user_", ""))
    assert {"mailbox", "user", "address", "job", "host"} & set(re.findall(r"[{,](\w+)=", words)) == set()


def busy_fleet(number: int) -> Metrics:
    """So many mailboxes to which everything happens, with providers and reasons that nobody foresaw."""
    metrics = Metrics(VirtualClock(after(0)))
    events = Events(metrics, log=Silence())
    for n in range(number):
        address = f"box{n}@example{n}.test"
        for kind in labels.KINDS:
            events.sent(kind=kind, job=n, seconds=1.0)
        events.not_sent(job=n, mailbox=n, outcome="FAILED", reason=f"strange {n}", message=address)
        events.settled(seconds=1.0, outcome="FAILED", failed=f"strange {address}")
        events.settled(seconds=1.0, outcome="DEFERRED", failed="rate_gave_up")
        events.denied(f"strange {n}")
        events.sighted(placement="INBOX", provider=f"mail of user {n}")
        events.sighted(placement="SPAM", provider=labels.PROVIDERS[n % len(labels.PROVIDERS)])
        events.engaged(labels.DEEDS[n % len(labels.DEEDS)])
        events.visited(mailbox=n, found=1, engaged=1, seconds=1.0)
        events.visit_failed(mailbox=n, why=address)
        events.bounced(job=n, mailbox=n, message=address)
        metrics.mailboxes.labels(list(MailboxState)[n % 5]).inc()
    return metrics


class Silence:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None
