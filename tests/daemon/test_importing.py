"""Importing as a process: what is asked, and what is saved when it ends early."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.core.sheet import read_sheet
from warmupd.core.sheet_application import Given
from warmupd.daemon import enrolling as enrolling_module
from warmupd.daemon import importing as importing_module
from warmupd.daemon.enrolling import Enroller
from warmupd.daemon.importing import Import
from warmupd.daemon.keyring import keyring_of
from warmupd.daemon.login_check import Refusal
from warmupd.daemon.provider_search import ProviderSearch
from warmupd.errors import DatabaseUnavailable
from warmupd.mail.account import Account
from warmupd.mail.oauth import TokenClient, Tokens, TokensUnavailable
from warmupd.mail.records import DnsUnanswered, Records
from warmupd.mail.vault import Vault
from warmupd.store.accounts import load_accounts
from warmupd.store.database import Database
from warmupd.store.users import Role, User, add_user, find_user

OWNER = "owner@example.test"


@pytest.fixture
def config() -> Config:
    return Config.isolated({"secrets.keys": [Vault.new_key()]})


@pytest.fixture
async def user(db: Database) -> User:
    await add_user(db, email=OWNER, role=Role.USER, actor="test", at=SystemClock().now())
    return await find_user(db, OWNER)


@pytest.fixture
async def enroller(db: Database, config: Config, user: User) -> AsyncIterator[Enroller]:
    async with keyring_of(config, db, SystemClock()) as keyring:
        yield Enroller(config, db, SystemClock(), user=user, keyring=keyring, login=None, actor="test")


def sheet_of(number: int) -> Import:
    text = "email,password\n" + "".join(f"m{n}@gmail.com,hush-{n}\n" for n in range(number))
    return Import(read_sheet(text.encode()), Given())


async def compared(importing: Import, db: Database, user: User, enroller: Enroller) -> Import:
    await importing.compare(db, user.id, enroller, ProviderSearch(Records()))
    return importing


async def test_secrets_are_those_of_their_row(db: Database, config: Config, user: User, enroller: Enroller) -> None:
    importing = await compared(sheet_of(450), db, user, enroller)
    await importing.save(enroller, lambda *_: None)
    vault = Vault([key.get_secret_value() for key in config.secrets.keys])
    ids = {row.mailbox_id: f"hush-{n}" for n, row in enumerate(importing.rows) if row.mailbox_id}
    accounts = await load_accounts(db, list(ids))
    opened = {
        one.mailbox_id: vault.unseal(one.imap_secret or b"", mailbox_id=one.mailbox_id, purpose="imap")
        for one in accounts.values()
    }
    assert opened == ids
    assert len(ids) == 450


async def test_interrupted_while_saving_it_knows_what_is_saved(
    db: Database, user: User, enroller: Enroller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_module, "BATCH", 10)
    importing = await compared(sheet_of(50), db, user, enroller)
    begun, save = asyncio.Event(), enroller.save

    async def slow(candidates: Any) -> Any:
        begun.set()
        await asyncio.sleep(0)  # a turn of the loop, in which the cancellation comes
        return await save(candidates)

    monkeypatch.setattr(enroller, "save", slow)
    saving = asyncio.create_task(importing.save(enroller, lambda *_: None))
    await begun.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    importing.abandon()
    assert (importing.counts()["enrolled"], importing.counts()["rejected"]) == (10, 40)
    assert await db.fetchval("SELECT count(*) FROM mailboxes WHERE smtp_secret IS NOT NULL") == 10
    assert await db.fetchval("SELECT count(*) FROM mailboxes") == 10


async def test_lost_database_leaves_whole_rows_that_count_as_enrolled_the_next_time(
    db: Database, user: User, enroller: Enroller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_module, "BATCH", 10)
    importing, save = await compared(sheet_of(30), db, user, enroller), enroller.save
    turns = iter([False, True])

    async def lost(candidates: Any) -> Any:
        answers = await save(candidates)
        if next(turns):
            raise DatabaseUnavailable("it went away before it said so")
        return answers

    monkeypatch.setattr(enroller, "save", lost)
    with pytest.raises(DatabaseUnavailable):
        await importing.save(enroller, lambda *_: None)
    again = await compared(sheet_of(30), db, user, enroller)
    assert again.counts() == {"good": 10, "enrolled": 0, "already enrolled": 20, "rejected": 0}


async def test_database_that_is_away_is_no_fault_of_a_row(
    db: Database, user: User, enroller: Enroller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Any) -> None:
        raise DatabaseUnavailable("away")

    importing = await compared(sheet_of(3), db, user, enroller)
    monkeypatch.setattr(enroller, "admit", away)
    with pytest.raises(DatabaseUnavailable):
        await importing.check(enroller, lambda *_: None)
    assert importing.counts()["rejected"] == 0


async def test_rows_beyond_the_plan_bother_no_server(db: Database, config: Config, user: User) -> None:
    await db.execute("UPDATE plans SET mailbox_limit = 2")
    asked = []

    async def login(account: Account) -> list[Any]:
        asked.append(account.address)
        return []

    importing = sheet_of(5)
    async with keyring_of(config, db, SystemClock()) as keyring:
        enroller = Enroller(config, db, SystemClock(), user=user, keyring=keyring, login=login, actor="test")
        await (await compared(importing, db, user, enroller)).check(enroller, lambda *_: None)
    assert sorted(asked) == ["m0@gmail.com", "m1@gmail.com"]  # at the same time: whose host is known first comes first
    assert importing.counts()["rejected"] == 3


async def test_dry_check_shows_no_refresh_token_to_anybody(db: Database, config: Config, user: User) -> None:
    importing = Import(read_sheet(b"email,oauth,refresh_token\nanna@gmail.com,google,refresh-1-hush\n"), Given())
    async with keyring_of(config, db, SystemClock()) as keyring:  # without a client: who asks would be refused
        enroller = Enroller(config, db, SystemClock(), user=user, keyring=keyring, login=_nobody_asked, actor="test")
        await (await compared(importing, db, user, enroller)).check(enroller, lambda *_: None, dry=True)
    (row,) = importing.rows
    assert (row.state, row.candidate and row.candidate.tokens) == (importing_module.RowState.GOOD, None)
    assert "was not tried" in row.told


async def test_room_that_one_leaves_another_gets(db: Database, config: Config, user: User) -> None:
    await db.execute("UPDATE plans SET mailbox_limit = 2")

    async def login(account: Account) -> list[Any]:
        refusal = Refusal(protocol="SMTP", host="h", port=1, message="no", remedy="")
        return [refusal] if account.address == "m0@gmail.com" else []

    importing, told = sheet_of(4), []
    async with keyring_of(config, db, SystemClock()) as keyring:
        enroller = Enroller(config, db, SystemClock(), user=user, keyring=keyring, login=login, actor="test")
        await (await compared(importing, db, user, enroller)).check(enroller, lambda *counts: told.append(counts))
    assert [row.address for row in importing.good] == ["m1@gmail.com", "m2@gmail.com"]
    assert "allows 2" in importing.rows[3].reason
    assert told == [(1, 4), (2, 4), (3, 4)]


async def test_who_is_not_let_in_does_not_learn_that_another_has_the_address(
    db: Database, config: Config, user: User, enroller: Enroller
) -> None:
    await (await compared(sheet_of(2), db, user, enroller)).save(enroller, lambda *_: None)
    await add_user(db, email="other@example.test", role=Role.USER, actor="test", at=SystemClock().now())
    other = await find_user(db, "other@example.test")

    async def login(account: Account) -> list[Any]:
        refusal = Refusal(protocol="SMTP", host="h", port=1, message="no", remedy="")
        return [refusal] if account.address == "m0@gmail.com" else []

    importing = sheet_of(2)
    async with keyring_of(config, db, SystemClock()) as keyring:
        theirs = Enroller(config, db, SystemClock(), user=other, keyring=keyring, login=login, actor="test")
        await (await compared(importing, db, other, theirs)).check(theirs, lambda *_: None)
    assert "not let in" in importing.rows[0].reason
    assert "enrolled already" in importing.rows[1].reason


async def _all_well(*_: Any) -> None:
    return None


async def test_one_grant_that_is_put_off_is_asked_again_and_keeps_nobody_away(
    db: Database, config: Config, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def refresh(_: Any, registration: Any, token: str) -> Tokens:
        asked.append(token)
        if asked.count(token) == 1:
            raise TokensUnavailable("429", retry_after=0.01)
        return Tokens(access=f"access-{token}", refresh=token, seconds=3600.0)

    async def login(_: Account) -> list[Any]:
        return []

    monkeypatch.setattr(TokenClient, "refresh", refresh)
    monkeypatch.setattr(enrolling_module, "check_hosts", _all_well)  # no names to be resolved here
    rows = "".join(f"m{n}@gmail.com,google,refresh-{n}\n" for n in range(20))
    importing = Import(read_sheet(f"email,oauth,refresh_token\n{rows}".encode()), Given())
    async with keyring_of(config, db, SystemClock()) as keyring:
        enroller = Enroller(config, db, SystemClock(), user=user, keyring=keyring, login=login, actor="test")
        await (await compared(importing, db, user, enroller)).check(enroller, lambda *_: None)
        began = SystemClock().now()
        assert (len(importing.good), len(asked)) == (20, 40)
        tokens = importing.rows[0].candidate and importing.rows[0].candidate.tokens
        assert tokens
        grant = keyring.tokens.sealed(1, "GOOGLE", tokens)
    assert grant.expires_at
    assert grant.expires_at < began + dt.timedelta(seconds=3600)  # by when it was asked for, not by when it is saved


async def test_token_is_had_when_its_login_is_near(
    db: Database, config: Config, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: set[str] = set()
    most = 0

    async def refresh(_: Any, registration: Any, token: str) -> Tokens:
        nonlocal most
        held.add(token)
        most = max(most, len(held))
        return Tokens(access=token, refresh=token, seconds=3600.0)

    async def login(account: Account) -> list[Any]:
        await asyncio.sleep(0.001)  # a login takes longer than a token: else none would queue
        held.discard(account.smtp.password)
        return []

    monkeypatch.setattr(TokenClient, "refresh", refresh)
    monkeypatch.setattr(enrolling_module, "check_hosts", _all_well)  # no names to be resolved here
    rows = "".join(f"m{n}@gmail.com,google,refresh-{n}\n" for n in range(200))
    importing = Import(read_sheet(f"email,oauth,refresh_token\n{rows}".encode()), Given())
    lanes = asyncio.Semaphore(2)

    async def queued(account: Account) -> list[Any]:
        async with lanes:
            return await login(account)

    async with keyring_of(config, db, SystemClock()) as keyring:
        enroller = Enroller(config, db, SystemClock(), user=user, keyring=keyring, login=queued, actor="test")
        await (await compared(importing, db, user, enroller)).check(enroller, lambda *_: None)
    assert len(importing.good) == 200
    assert most <= 2 * config.sending.max_concurrent


async def test_token_endpoint_that_gives_nothing_is_not_asked_by_everybody(
    db: Database, config: Config, user: User
) -> None:
    async with TokenServer().running() as provider:
        google = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_url": provider.url}
        settings = {f"oauth.google.{name}": value for name, value in google.items()}
        config = Config.isolated({"secrets.keys": [Vault.new_key()], **settings})
        provider.refusal = (503, {})
        rows = "".join(f"m{n}@gmail.com,google,refresh-{n}-hush\n" for n in range(100))
        importing = Import(read_sheet(f"email,oauth,refresh_token\n{rows}".encode()), Given())
        async with keyring_of(config, db, SystemClock()) as keyring:
            enroller = Enroller(
                config, db, SystemClock(), user=user, keyring=keyring, login=_nobody_asked, actor="test"
            )
            await (await compared(importing, db, user, enroller)).check(enroller, lambda *_: None)
    assert importing.counts()["rejected"] == 100
    assert len(provider.asked) <= 20
    assert "hush" not in str([row.told for row in importing.rows])


async def _nobody_asked(_: Account) -> list[Any]:
    raise AssertionError("nobody has a token")


class SilentRecords(Records):
    """Name servers that do not answer."""

    asked = 0

    async def exchanges(self, domain: str) -> tuple[str, ...]:
        self.asked += 1
        await asyncio.sleep(0)  # as a real answer does: the others get a turn meanwhile
        raise DnsUnanswered(domain)


async def test_silent_name_servers_are_not_asked_for_every_domain(db: Database, user: User, enroller: Enroller) -> None:
    rows = "".join(f"m@d{n}.test,hush\n" for n in range(200))
    importing, records = Import(read_sheet(f"email,password\n{rows}".encode()), Given()), SilentRecords()
    await importing.compare(db, user.id, enroller, ProviderSearch(records))
    assert importing.counts()["rejected"] == 200
    assert records.asked <= 20


async def test_domain_is_asked_for_once(db: Database, user: User, enroller: Enroller) -> None:
    rows = "".join(f"m{n}@one.test,hush\n" for n in range(200))
    importing, records = Import(read_sheet(f"email,password\n{rows}".encode()), Given()), SilentRecords()
    await importing.compare(db, user.id, enroller, ProviderSearch(records))
    assert records.asked == 1
