"""Taking over from the old system: who comes along, with which history, quota and ramp, and what is told."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import MadeFrom
from tests.store.old_database import HOST, KEY, Size, make_old_database, sends_on
from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.core.legacy_layout import find_layout
from warmupd.daemon.keyring import keyring_of
from warmupd.daemon.legacy_accounts import AccountTaker
from warmupd.daemon.legacy_import import take_over
from warmupd.daemon.legacy_report import Report
from warmupd.daemon.provider_search import ProviderSearch
from warmupd.mail.legacy_secret import OldKey
from warmupd.mail.records import Records
from warmupd.mail.vault import Vault
from warmupd.store.accounts import load_accounts
from warmupd.store.database import Database
from warmupd.store.legacy_source import open_source
from warmupd.store.users import find_user

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
TODAY = NOON.date()
SMALL = Size(accounts=12, users=3, days=20)
DAYS = "SELECT sum(old_sent) FROM mailbox_days"


@pytest.fixture(name="config")
def allowing() -> Config:
    return Config.isolated({"secrets.keys": [Vault.new_key()], "quota.variance": 0.0, "security.allow_hosts": [HOST]})


@pytest.fixture(name="old_template", scope="module")
def made_once(made_from: MadeFrom) -> Iterator[Callable[[bool], str]]:
    """The name of an old database, in Prisma's or in snake case, that each test copies."""
    with ExitStack() as stack:

        @cache
        def name(prisma: bool) -> str:
            url = stack.enter_context(made_from("template1"))
            with ThreadPoolExecutor(1) as thread:  # a test's event loop may run here
                thread.submit(asyncio.run, make_old_database(url, SMALL, now=NOON, prisma=prisma)).result()
            return urlsplit(url).path[1:]

        yield name


@pytest.fixture(params=[False, True], ids=["snake", "prisma"])
def old_url(old_template: Callable[[bool], str], made_from: MadeFrom, request: pytest.FixtureRequest) -> Iterator[str]:
    with made_from(old_template(request.param)) as url:
        yield url


@pytest.fixture(name="snake_url")
def made_in_snake_case(old_template: Callable[[bool], str], made_from: MadeFrom) -> Iterator[str]:
    with made_from(old_template(False)) as url:
        yield url


Importing = Callable[..., Any]


@pytest.fixture(name="importing")
def taking_over(db: Database, config: Config) -> Importing:
    """Takes over from a URL, and gives the report."""

    async def run(url: str, *, key: str = KEY, user: str = "", at: dt.datetime = NOON, **given: Any) -> Report:
        async with taking(db, config, url, key=key, user=user, at=at, **given) as taker:
            await take_over(taker, lambda *_: None)
            return taker.report

    return run


@asynccontextmanager
async def taking(
    db: Database,
    config: Config,
    url: str,
    *,
    key: str = KEY,
    user: str = "",
    at: dt.datetime = NOON,
    maps: dict[str, str] | None = None,
    dry: bool = False,
    plain: bool = False,
) -> AsyncIterator[AccountTaker]:
    clock = VirtualClock(at)
    heir = await find_user(db, user) if user else None
    async with open_source(url) as source, keyring_of(config, db, clock) as keyring:
        yield AccountTaker(
            config=config,
            db=db,
            clock=clock,
            source=source,
            layout=find_layout(await source.tables(), maps or {}, owner_given=heir is not None),
            keyring=keyring,
            old_key=OldKey(key),
            search=ProviderSearch(Records()),
            login=None,
            heir=heir,
            dry=dry,
            plain=plain,
        )


async def ask(url: str, statement: str, *arguments: object) -> None:
    """A statement in the old database."""
    connection = await asyncpg.connect(url)
    await connection.execute(statement, *arguments)
    await connection.close()


async def log(url: str, sender: int, status: str, *, at: dt.datetime = NOON) -> None:
    """A row of the old logs more."""
    moment = at.replace(tzinfo=None)
    await ask(url, "INSERT INTO logs (sender_id, status, timestamp) VALUES ($1, $2, $3)", sender, status, moment)


async def everything(db: Database) -> list[Any]:
    """All that an import writes."""
    return [
        await db.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("plans", "users", "mailboxes", "mailbox_days", "state_changes")
    ]


async def test_everybody_comes_along(db: Database, importing: Importing, old_url: str) -> None:
    report = await importing(old_url)
    assert (report.mailboxes, report.problems) == ({"enrolled": 11, "paused": 1}, [])
    assert (report.users["created"], report.plans) == (3, {"created": 2})
    rows = await db.fetch(
        "SELECT m.address, u.email, u.role, p.name AS plan, p.mailbox_limit FROM mailboxes m"
        " JOIN users u ON u.id = m.user_id JOIN plans p ON p.id = u.plan_id ORDER BY m.id"
    )
    assert {row["address"]: row["email"] for row in rows}["Box1@d1.test"] == "owner1@old.test"
    assert {(row["plan"], row["mailbox_limit"]) for row in rows} == {("Pro", 12)}
    assert {row["role"] for row in rows if row["email"] == "owner0@old.test"} == {"ADMIN"}


