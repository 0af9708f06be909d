"""What becomes of a visit whose look was cut short, refused or broken off behind the INBOX."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from warmupd.core.placement import FolderMark
from warmupd.daemon import visitor as visitor_module
from warmupd.mail.imap import ImapBroken, ImapThrottled
from warmupd.mail.visit import Look

INBOX = FolderMark(folder="INBOX", uidvalidity=7, last_uid=40)
SLOW = FolderMark(folder="Archive", uidvalidity=0, last_uid=0, refusals=1)
READ = FolderMark(folder="Boat", uidvalidity=7, last_uid=9, looked=True)


def looked(*marks: FolderMark, complete: bool = True, **rest: Any) -> Look:
    return Look(found=[], marks=list(marks), complete=complete, junk_folder=None, **rest)


@pytest.fixture
def further(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What the visits see behind an INBOX in which nothing is new, the last again and again."""
    looks: list[Look] = []

    rest: dict[int, list[Look]] = {}  # by mailbox: each sees all of them

    class Seen:
        def __init__(self, own: list[Look]) -> None:
            self.own = own

        async def look_near(self, marks: Any, **rest: Any) -> Look:
            return looked(INBOX)

        async def look_further(self, marks: Any, **rest: Any) -> Look:
            return self.own.pop(0) if len(self.own) > 1 else self.own[0]

        def past_own(self, marks: Any) -> Any:
            return marks

    @asynccontextmanager
    async def enter(sealed: Any, *args: Any, **options: Any) -> AsyncIterator[Seen]:
        yield Seen(rest.setdefault(sealed.mailbox_id, list(looks)))

    monkeypatch.setattr(visitor_module, "enter_mailbox", enter)
    return looks


async def visited(rig: Rig, hours: float) -> Any:
    """The mailbox's row after visits from six o'clock on."""
    (box, _) = await rig.world.enrol(2, quota=0)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(6))
    async with rig.running(visits=True):
        await rig.until(after(hours))
    return await rig.world.mailbox(box)


async def marks(rig: Rig) -> set[tuple[str, int, int]]:
    rows = await rig.db.fetch("SELECT folder, last_uid, refusals FROM folder_marks")
    return {(row["folder"], row["last_uid"], row["refusals"]) for row in rows}


async def test_trouble_behind_the_inbox_takes_nothing_from_what_was_read(rig: Rig, further: list[Look]) -> None:
    further.append(looked(SLOW, READ, complete=False, trouble=ImapBroken("did not answer EXAMINE")))
    row = await visited(rig, 6.1)
    assert await marks(rig) == {("INBOX", 40, 0), ("Archive", 0, 1), ("Boat", 9, 0)}
    assert (row["failures"], row["everywhere_at"]) == (0, None)
    assert row["last_visit_at"] == row["round_began"]
    assert row["next_visit_at"] > after(6.5)  # the next that was planned anyway
    assert "EXAMINE" in row["last_error"]


async def test_request_for_patience_behind_the_inbox_is_heeded(rig: Rig, further: list[Look]) -> None:
    further.append(looked(complete=False, trouble=ImapThrottled("later", retry_after=5 * 3600)))
    row = await visited(rig, 6.1)
    assert (row["failures"], row["not_before"] >= after(11)) == (0, True)


async def test_refusal_is_not_asked_for_again_within_minutes(rig: Rig, further: list[Look]) -> None:
    further.append(looked(SLOW, complete=False))
    assert (await visited(rig, 6.1))["next_visit_at"] > after(6.5)


async def test_what_was_cut_short_goes_on_within_minutes_and_ends_the_round(rig: Rig, further: list[Look]) -> None:
    further += [looked(READ, complete=False, more=True), looked(READ)]
    row = await visited(rig, 6.3)
    assert row["round_began"] is None
    assert after(6) <= row["everywhere_at"] < row["last_visit_at"] <= after(6) + dt.timedelta(minutes=10)
    assert row["next_visit_at"] > after(6.5)


async def test_failures_before_a_restart_count_for_how_long_is_waited(rig: Rig) -> None:
    (box, _) = await rig.world.enrol(2, quota=0)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1, failures = 3", after(6))
    async with rig.running(visits=True) as worker:

        async def fails(*args: Any, **options: Any) -> Any:
            raise ImapBroken("no answer")

        worker.engager._visitor.visit = fails  # type: ignore[method-assign]
        await rig.until(after(6.1))
    row = await rig.world.mailbox(box)
    assert row["failures"] == 4
    assert row["next_visit_at"] >= after(8)
