"""Lost outcomes become truth: by the recipient's folders, by the sender's own copy, or in the end as unverified."""

import datetime as dt
from collections import Counter

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import Post, served
from warmupd.daemon import engager as engager_module


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    # The server dates what arrives by the machine's clock, which is behind the rig's.
    monkeypatch.setattr(engager_module, "LOOK_BACK", dt.timedelta(days=3650))


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


async def test_storm_of_lost_outcomes_becomes_truth_and_nothing_goes_twice(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=8, end_hour=12)
    shares = {"drop_after_dot_share": 0.5, "lost_share": 0.3, "other_share": 0.3, "spam_share": 0.2}
    async with served(rig, boxes, seed=5, sent_copy_share=0.5, **shares) as post:
        async with rig.running(post.config, visits=True, real=True) as worker:
            await rig.until(after(13))
            assert worker.metrics.registry.get_sample_value("warmup_unknown_open") > 0
            await no_more_sends(rig)
            await rig.until(after(20, days=3))
            assert worker.metrics.registry.get_sample_value("warmup_unknown_open") == 0
            lost = worker.metrics.registry.get_sample_value("warmup_sends_unknown_total")
        await judge(rig, post)
        assert lost == sum(taken.code is None for taken in post.server.record.taken) > 10
    for row in await rig.world.days(boxes, after(0).date()):
        assert row["taken"] == 8


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
