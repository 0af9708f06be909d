"""Visits over real IMAP: proof, placement, rescue, answers, filing; and what may go wrong with them."""

import datetime as dt
from collections import Counter
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import served
from warmupd.core.mailbox import Mailbox
from warmupd.daemon import engager as engager_module
from warmupd.daemon import treatments
from warmupd.daemon import visitor as visitor_module
from warmupd.mail.imap import ImapRefusedLogin, ImapThrottled
from warmupd.store.mended import end_rest
from warmupd.store.resuming import mend_login
from warmupd.store.visits import hasten_visit


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    # The server dates what arrives by the machine's clock, which is behind the rig's.
    monkeypatch.setattr(visitor_module, "LOOK_BACK", dt.timedelta(days=3650))


async def no_more_sends(rig: Rig) -> None:
    """From the next day on; visits go on."""
    await rig.db.execute("UPDATE mailboxes SET target_daily = 0, ramp_start = 0, min_daily = 0")


async def test_first_visit_follows_the_first_message_within_minutes_and_proves_the_owner(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=3, end_hour=9, proven=False)
    async with served(rig, boxes) as post, rig.running(post.config, visits=True, real=True):
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [3] * 3
    for row in await rig.db.fetch(
        "SELECT f.proven_at, (SELECT min(completed_at) FROM warmup_jobs j WHERE j.recipient_id = f.mailbox_id) AS first"
        " FROM proofs f"
    ):
        assert dt.timedelta(0) <= row["proven_at"] - row["first"] <= dt.timedelta(minutes=6)


async def test_placements_are_recorded_and_spam_is_rescued_and_read(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=10)
    async with served(rig, boxes, seed=3, spam_share=0.4, other_share=0.2) as post:
        async with rig.running(post.config, visits=True, real=True):
            await rig.until(after(10.5))
            await no_more_sends(rig)
            await rig.until(after(9, days=1))
        landed = Counter(taken.folder for taken in post.server.record.taken)
        assert await post.count("Junk") == 0
        unread = [states["INBOX"] for states in (await post.server.snapshot()).values()]
    rows = await rig.db.fetch("SELECT placement, count(*) AS n, count(rescued_at) AS rescued FROM sightings GROUP BY 1")
    words = {"INBOX": "INBOX", "Junk": "SPAM", "Promotions": "OTHER"}  # of eighteen, none may have come to one of them
    assert {row["placement"]: row["n"] for row in rows} == {words[folder]: n for folder, n in landed.items()}
    assert {row["placement"]: row["rescued"] for row in rows}["SPAM"] == landed["Junk"] > 0
    assert all(inbox.seen == inbox.messages for inbox in unread)


async def test_placements_are_counted_by_the_provider_they_landed_at(rig: Rig) -> None:
    words = ("gmail", "own")
    boxes = [box for word in words for box in await rig.world.enrol(1, quota=3, end_hour=9, provider=word)]
    async with served(rig, boxes) as post, rig.running(post.config, visits=True, real=True) as worker:
        await rig.until(after(12))
        count = worker.metrics.registry.get_sample_value
        counted = {w: count("warmup_placement_total", {"placement": "INBOX", "provider": w}) for w in words}
    rows = await rig.db.fetch(
        "SELECT m.provider, count(*) AS n FROM sightings s JOIN mailboxes m ON m.id = s.recipient_id GROUP BY 1"
    )
    assert counted == {row["provider"]: row["n"] for row in rows}


async def test_answers_stay_in_their_thread(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=14)
    config = {
        "engagement.reply_rate": 1.0,
        "engagement.reply_after_min_minutes": 5,
        "engagement.reply_after_max_minutes": 60,
    }
    async with served(rig, boxes) as post:
        async with rig.running({**post.config, **config}, visits=True, real=True):
            await rig.until(after(14.5))
        letters = {
            letter["Message-ID"]: letter
            for address in rig.world.passwords
            for letter in await post.messages(address, "INBOX")
        }
    answers = [letter for letter in letters.values() if letter["In-Reply-To"]]
    assert answers
    for answer in answers:
        parent = letters[answer["In-Reply-To"]]
        assert answer["References"].split()[-1] == parent["Message-ID"]
        assert answer["Subject"] == f"Re: {parent['Subject'].removeprefix('Re: ')}"
        assert (answer["From"], answer["To"]) == (parent["To"], parent["From"])
    assert await rig.world.sent(boxes) == [4] * 2
    jobs = await rig.db.fetch(
        "SELECT p.status FROM warmup_jobs j JOIN warmup_jobs p ON p.day = j.parent_day AND p.id = j.parent_id"
        " WHERE j.kind = 'REPLY' AND j.status IN ('SENT', 'REPLIED')"
    )
    assert {job["status"] for job in jobs} == {"REPLIED"}


