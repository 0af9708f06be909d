"""Bands of health as the rows keep them: what counts, what a change writes, and how a suspension ends."""

import datetime as dt

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    OPENS,
    TODAY,
    Ground,
    after,
    ask,
    laid_ground,
)
from warmupd.core.health import Band, Placements
from warmupd.core.mailbox import MailboxState
from warmupd.core.outcome import OutcomeKind
from warmupd.store import bands, jobs, states
from warmupd.store.bands import BandChange
from warmupd.store.jobs import Settlement

WEEK_AGO = NOON - dt.timedelta(days=7)


async def seen(ground: Ground, mailbox: int, days_ago: int, *, inbox: int = 0, spam: int = 0, other: int = 0) -> None:
    """Placements of the messages of a day."""
    shift = dt.timedelta(days=days_ago)
    await ground.db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, inbox, spam,"
        " other) SELECT id, $2, user_id, $3, $3::timestamptz + interval '16 hours', 40, 0, 1, $4, $5, $6"
        " FROM mailboxes WHERE id = $1 ON CONFLICT (mailbox_id, day) DO UPDATE SET inbox = $4, spam = $5, other = $6",
        mailbox,
        TODAY - shift,
        OPENS - shift,
        inbox,
        spam,
        other,
    )


async def placements(ground: Ground, mailbox: int) -> Placements:
    return (await bands.recent_placements(ground.db, [mailbox], since=WEEK_AGO))[mailbox].placements


async def test_days_within_the_span_are_added_up(ground: Ground) -> None:
    first, second = await ground.pair()
    await seen(ground, first, 0, inbox=1, other=2)
    await seen(ground, first, 7, inbox=10, spam=5)  # it was not over a week ago
    await seen(ground, first, 8, spam=100)
    assert await placements(ground, first) == Placements(inbox=11, spam=5, other=2)
    assert await placements(ground, second) == Placements()


