"""Rows to live through days with: users and their mailboxes, and what the rows say afterwards."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.mail.vault import Vault
from warmupd.store.database import Database

HOST = "mail.sandbox.test"


class World:
    """Enrols mailboxes in one shared pool."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self.db = db
        self.vault = vault
        self.passwords: dict[str, str] = {}
        self.owners: dict[str, tuple[int, int]] = {}  # address to mailbox and pool
        self._numbers = count(1)

    async def user(self, zone: str | None = None, **plan: int) -> UUID:
        """A user with a plan of their own; `plan` are columns of it."""
        number = next(self._numbers)
        plan_id = await self.db.fetchval("INSERT INTO plans (name) VALUES ($1) RETURNING id", f"plan {number}")
        for column, value in plan.items():
            await self.db.execute(f"UPDATE plans SET {column} = $2 WHERE id = $1", plan_id, value)
        user_id: UUID = await self.db.fetchval(
            "INSERT INTO users (email, plan_id, timezone) VALUES ($1, $2, $3) RETURNING id",
            f"owner{number}@owners.test",
            plan_id,
            zone,
        )
        return user_id

    async def enrol(
        self,
        number: int,
        user_id: UUID | None = None,
        *,
        quota: int = 10,
        zone: str | None = None,
        proven: bool = True,
        state: str = "ACTIVE",
        host: str = HOST,
        smtp_port: int = 587,
        imap_port: int = 993,
        **columns: Any,
    ) -> list[int]:
        """Mailboxes that owe `quota` a day (of a user of their own unless named)."""
        owner = user_id or await self.user(zone)
        pool_id = await self._pool()
        fixed = {"ramp_start": quota, "ramp_step": 0, "target_daily": quota, "min_daily": quota}
        ids = []
        for _ in range(number):
            n = next(self._numbers)
            address = f"box{n}@domain{n % 3}.test"
            values: Mapping[str, Any] = {
                "user_id": owner,
                "pool_id": pool_id,
                "address": address,
                "display_name": f"Person {n}",
                "state": state,
                "timezone": zone,
                "smtp_host": host,
                "smtp_port": smtp_port,
                "smtp_security": "STARTTLS",
                "smtp_username": address,
                "imap_host": host,
                "imap_port": imap_port,
                "imap_security": "TLS",
                "imap_username": address,
                **fixed,
                **columns,
            }
            names, holes = ", ".join(values), ", ".join(f"${n}" for n in range(1, len(values) + 1))
            mailbox_id = await self.db.fetchval(
                f"INSERT INTO mailboxes ({names}) VALUES ({holes}) RETURNING id", *values.values()
            )
            await self._seal(mailbox_id, address)
            self.owners[address] = (mailbox_id, pool_id)
            ids.append(mailbox_id)
        if proven:
            await self.db.execute("UPDATE proofs SET proven_at = now() WHERE mailbox_id = ANY ($1)", ids)
        return ids

    async def change(self, mailbox_ids: Sequence[int], **columns: Any) -> None:
        """Set columns of mailboxes, as their owner would."""
        for column, value in columns.items():
            await self.db.execute(
                f"UPDATE mailboxes SET {column} = $2, changed_at = clock_timestamp() WHERE id = ANY ($1)",
                mailbox_ids,
                value,
            )

    async def address(self, mailbox_id: int) -> str:
        address: str = await self.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", mailbox_id)
        return address

    # -- what the rows say ----------------------------------------------------------------------------------------

    async def days(self, mailbox_ids: Sequence[int], day: dt.date | None = None) -> list[asyncpg.Record]:
        return await self.db.fetch(
            "SELECT * FROM mailbox_days WHERE mailbox_id = ANY ($1) AND ($2::date IS NULL OR day = $2)"
            " ORDER BY mailbox_id, day",
            mailbox_ids,
            day,
        )

    async def sent(self, mailbox_ids: Sequence[int], day: dt.date | None = None) -> list[int]:
        return [row["sent"] for row in await self.days(mailbox_ids, day)]

    async def statuses(self) -> dict[str, int]:
        rows = await self.db.fetch("SELECT status, count(*) AS n FROM warmup_jobs GROUP BY 1")
        return {row["status"]: row["n"] for row in rows}

    async def jobs(self, mailbox_id: int) -> list[asyncpg.Record]:
        return await self.db.fetch("SELECT * FROM warmup_jobs WHERE mailbox_id = $1 ORDER BY id", mailbox_id)

    async def mailbox(self, mailbox_id: int) -> asyncpg.Record:
        row = await self.db.fetchrow(
            "SELECT * FROM mailboxes m JOIN mailbox_pace p ON p.mailbox_id = m.id"
            " JOIN mailbox_visits v ON v.mailbox_id = m.id JOIN proofs f ON f.mailbox_id = m.id WHERE m.id = $1",
            mailbox_id,
        )
        assert row is not None
        return row

    async def _pool(self) -> int:
        pool_id: int = await self.db.fetchval(
            "INSERT INTO pools (name) SELECT 'shared' WHERE NOT EXISTS (SELECT FROM pools WHERE name = 'shared')"
            " RETURNING id"
        ) or await self.db.fetchval("SELECT id FROM pools WHERE name = 'shared'")
        return pool_id

    async def _seal(self, mailbox_id: int, address: str) -> None:
        password = self.passwords[address] = f"hush-{mailbox_id}-{address.partition('@')[0]}"
        await self.db.execute(
            "UPDATE mailboxes SET smtp_secret = $2, imap_secret = $3 WHERE id = $1",
            mailbox_id,
            self.vault.seal(password, mailbox_id=mailbox_id, purpose="smtp"),
            self.vault.seal(password, mailbox_id=mailbox_id, purpose="imap"),
        )
