"""The fleet as it is read anew, part by part: what has not changed stays the object that it is."""

import datetime as dt
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.ha.pgbouncer import needs_pgbouncer, pgbouncer
from tests.ha.servers import Server
from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    CLOSES,
    OPENS,
    TODAY,
    Ground,
    laid_ground,
)
from warmupd.core.mailbox import Defaults, Hours, Mailbox, MailboxState, Ramp, slot_hash
from warmupd.core.ramp import Budget
from warmupd.core.window import Window
from warmupd.store import days, directories, mailboxes
from warmupd.store.database import Database
from warmupd.store.migrate import migrate

DEFAULTS = Defaults(zone="UTC", hours=Hours(start=6, end=22), ramp=Ramp(start=5, step=3, target=40, floor=30))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mailboxes, days):
        monkeypatch.setattr(module, "AT_ONCE", 2)
    monkeypatch.setattr(mailboxes, "MOST_SETTINGS", 1)


async def test_all_parts_are_read_as_if_they_were_one(ground: Ground) -> None:
    await ground.mailboxes(5)
    await ground.db.execute("UPDATE mailboxes SET target_daily = 20 + id, language = 'de' WHERE id > 2")
    whole = {one.id: one for one in await mailboxes.load_mailboxes(ground.db, DEFAULTS)}
    assert await mailboxes.reload_mailboxes(ground.db, DEFAULTS, {}) == whole
    assert [one.slot_hash for one in whole.values()] == [slot_hash(one) for one in whole]


async def test_each_user_has_the_gap_of_the_mailboxes_that_send(ground: Ground) -> None:
    for number, state in ((1, "ACTIVE"), (3, "ACTIVE"), (1, "PAUSED"), (1, "RECEIVE_ONLY")):
        await ground.mailboxes(number, state=state)
    await ground.mailboxes(2, user_id := await ground.user())
    await ground.db.execute("INSERT INTO user_settings (user_id, target_daily) VALUES ($1, 80)", user_id)
    await ground.db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = 4")
    found = await mailboxes.reload_mailboxes(ground.db, DEFAULTS, {})
    for ids in (None, list(found)):
        assert found == {one.id: one for one in await mailboxes.load_mailboxes(ground.db, DEFAULTS, ids)}
    half = 16 * 3600 / 2
    quotas = {1: 40, 2: 80, 3: 80, 5: 1, 6: 40, 7: 160, 8: 160}
    assert {one: half / mailbox.user_gap for one, mailbox in found.items()} == pytest.approx(quotas)


async def test_twice_as_many_parts_read_twice_as_many_rows(ground: Ground, database_url: str) -> None:
    """Every part holds mailboxes of the same user: were that user's quota added up for each, it would be a square."""
    name = await ground.db.fetchval("SELECT quote_ident(current_database())")
    await ground.db.execute(f"ALTER DATABASE {name} SET enable_seqscan = off")  # as if the table were large
    async with await Database.open(database_url, pool_size=1, application_name="tests") as db:
        read, user_id = [], await ground.user()
        for _ in range(2):
            await ground.mailboxes(20, user_id)
            before = await _rows_read(db)
            await mailboxes.reload_mailboxes(db, DEFAULTS, {})
            read.append(await _rows_read(db) - before)
    assert read[1] < 2.5 * read[0]


