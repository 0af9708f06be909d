"""Every SQL statement that the program runs, and the embedded Postgres. asyncpg lives only here."""
