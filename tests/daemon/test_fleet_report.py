"""The fleet as its operators are told of it: free slots, and who stopped it."""

import datetime as dt
from uuid import uuid4

import pytest

from warmupd.cli.fleet import _print
from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.core.condition import Condition
from warmupd.core.finding import Grade
from warmupd.daemon import diagnosis
from warmupd.daemon.fleet_report import Action, control, fleet_report, in_short
from warmupd.daemon.overview import fleet_condition
from warmupd.errors import Conflict
from warmupd.store.database import Database
from warmupd.store.lineage import close_for_move
from warmupd.store.slots import claim_slots, register_worker

NOW = dt.datetime(2026, 6, 3, 10, tzinfo=dt.UTC)
BY = "anna@site.test"


class Show:
    """What `warmupd fleet show` prints."""

    def __init__(self, db: Database, printed: pytest.CaptureFixture[str]) -> None:
        self.db = db
        self._printed = printed

    async def __call__(self) -> str:
        _print(await fleet_report(self.db, at=NOW))
        return " ".join(self._printed.readouterr().out.split())


@pytest.fixture
def show(db: Database, capsys: pytest.CaptureFixture[str]) -> Show:
    return Show(db, capsys)


async def test_who_stopped_sending_and_since_when_is_shown(show: Show) -> None:
    assert "Sending on" in await show()
    await control(show.db, Action.STOP, actor="cli", at=NOW)
    assert "Sending stopped since 2026-06-03 10:00:00 UTC by `warmupd fleet stop`; `warmupd fleet start` lets it" in (
        await show()
    )
    await control(show.db, Action.START, actor="cli", at=NOW)
    await control(show.db, Action.STOP, actor=BY, at=NOW + dt.timedelta(hours=1))
    assert f"stopped since 2026-06-03 11:00:00 UTC by {BY};" in await show()


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_database_that_moved_away_is_told_as_such_until_that_is_given_up(show: Show, stopped: bool) -> None:
    if stopped:
        await control(show.db, Action.STOP, actor="cli", at=NOW)
    await close_for_move(show.db, at=NOW)
    told = await show()
    assert "closed by `warmupd backup --move` since 2026-06-03 10:00:00 UTC: another database goes on" in told
    assert "lets it go on" not in told
    with pytest.raises(Conflict):
        await control(show.db, Action.START, actor="cli", at=NOW)
    await control(show.db, Action.START, actor="cli", at=NOW, anyway=True)
    assert "Sending on" in await show()
    await control(show.db, Action.STOP, actor="cli", at=NOW)
    assert "by `warmupd fleet stop`" in await show()


async def test_status_and_doctor_tell_of_the_move(db: Database) -> None:
    config, clock = Config.isolated({}), SystemClock()
    await close_for_move(db)
    condition, reasons, _ = await fleet_condition(db, config, at=clock.now())
    assert condition is Condition.DEGRADED
    assert "closed by `warmupd backup --move`" in "; ".join(reasons)
    findings = [one async for one in diagnosis.look_at_fleet(db, config, clock, mailbox=None)]
    (workers,) = [one for one in findings if one.check == "workers"]
    assert "closed by `warmupd backup --move`" in workers.text
    assert "--anyway" in workers.remedy


async def test_free_slots_are_numbered(show: Show) -> None:
    assert "Free slots 0 to 63" in await show()
    worker = uuid4()
    await register_worker(show.db, worker, name="w1", http_address="", version="1", limits={}, at=NOW)
    others = [slot for slot in range(64) if slot not in {3, 7, 8, 9}]
    await claim_slots(show.db, worker, ttl=30, most=64, only=others, at=NOW)
    assert "Free slots 3, 7 to 9" in await show()
    await claim_slots(show.db, worker, ttl=30, most=64, at=NOW)
    assert "Free slots" not in await show()


def test_of_many_numbers_the_first_are_told() -> None:
    assert in_short([]) == ""
    assert in_short([0]) == "0"
    assert in_short(range(0, 4096, 2)).endswith("16, 18 and 2038 more")


@pytest.mark.parametrize(("slow", "grade"), [(1.0, Grade.OK), (0.0, Grade.WARN)])
async def test_doctor_times_the_database(
    db: Database, monkeypatch: pytest.MonkeyPatch, slow: float, grade: Grade
) -> None:
    monkeypatch.setattr(diagnosis, "SLOW_TRIP", slow)
    finding = await anext(diagnosis.look_at_fleet(db, Config.isolated({}), SystemClock(), mailbox=None))
    assert (finding.check, finding.grade) == ("database", grade)
    assert f" ms (slow is more than {slow * 1000:.0f} ms)" in finding.text
