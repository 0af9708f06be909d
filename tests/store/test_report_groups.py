"""Reports by what people ask: whose rows they count, how pages follow one another, and that totals say the same."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

import pytest

from tests.store.rows import NOON, TODAY, Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.store import day_totals, report_groups
from warmupd.store.day_totals import refresh_totals
from warmupd.store.report_groups import By, Counts, Group, Report, Span, all_groups, report

WEEK = Span(first=TODAY - dt.timedelta(days=6), last=TODAY)


async def _fill(ground: Ground, boxes: Sequence[int], **counts: int) -> None:
    sets = ", ".join(f"{column} = {value}" for column, value in counts.items())
    await ground.db.execute(
        f"UPDATE mailbox_days SET taken = quota, attempts = quota, {sets} WHERE mailbox_id = ANY ($1)", boxes
    )


async def _fleet(ground: Ground) -> tuple[UUID, UUID]:
    """Two users: three mailboxes of the first, with 30, 30 and 10 sends; one of the other with 20."""
    mine, other = await ground.user(), await ground.user()
    first, second, third = await ground.mailboxes(3, mine, quota=40)
    (theirs,) = await ground.mailboxes(1, other, quota=20)
    await _fill(ground, [first, second], sent=30, failed=2, bounced=1, inbox=20, spam=5)
    await _fill(ground, [third], sent=10, inbox=0)
    await _fill(ground, [theirs], sent=20, inbox=10, other=10)
    await ground.db.execute("UPDATE mailboxes SET labels = '{a,b}', provider = 'gmail' WHERE id = $1", first)
    await ground.db.execute("UPDATE mailboxes SET labels = '{b}', address = 'x@North.test' WHERE id = $1", second)
    return mine, other


async def _told(ground: Ground, by: By, owner: UUID | None) -> dict[str, int]:
    found = await report(ground.db, by, WEEK, owner=owner, limit=100)
    return {group.key: group.counts.sent for group in found.groups}


async def test_groups_add_up_what_their_mailboxes_sent(ground: Ground) -> None:
    mine, _ = await _fleet(ground)
    assert await _told(ground, By.LABEL, mine) == {"": 10, "a": 30, "b": 60}
    assert await _told(ground, By.DOMAIN, mine) == {"example.test": 40, "north.test": 30}
    assert await _told(ground, By.PROVIDER, mine) == {"gmail": 30, "other": 40}
    assert await _told(ground, By.DAY, mine) == {TODAY.isoformat(): 70}
    assert sum((await _told(ground, By.MAILBOX, mine)).values()) == 70
    assert sorted((await _told(ground, By.USER, None)).values()) == [20, 70]


async def test_totals_count_a_mailbox_with_two_labels_once(ground: Ground) -> None:
    mine, _ = await _fleet(ground)
    found = await report(ground.db, By.LABEL, WEEK, owner=mine, limit=1)
    assert found.more
    assert found.totals == Counts(quota=120, sent=70, failed=4, bounced=2, inbox=40, spam=10)
    assert (found.totals.fill_rate, found.totals.inbox_share) == (0.5833, 0.8)
    assert (Counts().fill_rate, Counts().inbox_share) == (None, None)


@pytest.mark.parametrize("by", list(By))
@pytest.mark.parametrize("kept", [False, True])
async def test_nothing_of_another_users_is_counted(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, by: By, kept: bool
) -> None:
    mine, other = await _fleet(ground)
    if kept:
        await _totals_only(ground, monkeypatch)
    for owner, sent in ((mine, 70), (other, 20), (None, 90)):
        found = await report(ground.db, by, WEEK, owner=owner, limit=100)
        assert (found.as_of is not None) is kept
        assert found.totals.sent == sent
        assert by is By.LABEL or sum(group.counts.sent for group in found.groups) == sent


@pytest.mark.parametrize("by", list(By))
@pytest.mark.parametrize("kept", [False, True])
async def test_pages_follow_one_another_without_gap(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, by: By, kept: bool
) -> None:
    await _fleet(ground)
    if kept:
        await _totals_only(ground, monkeypatch)
    whole = await report(ground.db, by, WEEK, owner=None, limit=100)
    assert not whole.more
    read: list[Group] = []
    after = None
    while True:
        page = await report(ground.db, by, WEEK, owner=None, limit=1, after=after)
        read += page.groups
        if not page.more:
            break
        after = (page.groups[-1].key, page.groups[-1].id)
    assert read == list(whole.groups)
    monkeypatch.setattr(report_groups, "AT_ONCE", 1)
    assert [group async for group in all_groups(ground.db, by, WEEK, owner=None)] == read


async def test_only_the_days_of_the_span_count(ground: Ground) -> None:
    mine, _ = await _fleet(ground)
    yesterday = Span(first=TODAY - dt.timedelta(days=30), last=TODAY - dt.timedelta(days=1))
    for by in By:
        found = await report(ground.db, by, yesterday, owner=mine, limit=100)
        assert (found.groups, found.days, found.totals) == ([], [], Counts())


async def test_totals_are_made_anew_while_a_day_can_change(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = await _fleet(ground)
    await _totals_only(ground, monkeypatch)
    await ground.db.execute("UPDATE mailbox_days SET sent = sent + 1, quota = quota + 1, taken = taken + 1")
    assert await refresh_totals(ground.db, at=NOON + dt.timedelta(minutes=15)) == 0
    assert (await _of(ground, mine)).totals.sent == 70
    later = NOON + dt.timedelta(minutes=20)
    assert await refresh_totals(ground.db, at=later) == 1
    found = await _of(ground, mine)
    assert (found.totals.sent, found.as_of) == (73, later)


async def test_a_day_is_settled_after_two_weeks(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    await _fleet(ground)
    await _totals_only(ground, monkeypatch)
    assert await refresh_totals(ground.db, at=NOON + dt.timedelta(days=14)) == 1
    assert await refresh_totals(ground.db, at=NOON + dt.timedelta(days=30)) == 0


@pytest.mark.parametrize("by", list(By))
async def test_only_of_days_without_totals_the_rows_are_read(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, by: By
) -> None:
    mine, _ = await _fleet(ground)
    await _earlier(ground, days=1)
    await _totals_only(ground, monkeypatch)
    wholes = [await report(ground.db, by, WEEK, owner=owner, limit=100) for owner in (mine, None)]
    await ground.db.execute("DELETE FROM day_totals_made WHERE day < $1", TODAY)
    for owner, whole in zip((mine, None), wholes, strict=True):
        assert await report(ground.db, by, WEEK, owner=owner, limit=100) == whole
        first = await report(ground.db, by, WEEK, owner=owner, limit=1)
        assert (first.groups, first.more) == (whole.groups[:1], len(whole.groups) > 1)
    await ground.db.execute("UPDATE mailbox_days SET sent = 0")
    found = await _of(ground, mine)
    assert (found.totals.sent, found.as_of) == (70, NOON)  # today's totals; of yesterday what the rows say


@pytest.mark.parametrize("by", [By.LABEL, By.PROVIDER])
async def test_new_labels_and_providers_reach_settled_days(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, by: By
) -> None:
    mine, other = await _fleet(ground)
    await _earlier(ground, days=40)
    month = Span(first=TODAY - dt.timedelta(days=60), last=TODAY)
    asked = [(owner, span) for owner in (mine, other, None) for span in (month, WEEK)]
    monkeypatch.setattr(day_totals, "DAYS_A_ROUND", 50)
    later = NOON + dt.timedelta(minutes=1)
    with monkeypatch.context() as large:
        await _totals_only(ground, large)
        await ground.db.execute(
            "UPDATE mailboxes SET labels = '{new,b}', provider = 'zoho' WHERE user_id = $1 AND labels <> '{}'", mine
        )
        assert await refresh_totals(ground.db, at=later) == 0
        kept = [await report(ground.db, by, span, owner=owner, limit=100) for owner, span in asked]
    rows = [await report(ground.db, by, span, owner=owner, limit=100) for owner, span in asked]
    assert [found.groups for found in kept] == [found.groups for found in rows]
    assert [bool(found.as_of) for found in kept + rows] == [True] * 6 + [False] * 6
    assert await ground.db.fetchval("SELECT count(*) FROM day_totals_regrouped") == 0


async def test_totals_that_are_as_they_were_are_not_written(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = await _fleet(ground)
    await _totals_only(ground, monkeypatch)
    rows = "SELECT dimension, key, user_id, ctid, xmin::text, xmax::text FROM day_totals ORDER BY 1, 2, 3"
    before = await ground.db.fetch(rows)
    assert await refresh_totals(ground.db, at=NOON + dt.timedelta(days=1)) == 1
    assert await ground.db.fetch(rows) == before
    await ground.db.execute("UPDATE mailbox_days SET sent = sent - 1 WHERE user_id = $1", mine)
    await refresh_totals(ground.db, at=NOON + dt.timedelta(days=2))
    kept = [row for row in await ground.db.fetch(rows) if row in before]
    assert {row["user_id"] for row in kept} == {row["user_id"] for row in before} - {mine, None}


async def test_totals_that_no_report_reaches_are_dropped(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    await _fleet(ground)
    await _totals_only(ground, monkeypatch)
    left = "SELECT (SELECT count(*) FROM day_totals) + (SELECT count(*) FROM day_totals_made)"
    await refresh_totals(ground.db, at=NOON + dt.timedelta(days=report_groups.MOST_DAYS))
    assert await ground.db.fetchval(left) > 0
    await refresh_totals(ground.db, at=NOON + dt.timedelta(days=report_groups.MOST_DAYS + 2))
    assert await ground.db.fetchval(left) == 0


async def test_new_labels_are_taken_in_steps_that_go_on_where_they_ended(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _ = await _fleet(ground)
    await _earlier(ground, days=10)
    monkeypatch.setattr(day_totals, "DAYS_A_ROUND", 50)
    await _totals_only(ground, monkeypatch)
    monkeypatch.setattr(day_totals, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(day_totals, "STEPS_A_ROUND", 1)
    await ground.db.execute("UPDATE mailboxes SET labels = '{new}' WHERE user_id = $1", mine)
    done = "SELECT count(DISTINCT day) FROM day_totals WHERE user_id = $1 AND dimension = 'label' AND key = 'new'"
    counted = []
    for minute in range(1, 4):
        await refresh_totals(ground.db, at=NOON + dt.timedelta(minutes=minute))
        counted.append(await ground.db.fetchval(done, mine))
    assert counted == [1, 2, 3]


async def test_small_fleets_need_no_totals(ground: Ground) -> None:
    await _fleet(ground)
    assert await refresh_totals(ground.db, at=NOON) == 0


async def test_fleet_that_became_small_forgets_how_old_its_totals_are(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fleet(ground)
    with monkeypatch.context() as large:
        await _totals_only(ground, large)
    await ground.db.execute("UPDATE mailboxes SET labels = '{new}'")
    await refresh_totals(ground.db, at=NOON)
    assert await ground.db.fetchval("SELECT count(*) FROM day_totals_made") == 0
    assert await ground.db.fetchval("SELECT count(*) FROM day_totals_regrouped") == 0


async def _earlier(ground: Ground, *, days: int) -> None:
    """The same day rows of so many days before."""
    await ground.db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, sent, taken)"
        " SELECT mailbox_id, day - n, user_id, opens_at, closes_at, quota, 0, 1, sent, taken"
        " FROM mailbox_days, generate_series(1, $1::integer) AS n",
        days,
    )


async def _of(ground: Ground, owner: UUID | None) -> Report:
    return await report(ground.db, By.DAY, WEEK, owner=owner, limit=100)


async def _totals_only(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fleet so large that reports read totals."""
    monkeypatch.setattr(report_groups, "MOST_ROWS", 0)
    monkeypatch.setattr(day_totals, "SMALL", 0)
    assert await refresh_totals(ground.db, at=NOON)
