"""Users who are erased while a worker is at work: it wipes what was theirs, and goes on with everybody else's."""

from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from warmupd.daemon import erasures
from warmupd.store import erasure
from warmupd.store.erased_words import Batch
from warmupd.store.user_removals import remove_user


async def test_worker_wipes_a_user_and_goes_on_with_the_others(rig: Rig, log: list[dict[str, Any]]) -> None:
    leaver, stayer = await rig.world.user(), await rig.world.user()
    leaving = await rig.world.enrol(2, leaver, quota=12, end_hour=18)
    staying = await rig.world.enrol(3, stayer, quota=12, end_hour=18)
    async with rig.running():
        await rig.until(after(11))
        await remove_user(rig.db, leaver, actor="admin@site.test", at=rig.clock.now(), erase=True)
        await rig.until(after(18.5))
    assert [event["user"] for event in log if event["event"] == "user.erased"] == [str(leaver)]
    for table, column in (("mailboxes", "id"), ("mailbox_days", "mailbox_id"), ("warmup_jobs", "mailbox_id")):
        rows = await rig.db.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = ANY ($1)", leaving)
        assert (table, rows) == (table, 0)
    assert await rig.world.sent(staying) == [12] * 3
    assert not [event for event in log if event["event"] == "worker.part_failed"]


async def test_erasure_that_goes_wrong_is_tried_again_and_ends_nobody(
    rig: Rig, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaver = await rig.world.user()
    await remove_user(rig.db, leaver, actor="cli", at=rig.clock.now(), erase=True)
    tries = []

    async def wipe(*_: Any, **__: Any) -> Any:
        tries.append(rig.clock.now())
        if len(tries) == 1:
            raise RuntimeError("odd")
        yield Batch(table="users", rows=1)
        await rig.db.execute("DELETE FROM users WHERE id = $1", leaver)

    monkeypatch.setattr(erasure, "wipe_user", wipe)
    async with rig.running():
        await rig.until(after(7))
    assert len(tries) == 2
    assert (tries[1] - tries[0]).total_seconds() >= erasures.LASTS
    assert [event["part"] for event in log if event["event"] == "worker.part_failed"] == ["erasure"]
