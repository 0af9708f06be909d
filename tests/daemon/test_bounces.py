"""Delivery reports: what was SENT and came back is FAILED, its recipient is checked, the report is filed away."""

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import Post, served
from tests.mail.reports import delivery_report, other_recipient
from warmupd.core.engagement import Engagement
from warmupd.core.job import JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.core.placement import Placement
from warmupd.daemon import engager as engager_module
from warmupd.daemon import visitor as visitor_module
from warmupd.daemon.book import Book
from warmupd.mail.imap import ImapThrottled
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.mail.visit import Look, Visit
from warmupd.store.bounces import record_bounces
from warmupd.store.spares import load_spares


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(visitor_module, "LOOK_BACK", dt.timedelta(days=3650))  # the server dates by the machine's clock


async def sent_jobs(rig: Rig, number: int = 4) -> list[Any]:
    """Mailboxes whose messages were taken by a server, and lie nowhere; one's jobs."""
    boxes = await rig.world.enrol(number, quota=2, end_hour=9)
    async with rig.running():
        await rig.until(after(9.5))
    await rig.db.execute("UPDATE mailboxes SET target_daily = 0, ramp_start = 0, min_daily = 0")
    jobs = await rig.world.jobs(boxes[0])
    assert [job["status"] for job in jobs] == ["SENT", "SENT"]
    return jobs


async def report(rig: Rig, job: Any, **how: Any) -> bytes:
    """As its recipient's server would send it."""
    final = how.pop("final", None) or await rig.world.address(job["recipient_id"])
    return delivery_report(message_id(rig, job, how.pop("vault", None)), final=final, **how)


def message_id(rig: Rig, job: Any, vault: Vault | None = None) -> str:
    return MessageKey(vault or rig.world.vault).message_id(job["day"], job["id"], "domain1.test")


async def visited_with(rig: Rig, job: Any, *reports: bytes, box: int | None = None) -> int:
    """The mailbox (the sender's) is visited with these reports in it; how many it keeps in its INBOX."""
    boxes = [row["id"] for row in await rig.db.fetch("SELECT id FROM mailboxes")]
    address = await rig.world.address(box or job["mailbox_id"])
    async with served(rig, boxes) as post:
        for report in reports:
            await post.server._store.append(address, "INBOX", report)
        soon = rig.clock.now() + dt.timedelta(minutes=6)
        await rig.db.execute("DELETE FROM folder_marks")  # a server of its own each time
        await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", soon)
        async with rig.running(post.config, visits=True, real=True):
            await rig.until(rig.clock.now() + dt.timedelta(minutes=30))
        return await _left(post, address)


async def _left(post: Post, address: str) -> int:
    return len(await post.messages(address, "INBOX"))


async def job_now(rig: Rig, job: Any) -> Any:
    return await rig.db.fetchrow("SELECT * FROM warmup_jobs WHERE day = $1 AND id = $2", job["day"], job["id"])


async def test_message_that_came_back_has_failed_and_the_days_count_stays(rig: Rig) -> None:
    job, other = await sent_jobs(rig)
    before = await rig.world.days([job["mailbox_id"]])
    left = await visited_with(rig, job, await report(rig, job))
    now = await job_now(rig, job)
    assert (now["status"], now["outcome"], now["completed_at"]) == ("FAILED", "bounced", job["completed_at"])
    assert now["error_message"] == "550 5.1.1 <bob@two.test> User unknown"
    assert (await job_now(rig, other))["status"] == "SENT"
    assert await rig.world.days([job["mailbox_id"]], job["local_day"]) == before
    assert left == 0


