"""A database as the old system may have left it: mixed-case statuses, a sends-a-day that rose, sealed passwords.

`python -m tests.store.old_database URL 10000` makes a large one.
"""

import asyncio
import datetime as dt
import os
import sys
from dataclasses import dataclass

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = "6b65792d6f662d7468652d6f6c642d73797374656d2d33322d62797465732121"  # 32 bytes in hex, as ENCRYPTION_KEY was
HOST = "203.0.113.10"  # of nobody (RFC 5737), so that no name has to be resolved; security.allow_hosts must name it
SPELLINGS = ("SENT", "sent", "Sent")

_SNAKE = """
    CREATE TABLE plans (id serial PRIMARY KEY, name text, priority int, max_mailboxes int, hourly_limit int,
                        daily_limit int);
    CREATE TABLE users (id uuid PRIMARY KEY, email text, name text, role text, password_hash text, plan_id int);
    CREATE TABLE accounts (id serial PRIMARY KEY, user_id uuid, email text, from_name text, smtp_host text,
                           smtp_port int, smtp_user text, smtp_password text, imap_host text, imap_port int,
                           imap_user text, imap_password text, is_active boolean DEFAULT true, warmup_day int,
                           warmup_started_at timestamp, timezone text, daily_limit int);
    CREATE TABLE logs (id bigserial PRIMARY KEY, sender_id int, recipient_id int, status varchar(20),
                       timestamp timestamp(3));
    CREATE TABLE warmup_logs (id serial PRIMARY KEY, mailbox_id int, date date, sent_count int, daily_limit int);
"""
# As Prisma writes it: models and fields in their own case, ids of text, DateTime without a zone, an ENUM of statuses.
_PRISMA = """
    CREATE TYPE "LogStatus" AS ENUM ('SENT', 'sent', 'Sent', 'FAILED', 'PENDING');
    CREATE TABLE "Plan" ("id" text PRIMARY KEY, "name" text, "priority" int, "maxMailboxes" int, "hourlyLimit" int);
    CREATE TABLE "User" ("id" text PRIMARY KEY, "email" text, "name" text, "role" text, "passwordHash" text,
                         "planId" text);
    CREATE TABLE "Account" ("id" text PRIMARY KEY, "userId" text, "email" text, "fromName" text, "smtpHost" text,
                            "smtpPort" int, "smtpUser" text, "smtpPassword" text, "imapHost" text, "imapPort" int,
                            "imapUser" text, "imapPassword" text, "isActive" boolean DEFAULT true, "warmupDay" int,
                            "warmupStartedAt" timestamp(3), "timezone" text);
    CREATE TABLE "Log" ("id" bigserial PRIMARY KEY, "senderId" text, "status" "LogStatus", "timestamp" timestamp(3));
    CREATE TABLE "WarmupLog" ("id" bigserial PRIMARY KEY, "mailboxId" text, "date" timestamp(3), "sentCount" int,
                              "dailyLimit" int);
"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is."""

    accounts: int = 12
    users: int = 3
    days: int = 20  # since the oldest account began; the n-th account began n days ago, modulo this


async def make_old_database(url: str, size: Size, *, now: dt.datetime, prisma: bool = False) -> None:
    """Make its tables, and fill them. On its n-th day an account sent what the default ramp owes; today up to three."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET timezone TO 'UTC'")
        await connection.execute(_PRISMA if prisma else _SNAKE)
        await _fill(connection, size, now.astimezone(dt.UTC).replace(tzinfo=None), prisma=prisma)
    finally:
        await connection.close()


def sends_on(day: int) -> int:
    """What an account sent on its `day`-th day."""
    return min(40, 5 + 3 * (day - 1))


def sealed(password: str, key: str = KEY) -> str:
    """By AES-256-GCM, as node's crypto is mostly used: iv, tag and text in hex."""
    iv = os.urandom(12)
    data = AESGCM(bytes.fromhex(key)).encrypt(iv, password.encode(), None)
    return f"{iv.hex()}:{data[-16:].hex()}:{data[:-16].hex()}"


