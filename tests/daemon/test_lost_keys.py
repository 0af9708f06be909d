"""secrets.keys that open nothing: said clearly, nothing is damaged, and with the old keys all goes on."""

import pytest

from tests.daemon.conftest import Log
from tests.daemon.rig import Rig, after
from warmupd.core.finding import Grade
from warmupd.daemon.diagnosis import look_at_fleet
from warmupd.daemon.keys_check import look_at_keys
from warmupd.mail.vault import Vault

OTHER = Vault.new_key()


async def test_mailboxes_rest_and_with_the_key_back_the_quota_is_met(rig: Rig, log: Log) -> None:
    boxes = await rig.world.enrol(3, quota=3, end_hour=8, ramp_days=5)
    async with rig.running({"secrets.keys": [OTHER]}, visits=True) as worker:
        await look_at_keys(rig.db, worker._vault)
        await rig.until(after(6.5))
    assert rig.server.taken == []
    (told,) = [one for one in log if "stored credentials" in str(one.get("why"))]
    assert "6 of 6" in told["why"]
    assert "mailbox set ADDRESS --password" in told["remedy"]
    assert {(await rig.world.mailbox(box))["state"] for box in boxes} == {"ACTIVE"}
    assert {(await rig.world.mailbox(box))["resting_reason"] for box in boxes} == {"secrets"}
    assert sum(row["attempts"] for row in await rig.world.days(boxes)) == 0
    async with rig.running() as worker:
        await look_at_keys(rig.db, worker._vault)
        worker.shard.knock(everything=True)
        await rig.until(after(8.2))
    assert await rig.world.sent(boxes) == [3] * 3
    assert "FAILED" not in await rig.world.statuses()


@pytest.mark.parametrize(("keys", "grade"), [("both", Grade.OK), ("other", Grade.FAIL)])
async def test_doctor_counts_what_no_key_opens(rig: Rig, keys: str, grade: Grade) -> None:
    await rig.world.enrol(3)
    config = rig.config({"secrets.keys": [OTHER, rig.key] if keys == "both" else [OTHER]})
    found = {one.check: one async for one in look_at_fleet(rig.db, config, rig.clock, mailbox=None)}
    assert found["credentials"].grade is grade
    if grade is Grade.FAIL:
        assert "6 of 6 stored credentials" in found["credentials"].text
        assert "secrets.keys that config.toml had" in found["credentials"].remedy
