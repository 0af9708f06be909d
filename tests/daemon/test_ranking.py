"""Lists by how the day goes: SQL judges as core does, and a ranking is made once for all who ask."""

import asyncio
import datetime as dt
import threading
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.core.condition import Progress
from warmupd.core.mailbox import MailboxState
from warmupd.daemon import ranking
from warmupd.daemon.ranking import Rankings, moment_at
from warmupd.daemon.roster import list_mailboxes
from warmupd.store import selection
from warmupd.store.selection import Order, Selection, ids_of, ranked

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
ZONES = (None, "Pacific/Kiritimati", "Pacific/Honolulu", "Asia/Tokyo", "America/New_York")
SPREAD = 60


@pytest.fixture
async def spread(ground: Ground) -> Ground:
    """Mailboxes in all zones and states, with days of all kinds."""
    dice = Random(11)
    ids = await ground.mailboxes(SPREAD, quota=20)
    await ground.db.execute("DELETE FROM mailbox_days")
    states = [state.value for state in MailboxState if state is not MailboxState.REMOVED]
    for box in ids:
        state = dice.choice([*states, "ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE"])
        await ground.db.execute(
            "UPDATE mailboxes SET state = $2, timezone = $3 WHERE id = $1", box, state, dice.choice(ZONES)
        )
        if dice.random() < 0.2:
            rests = NOON + dt.timedelta(hours=dice.choice([-1, 3, 30]))
            await ground.db.execute("UPDATE mailbox_pace SET resting_until = $2 WHERE mailbox_id = $1", box, rests)
        first = NOON + dt.timedelta(hours=dice.choice([-14, -8, -6, 2, 5, 12]))
        for back in range(dice.choice([0, 1, 3, 3, 4])):
            opens = first - dt.timedelta(days=back)
            sent = dice.choice([0, 3, 8, 9, 10, 20])
            await ground.db.execute(
                "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day,"
                " taken, sent, inbox, spam) SELECT id, $2, user_id, $3, $4, 20, 0, 1, $5, $5, $5 - $6::int, $6::int"
                " FROM mailboxes WHERE id = $1",
                box,
                opens.date(),
                opens,
                opens + dt.timedelta(hours=16),
                sent,
                dice.randint(0, sent),
            )
    return ground


@pytest.mark.parametrize("hours", [-13, -5, 0, 6, 11, 20])
async def test_lists_by_progress_hold_what_core_says(spread: Ground, hours: int) -> None:
    at, config = NOON + dt.timedelta(hours=hours), Config.isolated({})
    ids = await ids_of(spread.db, Selection(), owner=None)
    expected: defaultdict[Progress, set[int]] = defaultdict(set)
    for one in await list_mailboxes(spread.db, config, ids, at=at):
        expected[one.numbers.status].add(one.mailbox.id)
    for progress in Progress:
        chosen = Selection(progress=progress)
        assert set(await ids_of(spread.db, chosen, owner=None, moment=moment_at(at, "UTC"))) == expected[progress], (
            progress
        )


@pytest.mark.parametrize("order", [Order.DEFICIT, Order.FILL, Order.SCORE])
async def test_ranks_are_those_of_the_numbers_that_are_shown(spread: Ground, order: Order) -> None:
    config = Config.isolated({"health.smallest_sample": 5})
    ids = await ranked(
        spread.db, Selection(), order, owner=None, moment=moment_at(NOON, "UTC"), smallest_sample=5, window_days=7
    )
    by_id = {one.mailbox.id: one for one in await list_mailboxes(spread.db, config, ids, at=NOON)}
    shown: list[Any] = []
    for one in map(by_id.__getitem__, ids):
        numbers = one.numbers
        open_day = numbers.quota is not None
        value = {
            Order.DEFICIT: -numbers.deficit if open_day else None,
            Order.FILL: numbers.fill_rate,
            Order.SCORE: None if one.score is None else round(one.score, 9),
        }[order]
        shown.append(value)
    known = [value for value in shown if value is not None]
    assert len(ids) == SPREAD
    assert len(known) > 5
    assert known == sorted(known)
    assert shown == known + [None] * (len(shown) - len(known))


async def test_nobody_is_chosen_by_a_progress_without_a_moment(ground: Ground) -> None:
    with pytest.raises(ValueError, match="moment"):
        await ids_of(ground.db, Selection(progress=Progress.BEHIND), owner=None)


# -- keeping ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """Which rankings were made; each is worth keeping."""
    made: list[Order] = []
    genuine = selection.ranked

    async def counted(db: Any, chosen: Selection, order: Order, **more: Any) -> list[int]:
        made.append(order)
        return await genuine(db, chosen, order, **more)

    monkeypatch.setattr(ranking, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(selection, "ranked", counted)
    return made


async def look(rankings: Rankings, *, order: Order = Order.DEFICIT, after: Any = None) -> ranking.Listing:
    return await rankings.page(Config.isolated({}), Selection(), order, owner=None, limit=4, after=after)


async def test_ranking_is_made_once_for_all_who_ask_at_once(spread: Ground, asked: list[Order]) -> None:
    rankings = Rankings(spread.db, VirtualClock(NOON))
    pages = await asyncio.gather(*(look(rankings) for _ in range(5)))
    assert asked == [Order.DEFICIT]
    assert len({tuple(page.ids) for page in pages}) == 1


async def test_old_ranking_is_answered_from_while_the_next_is_made(spread: Ground, asked: list[Order]) -> None:
    clock = VirtualClock(NOON)
    rankings = Rankings(spread.db, clock)
    first = await look(rankings)
    clock.advance(ranking.KEPT + 1)
    assert (await look(rankings)).ranked_at == first.ranked_at
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "ranking"))
    assert (await look(rankings)).ranked_at == clock.now()
    assert asked == [Order.DEFICIT] * 2


async def test_what_was_changed_here_is_seen_at_once(spread: Ground, asked: list[Order]) -> None:
    rankings = Rankings(spread.db, VirtualClock(NOON))
    await look(rankings)
    rankings.forget()
    await look(rankings)
    assert len(asked) == 2


async def test_pages_of_a_ranking_hold_each_mailbox_once(spread: Ground, asked: list[Order]) -> None:
    rankings = Rankings(spread.db, VirtualClock(NOON))
    found: list[int] = []
    page = await look(rankings)
    while page.after is not None:
        found += page.ids
        page = await look(rankings, after=page.after)
    found += page.ids
    assert len(found) == len(set(found)) == page.count == SPREAD
    assert asked == [Order.DEFICIT]


async def test_page_goes_on_behind_its_last_row_though_the_order_changed(spread: Ground, asked: list[Order]) -> None:
    rankings = Rankings(spread.db, VirtualClock(NOON))
    page = await look(rankings)
    assert page.after is not None
    second = await look(rankings, after=page.after)
    moved = await look(rankings, after=[page.after[0] + 7, page.after[1]])  # it was further down when that was said
    assert moved.ids == second.ids


async def test_zone_files_are_not_opened_where_everybody_waits(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def names() -> set[str]:
        threads.append(threading.get_ident())
        return {"Europe/Berlin"}

    monkeypatch.setattr(ranking, "available_timezones", names)
    ranking._zones.cache_clear()
    try:
        rankings = Rankings(ground.db, VirtualClock(NOON))
        await rankings.page(Config(), Selection(), Order.FILL, owner=None, limit=5)
    finally:
        ranking._zones.cache_clear()
    assert len(threads) == 1
    assert threading.get_ident() not in threads
