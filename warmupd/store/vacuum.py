"""What keeps Postgres from clearing away dead rows: the oldest snapshot that still needs them, and how old ids are."""

from dataclasses import dataclass

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """How far back our database's rows must be kept. All are 0 where nothing holds them."""

    seconds: float  # since the oldest transaction that holds them began; of a replication slot nobody knows that
    transactions: int  # that have begun since
    txid_age: int  # transactions since our database was last frozen; writes stop at about two billion


async def horizon(db: Database) -> Horizon:
    """Of sessions, prepared transactions, replication slots and standbys, without this session and VACUUM's own."""
    (row,) = await db.fetch(
        """
        SELECT coalesce(extract(epoch FROM clock_timestamp() - min(h.since)), 0)::float8 AS seconds,
               coalesce(max(age(h.xmin)), 0) AS transactions,
               (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()) AS txid_age
        FROM (
            SELECT xact_start AS since, coalesce(backend_xmin, backend_xid) AS xmin FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
              AND coalesce(backend_xmin, backend_xid) IS NOT NULL
            UNION ALL SELECT prepared, transaction FROM pg_prepared_xacts WHERE database = current_database()
            UNION ALL SELECT NULL, xmin FROM pg_replication_slots WHERE xmin IS NOT NULL
            UNION ALL SELECT NULL, backend_xmin FROM pg_stat_replication WHERE backend_xmin IS NOT NULL
        ) AS h
        """
    )
    return Horizon(seconds=max(0.0, row["seconds"]), transactions=row["transactions"], txid_age=row["txid_age"])
