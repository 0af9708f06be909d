"""Migrations while others send: no great table is read or rewritten under a lock that they wait for."""

from warmupd.store.database import Database
from warmupd.store.migrate import migrate


async def test_new_columns_of_days_come_without_reading_them(empty_database_url: str) -> None:
    async with await Database.open(empty_database_url, pool_size=2, application_name="tests") as db:
        await migrate(db, upto=14)
        known = await db.fetchval("SELECT array_agg(oid) FROM pg_constraint WHERE conrelid = 'mailbox_days'::regclass")
        node = await db.fetchval("SELECT pg_relation_filenode('mailbox_days')")
        await migrate(db)
        fresh = await db.fetch(
            "SELECT conname, convalidated FROM pg_constraint"
            " WHERE conrelid = 'mailbox_days'::regclass AND contype = 'c' AND NOT oid = ANY ($1)",
            known,
        )
        assert [tuple(row) for row in fresh] == [("mailbox_days_old", False)]
        assert await db.fetchval("SELECT pg_relation_filenode('mailbox_days')") == node
