"""The tables whose rows name their user: what hangs on a user, whoever adds another such table."""

from warmupd.store.database import Database


async def tables_of_users(db: Database) -> list[str]:
    """Quoted, in order, but for mailboxes and jobs: days, counts, sessions, tokens, links, settings."""
    rows = await db.fetch(
        """
        SELECT quote_ident(c.relname) AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND NOT c.relispartition AND pg_table_is_visible(c.oid) AND a.attname = 'user_id'
          AND a.atttypid = 'uuid'::regtype AND c.relname <> 'mailboxes' ORDER BY 1
        """
    )
    return [row["name"] for row in rows]
