"""A plan that was made while the tables were empty is not one that reads them whole once they are full."""

import datetime as dt

import pytest

from tests.store.rows import CLOSES, OPENS, TODAY, Ground
from tests.store.test_days import DEFAULTS
from warmupd.core.ramp import Budget
from warmupd.core.window import Window
from warmupd.store import accounts, days, mailboxes
from warmupd.store.database import Database

BUDGET = Budget(quota=8, floor=5, ramp_day=2, factors=(("ramp", 8),))
_SCANS = "SELECT sum(seq_scan)::int FROM pg_stat_user_tables WHERE relname = ANY ($1)"
READ = ["mailbox_days", "mailboxes"]


async def test_days_and_accounts_are_had_by_their_keys_by_a_plan_from_when_there_were_none(database_url: str) -> None:
    assert await _scans_of_grown_tables(database_url) == 0


@pytest.mark.parametrize("function", ["last_days", "open_mailbox_days", "accounts_of"])
async def test_without_its_setting_each_would_scan(database_url: str, function: str) -> None:
    assert await _scans_of_grown_tables(database_url, f"ALTER FUNCTION {function} RESET enable_seqscan") > 0


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


async def _told(*told_by: Database) -> int:
    for db in told_by:
        await db.execute("SELECT pg_stat_force_next_flush()")
    scans: int = await told_by[-1].fetchval(_SCANS, READ)
    return scans


def _tomorrow() -> Window:
    return Window(opens_at=OPENS + dt.timedelta(days=1), closes_at=CLOSES + dt.timedelta(days=1))