async def test_messages_are_filed_away_and_deleted_in_time(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=12)
    config = {"engagement.file_after_hours": 2, "engagement.retention_days": 1}
    async with served(rig, boxes) as post:
        async with rig.running({**post.config, **config}, visits=True, real=True):
            await rig.until(after(23))
            filed = await post.count("Warmup")
            await no_more_sends(rig)
            await rig.until(after(9, days=2))
        left = await post.count("Warmup") + await post.count("INBOX")
    assert filed > 0
    assert left == 0
    assert await rig.db.fetchval("SELECT count(*) FROM sightings WHERE deleted_at IS NOT NULL") == 4
    assert await rig.db.fetchval("SELECT count(*) FROM sightings WHERE next_at IS NOT NULL") == 0


async def test_message_of_unknown_outcome_is_found_wherever_it_lies(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    async with served(rig, boxes, drop_after_dot_share=1.0, other_share=1.0) as post:
        async with rig.running(post.config, visits=True, real=True):
            await rig.until(after(10))
        assert len(post.server.record.taken) == 4
    assert await rig.world.statuses() == {"SENT": 4}
    rows = await rig.db.fetch("SELECT * FROM warmup_jobs j JOIN sightings s ON s.job_day = j.day AND s.job_id = j.id")
    assert {(row["placement"], row["outcome"]) for row in rows} == {("OTHER", "sighted")}
    assert max(row["seen_at"] - row["picked_at"] for row in rows) <= dt.timedelta(minutes=6)


async def test_message_that_is_never_found_is_given_up_after_two_days(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=1)
    async with (
        served(rig, boxes, drop_after_dot_share=1.0, lost_share=1.0) as post,
        rig.running(post.config, visits=True, real=True),
    ):
        await rig.until(after(22.5))
        await no_more_sends(rig)
        await rig.until(after(6, days=2))
        assert await rig.world.statuses() == {"UNKNOWN": 2}
        await rig.until(after(12, days=3))
    assert await rig.world.statuses() == {"FAILED": 2}
    (outcome,) = await rig.db.fetch("SELECT DISTINCT outcome FROM warmup_jobs")
    assert outcome["outcome"] == "unverified"
    day = after(0).date()
    assert [row["taken"] for row in await rig.world.days(boxes, day)] == [1, 1]


async def test_what_the_owner_deleted_or_moved_is_let_be(rig: Rig, log: list[dict[str, Any]]) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=8)
    async with served(rig, boxes) as post:
        config = {**post.config, "engagement.file_after_hours": 12}
        async with rig.running(config, visits=True, real=True):
            await rig.until(after(14))
            async with post.as_owner(boxes[0]) as owner:
                looked = await owner.look([], since=dt.date(2026, 1, 1))
                first, second, *_ = looked.found
                assert await owner.delete(first)
                assert await owner.star(second)
                assert await owner.file_away(second)
            await no_more_sends(rig)
            await rig.until(after(8, days=1))
    assert [event for event in log if event["event"] in {"worker.part_failed", "visit.failed"}] == []
    rows = await rig.db.fetch("SELECT * FROM sightings WHERE recipient_id = $1", boxes[0])
    deleted = [row for row in rows if row["job_id"] == first.token.job_id]
    assert [(row["next_at"], row["filed_at"]) for row in deleted] == [(None, None)]
    others = [row for row in rows if row["job_id"] != first.token.job_id]
    assert len(others) == 3
    assert all(row["filed_at"] for row in others)


async def test_crash_between_record_and_treatment_does_nothing_twice(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = await rig.world.enrol(2, quota=3, end_hour=12)
    config = {"engagement.reply_rate": 1.0, "engagement.max_thread_length": 2, "engagement.reply_after_min_minutes": 30}
    crashes = Counter[int]()

    async def treat(db: Any, visit: Any, mailbox_id: int, found: Any, **rest: Any) -> treatments.Treated:
        crashes[mailbox_id] += 1
        if crashes[mailbox_id] % 2:
            raise ZeroDivisionError("pulled the plug")
        return await treatments.treat(db, visit, mailbox_id, found, **rest)

    monkeypatch.setattr(visitor_module, "treat", treat)
    async with served(rig, boxes, spam_share=1.0) as post:
        async with rig.running({**post.config, **config, "engagement.visits_per_day": 24}, visits=True, real=True):
            await rig.until(after(12.5))
        assert await post.count("Junk") < len(post.server.record.taken) / 2
    answers = await rig.db.fetch("SELECT parent_id, count(*) AS n FROM warmup_jobs WHERE kind = 'REPLY' GROUP BY 1")
    assert answers
    assert {row["n"] for row in answers} == {1}
    assert await rig.db.fetchval("SELECT count(*) FROM sightings WHERE opened_at IS NOT NULL") > 0


async def test_failed_visits_back_off(rig: Rig, log: list[dict[str, Any]]) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=14)
    async with served(rig, boxes) as post:
        await rig.db.execute("UPDATE mailboxes SET imap_port = 1")
        await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(6))
        async with rig.running(post.config, visits=True, real=True):
            await rig.until(after(18))
    failed = Counter(event["mailbox"] for event in log if event["event"] == "visit.failed")
    assert set(failed) == set(boxes)
    assert max(failed.values()) <= 6  # a quarter of an hour, then twice as long each time
    assert (await rig.world.mailbox(boxes[0]))["last_error"].startswith("IMAP: ")
    assert await rig.world.sent(boxes) == [2] * 2


