"""A plan that was made while the tables were empty is not one that reads them whole once they are full."""

import datetime as dt

import pytest

from tests.store.rows import CLOSES, OPENS, TODAY, Ground, after, ask, retry
from tests.store.test_days import DEFAULTS
from warmupd.core.job import JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.core.ramp import Budget
from warmupd.core.window import Window
from warmupd.store import accounts, days, mailboxes
from warmupd.store.database import Database

BUDGET = Budget(quota=8, floor=5, ramp_day=2, factors=(("ramp", 8),))
_SCANS = "SELECT sum(seq_scan)::int FROM pg_stat_user_tables WHERE relname = ANY ($1)"
_ROWS = (  # read from partitions of the jobs, one way or the other
    "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^warmup_jobs_')::int"
    " + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname ~ '^warmup_jobs_')::int"
)
_OF = "SELECT (seq_tup_read + idx_tup_fetch)::int FROM pg_stat_user_tables WHERE relname = '{}'"
_DAYS, _RINGS = _OF.format("mailbox_days"), _OF.format("cap_rings")
READ = ["mailbox_days", "mailboxes"]
CROWD = 60  # jobs of the day that nobody asks for


async def test_days_and_accounts_are_had_by_their_keys_by_a_plan_from_when_there_were_none(database_url: str) -> None:
    assert await _scans_of_grown_tables(database_url) == 0


@pytest.mark.parametrize("function", ["last_days", "open_mailbox_days", "accounts_of"])
async def test_without_its_setting_each_would_scan(database_url: str, function: str) -> None:
    assert await _scans_of_grown_tables(database_url, f"ALTER FUNCTION {function} RESET enable_seqscan") > 0


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_retry_is_had_by_its_key_by_a_plan_from_when_it_was_the_first(
    database_url: str, *, analysed: bool
) -> None:
    assert await _rows_read_for_a_retry(database_url, analysed=analysed) < CROWD / 3


async def test_without_its_setting_a_reserve_would_read_all_jobs_for_a_retry(database_url: str) -> None:
    assert await _rows_read_for_a_retry(database_url, "ALTER FUNCTION reserve_sends RESET enable_seqscan") > CROWD


async def test_a_settlement_reads_the_days_of_its_own_senders(database_url: str) -> None:
    assert await _days_read_for_a_settlement(database_url) < CROWD / 3


async def test_without_its_settings_a_settlement_would_read_all_days(database_url: str) -> None:
    assert await _days_read_for_a_settlement(database_url, "ALTER FUNCTION charge_days RESET ALL") > CROWD


async def test_a_reservation_reads_the_rings_of_its_own_users_by_a_plan_from_when_there_were_few(
    database_url: str,
) -> None:
    assert await _rings_read_for_a_reservation(database_url) < CROWD / 3


async def test_had_by_their_keys_all_rings_would_be_read(database_url: str) -> None:
    by_keys = "g.ring_at IS NOT NULL AND c.scope = ''USER'' AND c.ref = g.user_id"
    taken_out = f"replace(pg_get_functiondef('reserve_sends'::regproc), 'c.ctid = g.ring_at', '{by_keys}')"
    assert await _rings_read_for_a_reservation(database_url, f"DO $$ BEGIN EXECUTE {taken_out}; END $$") > CROWD


async def _rings_read_for_a_reservation(url: str, *before: str) -> int:
    """How many rings are read for one user, by a plan from when there were two users."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        worker, pairs = await ground.worker(), [await ground.pair() for _ in range(CROWD)]
        await ground.grant(worker, ask(*pairs[0]))
        for statement in (*before, "VACUUM ANALYZE cap_rings"):
            await others.execute(statement)
        await planned.grant(worker, ask(*pairs[0]), after(300))
        await ground.reserve(worker, *(ask(*pair) for pair in pairs[1:]), at=after(300))
        read = await _told(others, db, told=_RINGS)
        await planned.grant(worker, ask(*pairs[1]), after(600))
        return await _told(others, db, told=_RINGS) - read


async def _days_read_for_a_settlement(url: str, *before: str) -> int:
    """How many days are read where the planner knows that there are few, so that reading all looks cheap."""
    async with await Database.open(url, pool_size=1, application_name="tests") as db:
        ground = Ground(db)
        await ground.lay()
        worker, (sender, recipient, *_) = await ground.worker(), await ground.mailboxes(CROWD + 2)
        job = await ground.grant(worker, ask(sender, recipient))
        for statement in (*before, "VACUUM ANALYZE mailbox_days"):
            await db.execute(statement)
        read = await _told(db, told=_DAYS)
        assert await ground.settle(job, OutcomeKind.SENT) is JobStatus.SENT
        return await _told(db, told=_DAYS) - read


async def _rows_read_for_a_retry(url: str, *before: str, analysed: bool = True) -> int:
    """How many jobs are read when a retry is reserved, by a plan from when there were but two."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        for statement in (*before, *(["VACUUM ANALYZE warmup_jobs"] if analysed else ())):
            await others.execute(statement)
        worker, (recipient, first, second, *senders) = await ground.worker(), await ground.mailboxes(CROWD + 3)
        jobs = [await ground.grant(worker, ask(sender, recipient)) for sender in (first, second)]
        for waiting in [await ground.deferred(job, after(300)) for job in jobs]:
            read = await _told(others, db, told=_ROWS)
            await planned.grant(worker, retry(waiting), after(300))
            rows = await _told(db, told=_ROWS) - read
            await ground.reserve(worker, *(ask(one, recipient) for one in senders), at=after(300))
        return rows


async def _scans_of_grown_tables(url: str, *before: str) -> int:
    """How often tables are scanned for days and accounts, once a few rows have come that no plan knows of."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        for statement in (*before, *(f"VACUUM ANALYZE {table}" for table in READ)):
            await others.execute(statement)
        ground = Ground(others)
        await ground.lay()
        for _ in range(7):  # from the sixth time on a statement's plan is kept
            await days.load_days(db, [1])
            await days.open_days(db, [])
            await accounts.load_accounts(db, [1])
        await ground.mailboxes(20)
        loaded = await mailboxes.load_mailboxes(others, DEFAULTS)
        scans = await _told(others, db)
        wanted = [(one, TODAY + dt.timedelta(days=1), _tomorrow(), BUDGET) for one in loaded]
        ids = [one.id for one in loaded]
        assert len(await days.open_days(db, wanted)) == len(await days.load_days(db, ids)) == 20
        assert len(await accounts.load_accounts(db, ids)) == 20
        return await _told(db) - scans


async def _told(*told_by: Database, told: str = _SCANS) -> int:
    for db in told_by:
        await db.execute("SELECT pg_stat_force_next_flush()")
    number: int = await told_by[-1].fetchval(told, *([READ] if told == _SCANS else ()))
    return number


def _tomorrow() -> Window:
    return Window(opens_at=OPENS + dt.timedelta(days=1), closes_at=CLOSES + dt.timedelta(days=1))