async def _fill(
    connection: "asyncpg.Connection[asyncpg.Record]", size: Size, now: dt.datetime, *, prisma: bool
) -> None:
    names = ("Plan", "User", "Account") if prisma else ("plans", "users", "accounts")
    owners = [f"00000000-0000-4000-8000-{n:012d}" for n in range(size.users)]
    plans = [("1", "free", 0, 0, 100, 300), ("2", "Pro", 5, size.accounts, 2000, 5000)]
    for plan in plans:
        if prisma:
            await connection.execute('INSERT INTO "Plan" VALUES ($1, $2, $3, $4, $5)', *plan[:5])
        else:
            await connection.execute("INSERT INTO plans VALUES ($1, $2, $3, $4, $5, $6)", int(plan[0]), *plan[1:])
    bcrypt = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
    users = [
        (owner, f"owner{n}@old.test", f"Owner {n}", "admin" if n == 0 else "user", bcrypt, "2" if prisma else 2)
        for n, owner in enumerate(owners)
    ]
    await connection.copy_records_to_table(names[1], records=users)
    accounts = []
    for n in range(1, size.accounts + 1):
        began, password = n % (size.days + 1), f"pw-{n}"
        kept = sealed(password) if n % 2 else password
        account = (
            f"acc{n}" if prisma else n,
            owners[n % size.users],
            f"Box{n}@d{n % 50}.test",
            f"Box {n}",
            *(HOST, 587, f"box{n}", kept),
            *(HOST, 993, f"box{n}", kept),
            n % 10 != 9,
            began + 1,
            now - dt.timedelta(days=began),
            None,
        )
        accounts.append(account if prisma else (*account, 10))
    await connection.copy_records_to_table(names[2], records=accounts)
    await _log(connection, size, now, prisma=prisma)


async def _log(connection: "asyncpg.Connection[asyncpg.Record]", size: Size, now: dt.datetime, *, prisma: bool) -> None:
    """A row a send, in all spellings, a failure a day, and a daily count that every fifth account has at nought."""
    logs, counts = (
        '"Log" ("senderId", status, timestamp)',
        '"WarmupLog" ("mailboxId", date, "sentCount", "dailyLimit")',
    )
    if not prisma:
        logs, counts = "logs (sender_id, status, timestamp)", "warmup_logs (mailbox_id, date, sent_count, daily_limit)"
    number, kind = ("'acc' || n", '::"LogStatus"') if prisma else ("n", "")
    numbers, began = f"generate_series(1, {size.accounts}) AS n", f"n % {size.days + 1}"
    days = f"""
        (SELECT n, k, $1::timestamp::date - ({began} - k + 1) AS day, least(40, 5 + 3 * (k - 1)) AS sent
         FROM {numbers}, generate_series(1, {began}) AS k
         UNION ALL SELECT n, {began} + 1, $1::timestamp::date, n % 4 FROM {numbers})
    """
    words = "(ARRAY['SENT', 'sent', 'Sent'])[1 + s % 3]"
    await connection.execute(
        f"INSERT INTO {logs} SELECT {number}, ({words}){kind}, least(day + time '08:00' + s * interval '10 min', $1)"
        f" FROM {days} AS d, generate_series(1, sent) AS s"
        f" UNION ALL SELECT {number}, 'FAILED'{kind}, day + time '09:00' FROM {days} AS d"
        f" WHERE day < $1::timestamp::date",
        now,
    )
    await connection.execute(
        f"INSERT INTO {counts} SELECT {number}, day, CASE WHEN n % 5 = 0 THEN 0 ELSE sent END, sent + 2"
        f" FROM {days} AS d",
        now,
    )


if __name__ == "__main__":
    wanted = Size(accounts=int(sys.argv[2]), users=int(sys.argv[2]) // 10, days=30)
    asyncio.run(make_old_database(sys.argv[1], wanted, now=dt.datetime.now(dt.UTC)))