@pytest.mark.ha
@needs_pgbouncer
async def test_each_process_reads_them_behind_a_pooler(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await Server.make(data_dir)
    try:
        async with await Database.open(server.url, pool_size=1, application_name="tests") as direct:
            await migrate(direct)
            ground = Ground(direct)
            await ground.lay()
            ids = await ground.mailboxes(3)
            async with pgbouncer(server, pool_size=1) as url:
                for _ in range(2):
                    monkeypatch.setattr(asyncpg.connection, "_uid", 0)  # names are counted up from here, as at a start
                    async with await Database.open(url, pool_size=1, application_name="tests") as pooled:
                        assert sorted(await mailboxes.reload_mailboxes(pooled, DEFAULTS, {})) == ids
    finally:
        server.stop()


async def test_parts_are_of_one_moment(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    await ground.mailboxes(5)
    made = mailboxes._Maker.__call__

    def meddle(maker: mailboxes._Maker, row: asyncpg.Record) -> Mailbox:
        told.append(row["language"])
        return made(maker, row)

    told: list[str] = []
    before = await mailboxes.reload_mailboxes(ground.db, DEFAULTS, {})
    monkeypatch.setattr(mailboxes._Maker, "__call__", meddle)
    fetch = asyncpg.Connection.fetchval

    async def changed(connection: Any, query: str, *arguments: Any, **more: Any) -> Any:
        ids = await fetch(connection, query, *arguments, **more)
        await ground.db.execute("UPDATE mailboxes SET language = 'fr', target_daily = 99")
        return ids

    monkeypatch.setattr(asyncpg.Connection, "fetchval", changed)
    del told[:]
    assert await mailboxes.reload_mailboxes(ground.db, DEFAULTS, {}) == before
    assert len(told) == 5
    assert "fr" not in told


async def test_who_has_not_changed_stays_and_who_is_gone_goes(ground: Ground) -> None:
    await ground.mailboxes(4)
    await ground.db.execute("UPDATE mailboxes SET state = 'PAUSED' WHERE id IN (2, 3)")
    before = await mailboxes.reload_mailboxes(ground.db, DEFAULTS, {})
    await ground.db.execute("UPDATE mailboxes SET state = 'AUTH_FAILED' WHERE id = 2")
    await ground.db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = 3")
    after = await mailboxes.reload_mailboxes(ground.db, DEFAULTS, before)
    assert sorted(after) == [1, 2, 4]
    assert after[1] is before[1]
    assert after[4] is before[4]
    assert (after[2].state, before[2].state) == (MailboxState.AUTH_FAILED, MailboxState.PAUSED)


async def test_days_that_have_not_changed_stay_and_their_windows_are_shared(ground: Ground) -> None:
    ids = await ground.mailboxes(5)
    window = Window(opens_at=OPENS + dt.timedelta(days=1), closes_at=CLOSES + dt.timedelta(days=1))
    budget = Budget(quota=8, floor=5, ramp_day=2, factors=())
    loaded = await mailboxes.load_mailboxes(ground.db, DEFAULTS)
    await days.open_days(ground.db, [(one, TODAY + dt.timedelta(days=1), window, budget) for one in loaded])
    before = await days.reload_days(ground.db, ids, {})
    await ground.db.execute("UPDATE mailbox_days SET taken = 3, attempts = 3 WHERE mailbox_id = 2 AND day > $1", TODAY)
    after = await days.reload_days(ground.db, ids, before)
    assert after == await days.load_days(ground.db, ids)
    assert [one for one in ids if after[one] is not before[one]] == [2]
    assert len({id(day.opens_at) for day in before.values()}) == 1


async def test_directory_that_is_written_is_read_and_others_join_behind(ground: Ground) -> None:
    await ground.mailboxes(5)
    await directories.agree_directories(ground.db, TODAY, {1: [(1, 5), (2, 5)]})
    known = (await directories.read_directories(ground.db, TODAY, [1, 9]))[1]
    assert (len(known), known.strangers([1, 2, 3, 4])) == (2, [3, 4])
    joined = (await directories.agree_directories(ground.db, TODAY, {1: [(3, 7)]}))[1]
    assert list(joined.members) == [*known.members, 3]
    assert [joined.index_of(one) for one in (*known.members, 3, 4)] == [0, 1, 2, None]


async def _rows_read(db: Database) -> int:
    await db.execute("SELECT pg_stat_force_next_flush()")
    read: int = await db.fetchval(
        "SELECT (seq_tup_read + idx_tup_fetch)::int FROM pg_stat_user_tables WHERE relname = 'mailboxes'"
    )
    return read