async def test_recipient_of_what_came_back_is_checked_and_two_witnesses_are_believed(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    await visited_with(rig, job, await report(rig, job))
    row = await rig.world.mailbox(job["recipient_id"])
    assert (row["refused_to"], row["state"]) == (job["mailbox_id"], "ACTIVE")
    assert row["spared_until"] > after(10)
    witness = await rig.db.fetchrow(
        "SELECT * FROM warmup_jobs WHERE mailbox_id NOT IN ($1, $2) AND status = 'SENT' LIMIT 1",
        job["mailbox_id"], job["recipient_id"],
    )  # fmt: skip
    assert witness is not None
    await rig.db.execute(
        "UPDATE warmup_jobs SET recipient_id = $3 WHERE day = $1 AND id = $2",
        witness["day"], witness["id"], job["recipient_id"],
    )  # fmt: skip
    witness = await job_now(rig, witness)
    await visited_with(rig, witness, await report(rig, witness))
    row = await rig.world.mailbox(job["recipient_id"])
    assert (row["state"], row["state_reason"]) == ("SUSPENDED", "its address was refused twice")


async def test_full_recipient_is_spared_but_not_doubted(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    full = await report(rig, job, status="5.2.2", diagnostic="smtp; 552 5.2.2 mailbox full")
    await visited_with(rig, job, full)
    row = await rig.world.mailbox(job["recipient_id"])
    assert (row["refused_to"], row["spared_until"] > after(33)) == (None, True)


async def test_forged_report_does_no_harm_and_stays_where_it_is(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    forger = Vault([Vault.new_key()])
    assert await visited_with(rig, job, await report(rig, job, vault=forger)) == 1
    assert (await job_now(rig, job))["status"] == "SENT"


async def test_report_in_somebody_elses_mailbox_counts_for_nothing(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    left = await visited_with(rig, job, await report(rig, job), box=job["recipient_id"])
    assert (left, (await job_now(rig, job))["status"]) == (1, "SENT")


async def test_report_on_a_message_that_was_found_is_only_filed_away(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    await seen(rig, job)
    assert await visited_with(rig, job, await report(rig, job)) == 0
    assert (await job_now(rig, job))["status"] == "SENT"
    assert (await rig.world.mailbox(job["recipient_id"]))["refused_to"] is None


async def test_message_that_is_found_after_its_report_was_sent_after_all(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    await visited_with(rig, job, await report(rig, job))
    await seen(rig, job)
    now = await job_now(rig, job)
    assert (now["status"], now["outcome"], now["error_message"]) == ("SENT", "sighted", None)
    assert await rig.world.sent([job["mailbox_id"]], job["local_day"]) == [2]


async def test_delay_that_is_reported_is_no_failure_and_is_filed_away(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    late = await report(rig, job, action="delayed", status="4.4.1", base64=True)
    assert await visited_with(rig, job, late, late) == 0
    assert (await job_now(rig, job))["status"] == "SENT"


async def test_failure_of_an_address_that_the_recipient_forwards_to_is_not_his(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    bob = await rig.world.address(job["recipient_id"])
    gone = other_recipient("bobs.forwarding@elsewhere.test")
    forwarded = await report(rig, job, final="bobs.forwarding@elsewhere.test", original=bob)
    delivered = await report(rig, job, action="delivered", status="2.0.0", before=gone)
    assert await visited_with(rig, job, forwarded, delivered) == 0
    assert (await job_now(rig, job))["status"] == "SENT"
    assert (await rig.world.mailbox(job["recipient_id"]))["refused_to"] is None
    assert not await load_spares(rig.db, at=after(9))


async def test_address_that_its_server_rewrites_within_the_domain_is_the_recipients(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    bob = await rig.world.address(job["recipient_id"])
    await visited_with(rig, job, await report(rig, job, final=f"u17@mail.{bob.partition('@')[2]}", original=bob))
    assert (await job_now(rig, job))["status"] == "FAILED"


async def test_report_that_comes_before_the_settlement_is_not_lost(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    day = await rig.world.days([job["mailbox_id"]], job["local_day"])
    key = (job["day"], job["id"])
    await rig.db.execute(
        "UPDATE warmup_jobs SET status = 'PROCESSING', completed_at = NULL WHERE day = $1 AND id = $2", *key
    )
    await rig.db.execute("UPDATE mailbox_days SET sent = sent - 1 WHERE mailbox_id = $1", job["mailbox_id"])
    slot, epoch = await lease(rig, job["mailbox_id"])
    told = [(*key, "550 gone")]
    answer = await record_bounces(rig.db, job["mailbox_id"], told, slot=slot, epoch=epoch, at=rig.clock.now())
    assert answer == [job["recipient_id"]]
    settled = await rig.db.fetchval(
        "SELECT settle_sends($1, $2, $3, '{SENT}', '{accepted}', '{ok}', '{NULL}', $4)",
        [job["day"]], [job["id"]], [job["attempt_token"]], rig.clock.now(),
    )  # fmt: skip
    assert settled == ["FAILED"]
    assert await rig.world.days([job["mailbox_id"]], job["local_day"]) == day


@pytest.mark.parametrize(("kind", "taken"), [(OutcomeKind.SENT, 1), (OutcomeKind.UNKNOWN, 1), (OutcomeKind.FAILED, 0)])
def test_place_of_what_came_back_before_its_outcome_stays_taken_in_memory(kind: OutcomeKind, taken: int) -> None:
    day = SimpleNamespace(taken=1, attempts=1)
    book: Any = SimpleNamespace(days={1: day}, _tally_of=lambda _: None)
    settlement: Any = SimpleNamespace(job=SimpleNamespace(mailbox_id=1, recipient_id=2), kind=kind, retry_at=None)
    Book.count_given_back(book, settlement, JobStatus.FAILED)
    assert day.taken == taken


async def test_recipient_is_checked_though_the_visit_that_recorded_it_was_cut_short(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    slot, epoch = await lease(rig, job["mailbox_id"])
    told = [(job["day"], job["id"], "550 gone")]
    await record_bounces(rig.db, job["mailbox_id"], told, slot=slot, epoch=epoch, at=rig.clock.now())
    assert await visited_with(rig, job, await report(rig, job)) == 0
    assert (await rig.world.mailbox(job["recipient_id"]))["refused_to"] == job["mailbox_id"]


async def test_report_on_a_job_whose_row_is_gone_is_filed_away(rig: Rig) -> None:
    (job, _) = await sent_jobs(rig)
    old = await report(rig, job)
    await rig.db.execute("DELETE FROM warmup_jobs WHERE day = $1 AND id = $2", job["day"], job["id"])
    assert await visited_with(rig, job, old) == 0


async def lease(rig: Rig, box: int) -> tuple[int, int]:
    row = await rig.db.fetchrow(
        "SELECT s.slot, s.epoch FROM slots s JOIN settings c USING (worker_count)"
        " WHERE s.slot = mailbox_hash($1) % c.worker_count",
        box,
    )
    assert row is not None
    return row["slot"], row["epoch"]


async def seen(rig: Rig, job: Any) -> None:
    """A visit to the recipient has found the message."""
    from warmupd.store.sightings import Sighting, record_sightings

    slot, epoch = await lease(rig, job["recipient_id"])
    now = rig.clock.now()
    engagement = Engagement(open_at=now, star=False, rescue=False, answer_at=None, file_at=now, delete_at=now)
    sighting = Sighting(
        job_day=job["day"], job_id=job["id"], placement=Placement.INBOX, folder="INBOX", uidvalidity=1, uid=1,
        message_id=message_id(rig, job), thread={}, engagement=engagement,
    )  # fmt: skip
    known = await record_sightings(rig.db, job["recipient_id"], [sighting], slot=slot, epoch=epoch, at=now)
    assert known == ["new"]


async def test_after_trouble_reports_are_written_down_and_the_server_is_left_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither are they filed away, nor is its sent mail looked into."""
    job, lost = await sent_jobs(rig)
    await rig.db.execute(
        "UPDATE warmup_jobs SET status = 'UNKNOWN', completed_at = NULL WHERE (day, id) = ($1, $2)",
        lost["day"],
        lost["id"],
    )
    look_near, sent_looks = Visit.look_near, []

    async def throttled(visit: Visit, *args: Any, **options: Any) -> Look:
        return replace(await look_near(visit, *args, **options), trouble=ImapThrottled("later", retry_after=3600))

    async def look_into_sent(visit: Visit, **_: Any) -> list[Any]:
        sent_looks.append(visit)
        return []

    monkeypatch.setattr(Visit, "look_near", throttled)
    monkeypatch.setattr(Visit, "look_into_sent", look_into_sent)
    left = await visited_with(rig, job, await report(rig, job))
    assert ((await job_now(rig, job))["status"], left, sent_looks) == ("FAILED", 1, [])
