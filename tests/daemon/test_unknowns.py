"""Lost outcomes become truth: by the recipient's folders, by the sender's own copy, or in the end as unverified."""

import datetime as dt
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import Post, served
from warmupd.daemon import engager as engager_module
from warmupd.daemon import visitor as visitor_module
from warmupd.daemon.app import Worker
from warmupd.mail.found import Look
from warmupd.mail.imap import ImapBroken
from warmupd.mail.visit import Visit


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    # The server dates what arrives by the machine's clock, which is behind the rig's.
    monkeypatch.setattr(visitor_module, "LOOK_BACK", dt.timedelta(days=3650))


async def no_more_sends(rig: Rig) -> None:
    """From the next day on; visits go on."""
    await rig.db.execute("UPDATE mailboxes SET target_daily = 0, ramp_start = 0, min_daily = 0")


async def test_senders_own_copy_says_within_minutes_that_it_was_sent(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    async with (
        served(rig, boxes, drop_after_dot_share=1.0, lost_share=1.0, sent_copy_share=1.0) as post,
        rig.running(post.config, visits=True, real=True),
    ):
        await rig.until(after(10))
        assert len(post.server.record.taken) == 4
    rows = await rig.db.fetch("SELECT status, outcome, completed_at - picked_at AS age FROM warmup_jobs")
    assert {(row["status"], row["outcome"]) for row in rows} == {("SENT", "in_sent_folder")}
    assert max(row["age"] for row in rows) <= dt.timedelta(minutes=6)
    assert await rig.world.sent(boxes) == [2, 2]


async def test_sent_mail_that_cannot_be_read_spoils_no_visit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ImapBroken("no answer")

    monkeypatch.setattr(Visit, "look_into_sent", broken)
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    async with (
        served(rig, boxes, drop_after_dot_share=1.0, lost_share=1.0) as post,
        rig.running(post.config, visits=True, real=True),
    ):
        await rig.until(after(10))
    assert await rig.world.statuses() == {"UNKNOWN": 2}
    assert await rig.db.fetchval("SELECT max(failures) FROM mailbox_visits") == 0


@pytest.mark.parametrize("folder", ["Trash", "Junk", "Archive", "Clients/Lunch", "Éléments"])
async def test_lost_message_is_found_in_whatever_folder_of_its_recipient(rig: Rig, folder: str) -> None:
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    async with (
        served(rig, boxes, drop_after_dot_share=1.0, other_share=1.0, other_folder=folder) as post,
        rig.running(post.config, visits=True, real=True),
    ):
        await rig.until(after(10))
    assert await rig.world.statuses() == {"SENT": 2}
    placement = "SPAM" if folder == "Junk" else "OTHER"
    assert await placements(rig) == {placement: 2}


async def test_lost_message_is_found_though_its_folder_was_renamed(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    shares = {"other_share": 1.0, "drop_after_dot_share": 1.0}
    async with served(rig, boxes, **shares) as post, rig.running(post.config, visits=True, real=True):
        await rig.until(after(10))
        await no_more_sends(rig)
        read = await rig.db.fetchval("SELECT count(*) FROM folder_marks WHERE folder = 'Promotions'")
        await rig.db.execute("DELETE FROM sightings")  # as if the first visits had not been
        await rig.db.execute("UPDATE warmup_jobs SET status = 'UNKNOWN', completed_at = NULL")
        await rig.db.execute("UPDATE mailbox_days SET sent = 0, other = 0")
        for folders in post.server._store.folders.values():
            await folders.rename_mailbox("Promotions", "Offers")
        await rig.until(after(20, days=1))
    assert read == 2
    assert await rig.world.statuses() == {"SENT": 4}


async def test_storm_of_lost_outcomes_becomes_truth_and_nothing_goes_twice(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=8, end_hour=12)
    shares = {"drop_after_dot_share": 0.5, "lost_share": 0.5, "other_share": 0.3, "spam_share": 0.2}
    async with served(rig, boxes, seed=5, sent_copy_share=0.5, **shares) as post:
        async with rig.running(post.config, visits=True, real=True) as worker:
            await rig.until(after(13))
            assert value(worker, "warmup_unknown_open") > 0
            assert value(worker, "warmup_unknown_oldest_seconds") > 3600
            await no_more_sends(rig)
            await rig.until(after(20, days=3))
            assert value(worker, "warmup_unknown_open") == value(worker, "warmup_unknown_oldest_seconds") == 0
            lost = value(worker, "warmup_sends_unknown_total")
        await judge(rig, post)
        assert lost == sum(taken.code is None for taken in post.server.record.taken) > 10
    for row in await rig.world.days(boxes, after(0).date()):
        assert row["taken"] == 8


async def test_sent_message_that_no_visit_finds_is_missing_until_it_comes(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    async with (
        served(rig, boxes, lost_share=1.0, sent_copy_share=1.0) as post,
        rig.running(post.config, visits=True, real=True) as worker,
    ):
        await rig.until(after(10))
        await no_more_sends(rig)
        await rig.until(after(10, days=1))
        assert await placements(rig) == {"MISSING": 4}
        assert value(worker, "warmup_placement_total", placement="MISSING", provider="other") == 4
        (late, *_) = await post.messages(await rig.world.address(boxes[0]), "Sent")
        await post.server.append(late["To"].addresses[0].addr_spec, "Junk", late.as_bytes())
        await rig.until(after(10, days=2))
    assert await placements(rig) == {"MISSING": 3, "SPAM": 1}
    assert await rig.db.fetchval("SELECT count(*) FROM sightings WHERE rescued_at IS NOT NULL") == 1
    assert sum(row["spam"] for row in await rig.world.days(boxes)) == 1


async def test_visit_that_was_cut_short_misses_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    look = Visit.look

    async def cut_short(*args: Any, **options: Any) -> Look:
        return replace(await look(*args, **options), complete=False)

    monkeypatch.setattr(Visit, "look", cut_short)
    async with served(rig, boxes, lost_share=1.0) as post, rig.running(post.config, visits=True, real=True):
        await rig.until(after(10.5))
    assert await rig.world.sent(boxes) == [1, 1]
    assert await placements(rig) == {}


async def placements(rig: Rig) -> dict[str, int]:
    rows = await rig.db.fetch("SELECT placement, count(*) AS n FROM sightings GROUP BY 1")
    return {row["placement"]: row["n"] for row in rows}


def value(worker: Worker, name: str, **labels: str) -> float:
    found = worker.metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


async def judge(rig: Rig, post: Post) -> None:
    """What the ledger says is what became of each message, which the server knows."""
    taken = post.server.record.taken
    assert max(Counter(one.token for one in taken).values()) == 1
    keeps = {one.user: post.server._shares.keeps_sent(one.user) for one in taken}
    unseen = Counter(one.user for one in taken if one.code is None and not one.folder and not keeps[one.user])
    rows = await rig.db.fetch(
        "SELECT m.address, j.status, j.outcome FROM warmup_jobs j JOIN mailboxes m ON m.id = j.mailbox_id"
    )
    assert Counter(row["address"] for row in rows if row["status"] == "FAILED") == unseen
    assert {row["outcome"] for row in rows if row["status"] == "FAILED"} == {"unverified"}
    assert {row["outcome"] for row in rows} == {"unverified", "in_sent_folder", "sighted", "sent"}
    assert {row["status"] for row in rows} <= {"SENT", "REPLIED", "FAILED"}
