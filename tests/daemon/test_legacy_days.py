"""Days after the taking over, lived by a real worker: what the old system sent counts, and ramps go on."""

from tests.daemon.rig import BEGIN, Rig, after
from tests.daemon.test_legacy import taking
from tests.store.old_database import HOST, Size, make_old_database, sends_on
from warmupd.daemon.legacy_import import take_over

SIZE = Size(accounts=4, users=1, days=20)


async def taken_over(rig: Rig, url: str) -> None:
    await make_old_database(url, SIZE, now=BEGIN)
    async with taking(rig.db, rig.config({"security.allow_hosts": [HOST]}), url, at=rig.clock.now()) as taker:
        await take_over(taker, lambda *_: None)
    await rig.db.execute("UPDATE proofs SET proven_at = $1", BEGIN)


async def test_worker_sends_what_is_left_of_today_and_climbs_on(rig: Rig, empty_database_url: str) -> None:
    await taken_over(rig, empty_database_url)  # at half past five: the windows open in half an hour
    async with rig.running():
        await rig.until(after(23, days=1))
    rows = await rig.db.fetch(
        "SELECT substr(m.smtp_username, 4)::int AS n, d.day, d.quota, d.sent, d.old_sent,"
        " (SELECT count(*) FROM warmup_jobs j WHERE j.mailbox_id = m.id AND j.local_day = d.day AND j.status = 'SENT')"
        " AS own FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id WHERE d.day >= $1 ORDER BY d.day, m.id",
        BEGIN.date(),
    )
    assert len(rows) == 2 * SIZE.accounts
    for row in rows:
        ramp_day = row["n"] + 1 + (row["day"] - BEGIN.date()).days
        assert (row["quota"], row["sent"]) == (sends_on(ramp_day), sends_on(ramp_day)), row
        assert row["own"] == row["sent"] - row["old_sent"]
    assert sum(row["old_sent"] for row in rows) == sum(n % 4 for n in range(1, 5))
