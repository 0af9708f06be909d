"""Engagement as its owner's provider sees it: after a while, by day, and a message is read before it is answered."""

import datetime as dt
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import served
from warmupd.daemon import engager as engager_module
from warmupd.daemon import visitor as visitor_module
from warmupd.mail.imap import ImapThrottled
from warmupd.mail.visit import Look
from warmupd.store.visits import hasten_visit


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(visitor_module, "LOOK_BACK", dt.timedelta(days=3650))  # the server dates by the machine's clock


async def sighted(rig: Rig) -> list[Any]:
    """Each sighting with its job, and with its answer if there is one."""
    rows = await rig.db.fetch(
        "SELECT s.*, j.picked_at, a.picked_at AS replied_at FROM sightings s"
        " JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id"
        " LEFT JOIN warmup_jobs a ON a.parent_day = s.job_day AND a.parent_id = s.job_id"
        " AND a.status IN ('SENT', 'REPLIED')"
    )
    assert len(rows) > 5
    return list(rows)


async def test_messages_are_opened_a_while_after_they_came_and_before_they_are_answered(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=8, end_hour=16)
    async with served(rig, boxes) as post:
        config = {**post.config, "engagement.reply_rate": 0.6, "engagement.visits_per_day": 4}
        async with rig.running(config, visits=True, real=True):
            await rig.until(after(16.5))
    rows = await sighted(rig)
    assert all(row["opened_at"] > row["picked_at"] + dt.timedelta(minutes=1) for row in rows if row["opened_at"])
    answered = [row for row in rows if row["replied_at"]]
    assert len(answered) > 3
    assert all(row["opened_at"] and row["opened_at"] < row["replied_at"] for row in answered)
    assert all(row["replied_at"] - row["seen_at"] >= dt.timedelta(minutes=44) for row in answered)


async def test_just_those_whose_answer_was_sent_are_marked_as_answered(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=8, end_hour=16)
    async with served(rig, boxes) as post:
        config = {**post.config, "engagement.reply_rate": 0.6, "engagement.visits_per_day": 8}
        async with rig.running(config, visits=True, real=True):
            await rig.until(after(16.5))
        flagged = sum(state.answered for its in (await post.server.snapshot()).values() for state in its.values())
    rows = await sighted(rig)
    marked = [row for row in rows if row["answered_at"]]
    assert flagged == len(marked)
    assert len(marked) > 3
    assert all(row["replied_at"] and row["replied_at"] < row["answered_at"] for row in marked)


async def test_at_night_mailboxes_are_only_looked_into(rig: Rig) -> None:
    """In Los Angeles it is night until 14:00 UTC, while those in London write."""
    early = await rig.world.enrol(2, quota=6, end_hour=13)
    (asleep,) = await rig.world.enrol(1, quota=1, zone="America/Los_Angeles", proven=False)
    async with served(rig, [*early, asleep]) as post, rig.running(post.config, visits=True, real=True):
        await rig.until(after(7.5))
        await hasten_visit(rig.db, asleep, before=rig.clock.now())  # by day what has come by now would be opened
        await rig.until(after(13.9))
        seen = await rig.db.fetch("SELECT * FROM sightings WHERE recipient_id = $1", asleep)
        assert len(seen) > 0  # which is the proof
        assert all(row["opened_at"] is None for row in seen)
        await rig.until(after(20))
    rows = await rig.db.fetch("SELECT * FROM sightings WHERE recipient_id = $1", asleep)
    assert all(row["opened_at"] >= after(14) for row in rows)


async def test_after_throttling_the_next_visit_is_that_much_later(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(6))
    visited: list[dt.datetime] = []
    async with rig.running(visits=True) as worker:

        async def throttled(mailbox: Any, *args: Any, **options: Any) -> Any:
            visited.extend([rig.clock.now()] if mailbox.id == boxes[0] else [])
            raise ImapThrottled("Suggested Backoff Time: 480000 milliseconds", retry_after=480.0)

        worker.engager._visitor.visit = throttled  # type: ignore[method-assign]
        await rig.until(after(6.05))
        await hasten_visit(rig.db, boxes[0], before=rig.clock.now())
        await rig.until(after(6.12))
        assert len(visited) == 1
        await rig.until(after(6.27))
    assert len(visited) == 2
    assert visited[1] - visited[0] >= dt.timedelta(seconds=480)


@pytest.mark.parametrize(("more", "least", "most"), [(False, 60, 400), (True, 1, 5)])
async def test_only_what_can_be_read_on_brings_on_a_visit_at_once(
    rig: Rig, more: bool, least: float, most: float
) -> None:
    """A folder that cannot be read hides something, too; but to come back within a minute helps nobody."""
    (box, _) = await rig.world.enrol(2, quota=1)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(8))
    async with rig.running(visits=True) as worker:

        async def looked(*args: Any, **options: Any) -> Any:
            return Look(found=[], marks=[], complete=False, junk_folder=None, more=more), None

        worker.engager._visitor.visit = looked  # type: ignore[method-assign]
        await rig.until(after(8.01))
    wait = (await rig.world.mailbox(box))["next_visit_at"] - after(8)
    assert least <= wait.total_seconds() / 60 <= most


async def test_what_must_be_opened_brings_on_a_visit_but_not_sooner_than_the_provider_wants(rig: Rig) -> None:
    gmail, own = [(await rig.world.enrol(1, quota=1, provider=word))[0] for word in ("gmail", "own")]
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(8))
    async with rig.running(visits=True) as worker:

        async def looked(*args: Any, **options: Any) -> Any:
            return Look(found=[], marks=[], complete=True, junk_folder=None), after(8.1)

        worker.engager._visitor.visit = looked  # type: ignore[method-assign]
        await rig.until(after(8.05))
    assert (await rig.world.mailbox(own))["next_visit_at"] == after(8.1)
    assert after(8.25) <= (await rig.world.mailbox(gmail))["next_visit_at"] <= after(8.35)


async def test_each_mailbox_goes_by_its_owners_word(rig: Rig) -> None:
    """One that is never to answer nor star does not; the others do."""
    boxes = await rig.world.enrol(3, quota=8, end_hour=16)
    await rig.db.execute(
        "UPDATE mailboxes SET reply_rate = 0, star_rate = 0, retention_days = 2, visits_per_day = 12 WHERE id = $1",
        boxes[0],
    )
    async with served(rig, boxes) as post:
        config = {**post.config, "engagement.reply_rate": 0.6, "engagement.star_rate": 1.0}
        async with rig.running(config, visits=True, real=True):
            await rig.until(after(16.5))
    rows = await sighted(rig)
    shy = [row for row in rows if row["recipient_id"] == boxes[0]]
    assert shy
    assert not any(row["answer_at"] or row["star"] for row in shy)
    assert {row["delete_at"] - row["seen_at"] for row in shy} == {dt.timedelta(days=2)}
    assert all(row["star"] for row in rows if row["recipient_id"] != boxes[0])