async def test_passwords_are_sealed_anew(db: Database, config: Config, importing: Importing, old_url: str) -> None:
    report = await importing(old_url)
    assert report.credentials == {"AES-256-GCM": 6, "plain": 6}
    vault = Vault([key.get_secret_value() for key in config.secrets.keys])
    accounts = await load_accounts(db, [row["id"] for row in await db.fetch("SELECT id FROM mailboxes")])
    for one in accounts.values():
        opened = vault.unseal(one.smtp_secret or b"", mailbox_id=one.mailbox_id, purpose="smtp")
        assert opened == f"pw-{one.smtp_username.removeprefix('box')}"


async def test_ramp_goes_on_where_it_was(db: Database, importing: Importing, old_url: str) -> None:
    await importing(old_url)
    rows = await db.fetch("SELECT smtp_username, ramp_days FROM mailboxes")
    reached = {int(row["smtp_username"].removeprefix("box")): row["ramp_days"] for row in rows}
    for number, ramp_days in reached.items():
        assert ramp_days == min(number % 21, 13), number
    assert reached[12] == 12


async def test_all_spellings_of_sent_count(db: Database, importing: Importing, old_url: str) -> None:
    report = await importing(old_url)
    assert set(report.statuses) == {"SENT", "sent", "Sent", "FAILED"}
    sent = await db.fetchval(DAYS)
    assert sent == report.sent == sum(n for word, n in report.statuses.items() if word != "FAILED")
    whole = await db.fetch(
        "SELECT d.day, d.sent, d.failed, d.quota FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id"
        " WHERE m.smtp_username = 'box5' ORDER BY d.day"
    )
    assert [row["sent"] for row in whole] == [5, 8, 11, 14, 17, 1]
    assert [row["failed"] for row in whole] == [1] * 5 + [0]


async def test_todays_sends_are_used_up_already(db: Database, importing: Importing, old_url: str) -> None:
    report = await importing(old_url)
    rows = await db.fetch(
        "SELECT m.ramp_days, d.* FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id WHERE d.day = $1", TODAY
    )
    assert report.today == {"mailboxes": 9, "sent": 18}
    assert len(rows) == 9
    for row in rows:
        assert row["taken"] == row["sent"] == row["old_sent"] > 0
        assert row["quota"] == sends_on(row["ramp_days"] + 1)


async def test_second_run_changes_nothing(db: Database, importing: Importing, old_url: str) -> None:
    await importing(old_url)
    before = await everything(db)
    report = await importing(old_url)
    assert report.mailboxes == {"unchanged": 12, "updated": 0}
    assert (report.users["known"], report.plans, report.problems) == (3, {"known": 2}, [])
    assert await everything(db) == before


async def test_counts_that_grew_are_added_once(db: Database, importing: Importing, snake_url: str) -> None:
    await importing(snake_url)
    await db.execute(
        "UPDATE mailbox_days SET taken = taken + 2, sent = sent + 2, attempts = attempts + 2 WHERE day = $1", TODAY
    )
    for _ in range(3):
        await log(snake_url, 5, " sent ")
    for _ in range(2):
        await importing(snake_url)
    row = await db.fetchrow(
        "SELECT d.* FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id"
        " WHERE smtp_username = 'box5' AND day = $1",
        TODAY,
    )
    assert row
    assert (row["old_sent"], row["sent"], row["taken"]) == (4, 6, 6)


async def test_dry_run_writes_nothing_and_tells_the_same(db: Database, importing: Importing, old_url: str) -> None:
    before = await everything(db)
    foreseen = (await importing(old_url, dry=True)).plain()
    assert await everything(db) == before
    done = (await importing(old_url)).plain()
    assert {**foreseen, "dry_run": False} == done
    again = (await importing(old_url, dry=True)).plain()
    assert again["mailboxes"] == {"updated": 0, "unchanged": 12}


async def test_old_database_cannot_be_written_to(snake_url: str) -> None:
    async with open_source(snake_url) as source:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await source.connection.execute("UPDATE accounts SET email = ''")


async def test_password_that_does_not_open_needs_its_owner(db: Database, importing: Importing, snake_url: str) -> None:
    report = await importing(snake_url, key="another key")
    assert report.credentials == {"not_opened": 6, "plain": 6}
    assert report.mailboxes == {"enrolled": 6, "auth_failed": 5, "paused": 1}
    row = await db.fetchrow("SELECT state, state_reason, last_remedy FROM mailboxes WHERE smtp_username = 'box1'")
    assert row
    assert row["state"] == "AUTH_FAILED"
    assert "does not open" in row["state_reason"]
    assert "mailbox set Box1@d1.test --password" in row["last_remedy"]
