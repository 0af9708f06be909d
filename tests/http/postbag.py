"""Mailboxes that have a past, for tests of what is told of them: days, jobs, sightings."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID, uuid4

from tests.http.conftest import NOW
from warmupd.store.database import Database
from warmupd.store.partitions import make_partitions

OPENS, CLOSES = NOW.replace(hour=6), NOW.replace(hour=22)


@dataclass(frozen=True, kw_only=True)
class Postbag:
    """Puts rows into a database."""

    db: Database

    async def mailbox(self, owner: str, address: str, *, provider: str = "gmail", pool: str | None = None) -> int:
        """A proven mailbox of that user, in their private pool or the shared one with that name."""
        found: int = await self.db.fetchval(
            "WITH shared AS (INSERT INTO pools (name) SELECT $4::text WHERE $4 IS NOT NULL"
            "  ON CONFLICT (lower(name)) WHERE owner_id IS NULL DO UPDATE SET name = pools.name RETURNING id)"
            " INSERT INTO mailboxes (user_id, pool_id, address, provider, smtp_host, smtp_port, smtp_security,"
            "  smtp_username, imap_host, imap_port, imap_security, imap_username, ramp_days, created_at)"
            " SELECT u.id, coalesce((SELECT id FROM shared), p.id), $2, $3, 'mail.test', 465, 'TLS', $2, 'mail.test',"
            "  993, 'TLS', $2, 4, $5 FROM users u JOIN pools p ON p.owner_id = u.id WHERE u.email = $1 RETURNING id",
            owner,
            address,
            provider,
            pool,
            NOW - dt.timedelta(days=6),
        )
        await self.db.execute("UPDATE proofs SET proven_at = $2 WHERE mailbox_id = $1", found, NOW)
        return found

    async def day(self, mailbox_id: int, *, ago: int = 0, quota: int = 17, **columns: int) -> None:
        """Its local day so many days ago."""
        names = "".join(f", {name}" for name in columns)
        values = "".join(f", {value}" for value in columns.values())
        back = dt.timedelta(days=ago)
        await self.db.execute(
            "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors,"
            f" taken{names}) SELECT id, $2, user_id, $3, $4, $5, $5, $6, $7, {columns.get('sent', 0)}{values}"
            " FROM mailboxes WHERE id = $1",
            mailbox_id,
            (NOW - back).date(),
            OPENS - back,
            CLOSES - back,
            quota,
            max(1, 5 - ago),
            [["ramp", quota]],
        )

    async def job(
        self,
        sender: int,
        recipient: int,
        *,
        at: dt.datetime = NOW,
        status: str = "SENT",
        error: str | None = None,
        found: str | None = None,
    ) -> int:
        """One send, and where it was found."""
        await make_partitions(self.db, at.date())
        ended = at if status in {"SENT", "REPLIED", "FAILED"} else None
        job: int = await self.db.fetchval(
            "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,"
            " attempt_token, picked_at, send_by, completed_at, thread_seed, created_at, error_message, outcome)"
            " SELECT $4::date, 'WARMUP', $3::job_status, id, user_id, $2, $4::date, $5::timestamptz, $6, $5, $5,"
            " $7, 1, $5, $8, 'told' FROM mailboxes WHERE id = $1 RETURNING id",
            sender,
            recipient,
            status,
            at.date(),
            at,
            uuid4(),
            ended,
            error,
        )
        if found:
            await self.db.execute(
                "INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder,"
                " uidvalidity, uid, message_id, thread_depth, star, rescue, file_at, delete_at)"
                " VALUES ($1, $2, $3, $4, $5, $6, 1, 'INBOX', 1, 1, '', 1, false, false, $6, $6)",
                at.date(),
                job,
                recipient,
                sender,
                found,
                at,
            )
        return job

    async def changed(self, mailbox_id: int, *, actor: str, became: str, at: dt.datetime = NOW) -> None:
        """A line of its history."""
        await self.db.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
            " VALUES ($1, $2, 'mailbox', $3, 'ACTIVE', $4, 'because')",
            at,
            actor,
            str(mailbox_id),
            became,
        )

    async def user_id(self, email: str) -> UUID:
        found: UUID = await self.db.fetchval("SELECT id FROM users WHERE email = $1", email)
        return found