async def test_what_lies_before_a_suspension_counts_no_more(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    await seen(ground, mailbox, 3, spam=30)
    await seen(ground, mailbox, 1, inbox=4)
    await ground.db.execute("UPDATE mailboxes SET health_since = $1", OPENS - dt.timedelta(days=2))
    (record,) = (await bands.recent_placements(ground.db, [mailbox], since=WEEK_AGO)).values()
    assert (record.placements, record.judged_at) == (Placements(inbox=4), None)


@pytest.mark.parametrize("resumed", [False, True], ids=["by itself", "by its owner at noon"])
async def test_first_day_after_a_suspension_is_judged(ground: Ground, resumed: bool) -> None:
    (mailbox,) = await ground.mailboxes(1)
    judged = OPENS - dt.timedelta(days=2) + dt.timedelta(seconds=5)
    back = NOON if resumed else OPENS + dt.timedelta(seconds=5)
    await seen(ground, mailbox, 3, spam=30)  # led to it
    until = judged + dt.timedelta(days=3) if resumed else back
    worst = BandChange(mailbox_id=mailbox, was=Band.HEALTHY, became=Band.SUSPENDED, reason="spam", until=until)
    await bands.change_bands(ground.db, [worst], at=judged)
    if resumed:
        better = BandChange(mailbox_id=mailbox, was=Band.SUSPENDED, became=Band.THROTTLED, reason="too few")
        await bands.change_bands(ground.db, [better], at=back)
    await seen(ground, mailbox, 0, spam=30)
    assert await placements(ground, mailbox) == Placements(spam=30)


async def test_change_of_band_is_written_down(ground: Ground) -> None:
    first, second = await ground.pair()
    changes = [
        BandChange(mailbox_id=first, was=Band.HEALTHY, became=Band.WATCH, reason="25 % of 40 messages in spam"),
        BandChange(mailbox_id=second, was=Band.WATCH, became=Band.THROTTLED, reason="it is not in WATCH"),
    ]
    await bands.change_bands(ground.db, changes, at=NOON)
    assert await ground.db.fetchval("SELECT array_agg(health::text ORDER BY id) FROM mailboxes") == ["WATCH", "HEALTHY"]
    (row,) = await ground.db.fetch("SELECT at, actor, subject_id, what, was, became, reason FROM state_changes")
    assert tuple(row) == (NOON, "daemon", str(first), "health", "HEALTHY", "WATCH", "25 % of 40 messages in spam")


async def test_band_is_as_old_as_its_last_judgement(ground: Ground) -> None:
    first, second = await ground.pair()
    change = BandChange(mailbox_id=first, was=Band.HEALTHY, became=Band.WATCH, reason="25 % of 40 messages in spam")
    await bands.change_bands(ground.db, [change], at=NOON)
    found = await bands.recent_placements(ground.db, [first, second], since=WEEK_AGO)
    assert [found[box].judged_at for box in (first, second)] == [NOON, None]
    await bands.confirm_bands(ground.db, [first], at=after(60))
    assert (await bands.recent_placements(ground.db, [first], since=WEEK_AGO))[first].judged_at == after(60)


async def test_worst_band_suspends_and_ends_throttled(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    worst = BandChange(mailbox_id=mailbox, was=Band.HEALTHY, became=Band.SUSPENDED, reason="spam", until=after(60))
    await bands.change_bands(ground.db, [worst], at=NOON)
    columns = "SELECT state, state_reason, state_until, health, health_since, health_at FROM mailboxes"
    (row,) = await ground.db.fetch(columns)
    assert tuple(row) == ("SUSPENDED", "spam", after(60), "SUSPENDED", after(60), NOON)
    assert await states.end_suspensions(ground.db, at=after(60)) == [mailbox]
    (row,) = await ground.db.fetch(columns)
    assert tuple(row) == ("ACTIVE", "", None, "THROTTLED", after(60), after(60))
    rows = await ground.db.fetch("SELECT what, was, became FROM state_changes ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("health", "HEALTHY", "SUSPENDED"),
        ("state", "ACTIVE", "SUSPENDED"),
        ("state", "SUSPENDED", "ACTIVE"),
        ("health", "SUSPENDED", "THROTTLED"),
    ]


async def test_who_is_resumed_before_the_end_of_a_suspension_is_judged_by_what_follows(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    worst = BandChange(mailbox_id=mailbox, was=Band.HEALTHY, became=Band.SUSPENDED, reason="spam", until=after(86_400))
    await bands.change_bands(ground.db, [worst], at=NOON)
    await states.change_state(ground.db, mailbox, MailboxState.ACTIVE, actor="cli", reason="", at=after(60))
    better = BandChange(mailbox_id=mailbox, was=Band.SUSPENDED, became=Band.THROTTLED, reason="too few")
    await bands.change_bands(ground.db, [better], at=after(60))
    assert await ground.db.fetchval("SELECT health_since FROM mailboxes") == after(60)


async def test_worst_who_only_receives_is_suspended_and_comes_back_as_such(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1, state="RECEIVE_ONLY")
    worst = BandChange(mailbox_id=mailbox, was=Band.HEALTHY, became=Band.SUSPENDED, reason="spam", until=after(60))
    await bands.change_bands(ground.db, [worst], at=NOON)
    columns = "SELECT state, state_until, health FROM mailboxes"
    assert [tuple(row) for row in await ground.db.fetch(columns)] == [("SUSPENDED", after(60), "SUSPENDED")]
    assert await states.end_suspensions(ground.db, at=after(60)) == [mailbox]
    assert [tuple(row) for row in await ground.db.fetch(columns)] == [("RECEIVE_ONLY", None, "THROTTLED")]


async def test_mailbox_that_its_owner_has_paused_stays_paused(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1, state="PAUSED")
    worst = BandChange(mailbox_id=mailbox, was=Band.HEALTHY, became=Band.SUSPENDED, reason="spam", until=after(60))
    await bands.change_bands(ground.db, [worst], at=NOON)
    assert await ground.db.fetchval("SELECT state FROM mailboxes") == "PAUSED"
    rows = await ground.db.fetch("SELECT what, was, became FROM state_changes")
    assert [tuple(row) for row in rows] == [("health", "HEALTHY", "SUSPENDED")]


async def test_message_that_was_refused_for_its_content_counts_as_spam(ground: Ground) -> None:
    sender, recipient = await ground.pair()
    job = await ground.grant(await ground.worker(), ask(sender, recipient))
    await jobs.settle(ground.db, [Settlement(job=job, kind=OutcomeKind.FAILED, reason="content")], at=NOON)
    found = await bands.recent_placements(ground.db, [sender], since=NOON)
    assert found[sender].placements == Placements(spam=1)
