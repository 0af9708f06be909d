"""Mailboxes that leave while a worker is at work: what goes on, what ends, and what is cleared out behind them."""

import asyncio
import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import Post, served
from warmupd.daemon import departures, engager, visitor
from warmupd.errors import DatabaseUnavailable
from warmupd.mail.imap import ImapRefusedLogin, ImapUnreachable
from warmupd.store.removals import remove_mailboxes, undo_removal

FILES = {"engagement.file_after_hours": 1}  # they are in the warmup folder the same day


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager, "POLL", 150.0)
    # The server dates what arrives by the machine's clock, which is behind the rig's.
    monkeypatch.setattr(visitor, "LOOK_BACK", dt.timedelta(days=3650))


async def leave(rig: Rig, *boxes: int, clean: bool = False) -> None:
    await remove_mailboxes(rig.db, boxes, actor="cli", reason="", clean=clean, at=rig.clock.now())
    if rig.worker is not None:
        await rig.worker.housekeeping._look_for_changes()


async def folder_of(post: Post, rig: Rig, box: int, name: str = "Warmup") -> int | None:
    """How many messages lie in its warmup folder; None when there is none."""
    states = (await post.server.snapshot())[await rig.world.address(box)]
    return states[name].messages if name in states else None


async def test_nothing_is_sent_from_it_or_to_it_any_more_and_others_go_on(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=12, end_hour=18)
    async with rig.running():
        await rig.until(after(11))
        await leave(rig, boxes[0])
        before = rig.clock.now()
        await rig.until(after(18.5))
        late = [taken for taken in rig.server.taken if rig._origin + dt.timedelta(seconds=taken.mail_at) > before]
    assert late
    gone = await rig.world.address(boxes[0])
    assert not [taken for taken in late if gone in {taken.sender, *taken.recipients}]
    assert await rig.world.sent(boxes[1:]) == [12] * 3
    assert (await rig.violations()).total == 0


async def test_it_goes_on_where_it_was_when_it_comes_back(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=12, end_hour=18)
    async with rig.running() as worker:
        await rig.until(after(9))
        await leave(rig, boxes[0])
        await rig.until(after(12))
        await undo_removal(rig.db, boxes[0], actor="cli", at=rig.clock.now())
        await worker.housekeeping._look_for_changes()
        await rig.until(after(18.5))
    assert await rig.world.sent(boxes) == [12] * 3


@pytest.mark.parametrize("name", ["Warmup", "Filed away"])
async def test_its_folder_is_cleared_out_and_those_of_others_are_left(rig: Rig, name: str) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    files = {**FILES, "engagement.folder": name}
    async with served(rig, boxes) as post, rig.running({**post.config, **files}, visits=True, real=True):
        await rig.until(after(20))
        before = [await folder_of(post, rig, box, name) for box in boxes]
        assert all(before)
        await leave(rig, boxes[0], clean=True)
        await rig.until(after(21))
        assert [await folder_of(post, rig, box, name) for box in boxes] == [None, *before[1:]]
    row = await rig.db.fetchrow("SELECT clean_at, cleaned, clean_error FROM removals")
    assert tuple(row or ()) == (None, before[0], "")


async def test_without_the_wish_its_folder_stays(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=9)
    async with served(rig, boxes) as post, rig.running({**post.config, **FILES}, visits=True, real=True):
        await rig.until(after(20))
        before = await folder_of(post, rig, boxes[0])
        await leave(rig, boxes[0])
        await rig.until(after(21, days=1))
        assert await folder_of(post, rig, boxes[0]) == before


@pytest.mark.parametrize(
    ("error", "hours"), [(ImapUnreachable("mail.test does not answer"), 0.5), (ImapRefusedLogin("login refused"), 24)]
)
async def test_a_server_that_is_away_is_tried_again_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]], error: Exception, hours: float
) -> None:
    boxes = await rig.world.enrol(2, quota=1)

    async def clear_out(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(departures, "clear_out", clear_out)
    async with rig.running() as worker:
        worker.engager.visiting = SimpleNamespace(  # type: ignore[assignment]  # nobody looks at it
            hosts=None, context=None, timeouts=None, source_address="", warmup_folder="Warmup"
        )
        await leave(rig, boxes[0], clean=True)
        asked_at = rig.clock.now()
        await rig.until(after(6.6))
    row = await rig.db.fetchrow("SELECT clean_at, clean_error FROM removals")
    assert row is not None
    assert row["clean_error"] == str(error)
    assert row["clean_at"] - asked_at >= dt.timedelta(hours=hours)
    told = [event for event in log if event["event"] == "removal.not_cleared"]
    assert 1 <= len(told) <= 2


async def test_its_secrets_are_wiped_after_a_week_and_its_days_stay(rig: Rig, log: list[dict[str, Any]]) -> None:
    boxes = await rig.world.enrol(3, quota=2, end_hour=9)
    async with rig.running():
        await rig.until(after(9.5))
        await leave(rig, boxes[0])
        await rig.until(after(9, days=7))
        kept = await rig.world.mailbox(boxes[0])
        await rig.until(after(11, days=7))
    assert kept["smtp_secret"] is not None
    wiped = await rig.world.mailbox(boxes[0])
    assert (wiped["smtp_secret"], wiped["imap_secret"], wiped["state"]) == (None, None, "REMOVED")
    assert await rig.world.sent(boxes[:1]) == [2]
    assert [event["mailboxes"] for event in log if event["event"] == "removal.secrets_wiped"] == [[boxes[0]]]


async def test_lost_database_leaves_nothing_going_on_behind_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = await rig.world.enrol(2)
    await remove_mailboxes(rig.db, boxes, actor="cli", reason="", clean=True, at=rig.clock.now())
    leaving, ended = departures.Departures.__new__(departures.Departures), []
    leaving._db, leaving._clock = rig.db, rig.clock

    async def clear(one: Any) -> None:
        if one.mailbox_id == boxes[0]:
            raise DatabaseUnavailable("away")
        for _ in range(9):  # turns of the loop, in which the error would be on its way
            await asyncio.sleep(0)
        ended.append(one.mailbox_id)

    monkeypatch.setattr(leaving, "_clear", clear)
    with pytest.raises(DatabaseUnavailable):
        await leaving.round()
    assert ended == [boxes[1]]