async def test_refused_imap_login_is_confirmed_before_it_counts_and_stops_nothing_meanwhile(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=20, end_hour=9)
    async with served(rig, boxes) as post:
        sealed = rig.world.vault.seal("wrong", mailbox_id=boxes[0], purpose="imap")
        await rig.db.execute("UPDATE mailboxes SET imap_secret = $2 WHERE id = $1", boxes[0], sealed)
        await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(7))
        async with rig.running(post.config, visits=True, real=True):
            await rig.until(after(7.02))
            first = await rig.world.mailbox(boxes[0])
            before = len([one for one in post.server.record.taken if one.user == first["address"]])
            await rig.until(after(9.5))
        logins = [one for one in post.server.record.logins if one.protocol == "IMAP" and one.user == first["address"]]
        sent = [one for one in post.server.record.taken if one.user == first["address"]]
    assert (first["state"], first["resting_reason"]) == ("ACTIVE", "")
    assert len(sent) > before
    assert len(logins) == 2
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], "IMAP" in row["last_remedy"]) == ("AUTH_FAILED", True)
    assert await rig.world.sent(boxes[1:]) == [20] * 2


async def test_visits_at_once_are_bounded_and_follow_each_other(rig: Rig) -> None:
    boxes = await rig.world.enrol(9, quota=1, end_hour=9)
    async with served(rig, boxes) as post:
        await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(5.75))
        async with rig.running({**post.config, "sending.max_concurrent": 2}, visits=True, real=True) as worker:
            most = 0
            look = worker.engager._visitor.visit

            async def watched(*args: Any, **options: Any) -> Any:
                nonlocal most
                most = max(most, len(worker.engager.under_way))
                return await look(*args, **options)

            worker.engager._visitor.visit = watched  # type: ignore[method-assign]
            await rig.until(after(5.75) + dt.timedelta(seconds=150))  # one look is enough for all of them
    assert most == 2
    assert await rig.db.fetchval("SELECT count(*) FROM mailbox_visits WHERE last_visit_at IS NOT NULL") == 9


async def test_visit_that_was_put_off_by_the_server_is_no_good_visit(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(6))
    async with rig.running(visits=True) as worker:

        async def throttled(*args: Any, **options: Any) -> Any:
            raise ImapThrottled("too many connections")

        worker.engager._visitor.visit = throttled  # type: ignore[method-assign]
        await rig.until(after(6.1))
    for box in boxes:
        row = await rig.world.mailbox(box)
        assert (row["last_visit_at"], row["failures"]) == (None, 1)
        assert row["next_visit_at"] >= after(6.25)


@pytest.mark.parametrize(("state", "most"), [("ACTIVE", 2), ("PAUSED", 6)])
async def test_refused_imap_login_is_not_stormed_and_takes_two_anew_when_mended(
    rig: Rig, state: str, most: int
) -> None:
    (box, _) = await rig.world.enrol(2, quota=1, state=state)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(6))
    async with rig.running(visits=True) as worker:
        tries = 0

        async def refused(mailbox: Mailbox, *args: Any, **options: Any) -> Any:
            nonlocal tries
            tries += mailbox.id == box
            raise ImapRefusedLogin("535 no") if mailbox.id == box else ImapThrottled("later")

        worker.engager._visitor.visit = refused  # type: ignore[method-assign]
        await rig.until(after(18))
        assert 2 <= tries <= most
        assert (await rig.world.mailbox(box))["state"] == ("AUTH_FAILED" if state == "ACTIVE" else "PAUSED")
        if await mend_login(rig.db, box, actor="cli", at=rig.clock.now()):
            await end_rest(rig.db, [box])
            await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(18))
            await worker.housekeeping._look_for_changes()
            await rig.until(after(18.1))
            assert (tries, (await rig.world.mailbox(box))["state"]) == (3, "ACTIVE")


async def test_two_refused_imap_logins_a_minute_apart_are_one(rig: Rig) -> None:
    (box, _) = await rig.world.enrol(2, quota=1)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(6))
    async with rig.running(visits=True) as worker:
        tries = 0

        async def refused(mailbox: Mailbox, *args: Any, **options: Any) -> Any:
            nonlocal tries
            tries += mailbox.id == box
            raise ImapRefusedLogin("535 no") if mailbox.id == box and tries <= 2 else ImapThrottled("later")

        worker.engager._visitor.visit = refused  # type: ignore[method-assign]
        await rig.until(after(6.02))
        await hasten_visit(rig.db, box, before=rig.clock.now())
        await rig.until(after(8))
    assert tries >= 3
    assert (await rig.world.mailbox(box))["state"] == "ACTIVE"
