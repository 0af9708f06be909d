"""Old accounts with something the matter: each is told with its row, its reason and what to do."""

import base64
import datetime as dt
from typing import Any

import pytest

from tests.daemon.test_legacy import (  # fixtures are named otherwise than what makes them
    NOON,
    TODAY,
    Importing,
    allowing,  # noqa: F401
    ask,
    everything,
    log,
    made_in_snake_case,  # noqa: F401
    made_once,  # noqa: F401
    taking,
    taking_over,  # noqa: F401
)
from tests.store.old_database import HOST, sealed
from warmupd.config import Config
from warmupd.daemon import legacy_import
from warmupd.daemon.keeping import HISTORY
from warmupd.daemon.legacy_accounts import AccountTaker
from warmupd.daemon.legacy_history import REACH
from warmupd.daemon.legacy_import import take_over
from warmupd.errors import DatabaseUnavailable
from warmupd.store.database import Database
from warmupd.store.keeping import roll_up_days
from warmupd.store.removals import remove_mailboxes
from warmupd.store.users import Role, add_user

INSERT = "INSERT INTO accounts (id, user_id, email, smtp_host, smtp_port, smtp_password, imap_host) VALUES "
OWNER = "'00000000-0000-4000-8000-000000000001'"


async def encrypt_in_one(url: str) -> None:
    """Every password as base64 of iv, tag and text."""
    secrets = [base64.b64encode(bytes.fromhex(sealed(f"pw-{n}").replace(":", ""))).decode() for n in range(1, 13)]
    await ask(
        url,
        "UPDATE accounts a SET smtp_password = s.secret, imap_password = s.secret"
        " FROM unnest($1::text[]) WITH ORDINALITY AS s (secret, id) WHERE a.id = s.id",
        secrets,
    )


def told(report: Any, row: str) -> str:
    return next(f"{one.reason}; {one.remedy}" for one in report.problems if one.id == row)


async def test_row_that_cannot_be_read_is_named_and_others_go_on(importing: Importing, snake_url: str) -> None:
    rows = [
        f"(101, {OWNER}, 'no address', '203.0.113.10', 587, 'x', '203.0.113.10')",
        f"(102, {OWNER}, 'private@x.test', '10.0.0.1', 587, 'x', '203.0.113.10')",
        f"(103, {OWNER}, 'odd@x.test', '203.0.113.10', 99, 'x', '203.0.113.10')",
        f"(104, {OWNER}, 'none@x.test', NULL, NULL, 'x', NULL)",
        "(105, NULL, 'nobodys@x.test', '203.0.113.10', 587, 'x', '203.0.113.10')",
        f"(106, {OWNER}, 'silent@x.test', '203.0.113.10', 587, NULL, '203.0.113.10')",
        f"(107, {OWNER}, 'hashed@x.test', '203.0.113.10', 587, '$2b$10$' || repeat('a', 53), '203.0.113.10')",
    ]
    await ask(snake_url, INSERT + ", ".join(rows))
    report = await importing(snake_url)
    assert "is not an e-mail address" in told(report, "101")
    assert "10.0.0.1" in told(report, "102")
    assert "security.allow_hosts" in told(report, "102")
    assert "how it is secured" in told(report, "103")
    assert "not known" in told(report, "104")
    assert "--user EMAIL" in told(report, "105")
    assert "has no password" in told(report, "106")
    assert "hash" in told(report, "107")
    assert report.mailboxes == {"enrolled": 11, "paused": 1, "rejected": 5, "auth_failed": 2}


async def test_one_address_is_one_mailbox_and_both_rows_sends_count(
    db: Database,
    importing: Importing,
    snake_url: str,
) -> None:
    await ask(snake_url, "UPDATE accounts SET email = 'box5@bücher.test' WHERE id = 5")
    await ask(snake_url, INSERT + f"(201, {OWNER}, 'BOX5@xn--bcher-kva.test', '{HOST}', 587, 'x', '{HOST}')")
    await ask(
        snake_url, "INSERT INTO logs (sender_id, status, timestamp) VALUES (201, 'Sent', $1)", NOON.replace(tzinfo=None)
    )
    report = await importing(snake_url)
    assert report.mailboxes["duplicate"] == 1
    row = await db.fetch(
        "SELECT d.sent FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id"
        " WHERE lower(m.address) = 'box5@xn--bcher-kva.test' AND d.day = $1",
        TODAY,
    )
    assert [one["sent"] for one in row] == [2]


async def test_who_was_removed_here_does_not_come_back(db: Database, importing: Importing, snake_url: str) -> None:
    await importing(snake_url)
    ids = [row["id"] for row in await db.fetch("SELECT id FROM mailboxes WHERE smtp_username = 'box5'")]
    await remove_mailboxes(db, ids, actor="cli", reason="", clean=False, at=NOON)
    report = await importing(snake_url)
    assert "was removed after it had been taken over" in told(report, "5")
    assert await db.fetchval("SELECT count(*) FROM mailboxes WHERE state <> 'REMOVED'") == 11


async def test_what_its_owner_changed_here_stays(db: Database, importing: Importing, snake_url: str) -> None:
    await importing(snake_url)
    await db.execute("UPDATE mailboxes SET target_daily = 12, smtp_host = 'other.example', state = 'PAUSED'")
    await db.execute("UPDATE plans SET per_hour = 7")
    before = await everything(db)
    await importing(snake_url)
    assert await everything(db) == before


async def test_ramp_that_was_reset_here_stays_reset(db: Database, importing: Importing, snake_url: str) -> None:
    await importing(snake_url)
    await db.execute("UPDATE mailboxes SET ramp_days = 0 WHERE smtp_username = 'box5'")
    await db.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)"
        " SELECT $1, 'cli', 'mailbox', id::text, 'ramp', '5', '0', 'x' FROM mailboxes WHERE smtp_username = 'box5'",
        NOON,
    )
    await importing(snake_url)
    assert await db.fetchval("SELECT ramp_days FROM mailboxes WHERE smtp_username = 'box5'") == 0


async def test_address_of_another_user_is_left_alone(db: Database, importing: Importing, snake_url: str) -> None:
    await importing(snake_url)
    other = await add_user(db, email="other@x.test", role=Role.USER, actor="test", at=NOON)
    await db.execute(
        "UPDATE mailboxes SET user_id = $1, pool_id = (SELECT id FROM pools WHERE owner_id = $1)"
        " WHERE smtp_username = 'box5'",
        other,
    )
    await ask(
        snake_url, "INSERT INTO logs (sender_id, status, timestamp) VALUES (5, 'sent', $1)", NOON.replace(tzinfo=None)
    )
    before = await everything(db)
    report = await importing(snake_url)
    assert "is enrolled already" in told(report, "5")
    assert await everything(db) == before


async def test_plan_that_is_full_takes_no_more(db: Database, importing: Importing, snake_url: str) -> None:
    await ask(snake_url, "UPDATE plans SET max_mailboxes = 3 WHERE id = 2")
    foreseen = await importing(snake_url, dry=True)
    report = await importing(snake_url)
    assert foreseen.mailboxes["rejected"] == report.mailboxes["rejected"] == 3
    assert await db.fetchval("SELECT count(*) FROM mailboxes") == 9


async def test_interrupted_it_goes_on_where_it_was(
    db: Database,
    config: Config,
    importing: Importing,
    snake_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(legacy_import, "BATCH", 2)
    turns, whole = iter(range(99)), AccountTaker.take

    async def broken(self: AccountTaker, *given: Any) -> None:
        if next(turns) == 3:
            raise DatabaseUnavailable("it went away")
        await whole(self, *given)

    monkeypatch.setattr(AccountTaker, "take", broken)
    async with taking(db, config, snake_url) as taker:
        with pytest.raises(DatabaseUnavailable):
            await take_over(taker, lambda *_: None)
    half = await db.fetchval("SELECT count(*) FROM mailboxes")
    assert 0 < half < 12
    assert await db.fetchval("SELECT sum(old_sent) FROM mailbox_days") == await db.fetchval(
        "SELECT sum(sent) FROM mailbox_days"
    )
    report = await importing(snake_url)
    assert report.mailboxes["unchanged"] == half
    assert await db.fetchval("SELECT count(*) FROM mailboxes") == 12


async def test_days_are_those_of_the_mailboxs_zone(db: Database, importing: Importing, snake_url: str) -> None:
    await ask(snake_url, "UPDATE accounts SET timezone = 'Pacific/Auckland' WHERE id = 5; DELETE FROM warmup_logs")
    await ask(snake_url, "DELETE FROM logs WHERE sender_id = 5")
    for hour in (10, 11, 13):  # half past ten in the evening, then after midnight, in a zone twelve hours ahead
        await log(snake_url, 5, "sent", at=dt.datetime(2026, 5, 31, hour, 30, tzinfo=dt.UTC))
    await importing(snake_url)
    rows = await db.fetch(
        "SELECT d.day, d.sent FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id"
        " WHERE m.smtp_username = 'box5' ORDER BY d.day"
    )
    assert [(row["day"].day, row["sent"]) for row in rows] == [(31, 2), (1, 1)]


async def test_account_is_given_to_who_is_named(db: Database, importing: Importing, snake_url: str) -> None:
    await add_user(db, email="heir@x.test", role=Role.USER, actor="test", at=NOON)
    await ask(snake_url, "DROP TABLE users, plans")
    report = await importing(snake_url, user="heir@x.test")
    assert report.mailboxes == {"enrolled": 11, "paused": 1}
    assert (
        await db.fetchval("SELECT count(*) FROM mailboxes JOIN users u ON u.id = user_id WHERE email = 'heir@x.test'")
        == 12
    )


async def test_days_that_no_report_reaches_are_left_out(db: Database, importing: Importing, snake_url: str) -> None:
    for back in (REACH, REACH + dt.timedelta(days=1), HISTORY + dt.timedelta(days=1)):
        await log(snake_url, 5, "sent", at=NOON - back)
    foreseen = await importing(snake_url, dry=True)
    report = await importing(snake_url)
    assert foreseen.days["too_old"] == report.days["too_old"] == 2
    assert await roll_up_days(db, before=TODAY - HISTORY) == 0
    before = await everything(db)
    await importing(snake_url)
    assert await everything(db) == before


async def test_zone_that_changed_counts_nothing_twice(db: Database, importing: Importing, snake_url: str) -> None:
    await log(snake_url, 5, "sent", at=dt.datetime(2026, 5, 31, 13, tzinfo=dt.UTC))
    await importing(snake_url)
    await db.execute("UPDATE mailboxes SET timezone = 'Pacific/Auckland' WHERE smtp_username = 'box5'")
    before = await everything(db)
    report = await importing(snake_url)
    assert await everything(db) == before
    assert report.days["other_zone"] == 6


async def test_rows_of_one_address_have_one_zone(db: Database, importing: Importing, snake_url: str) -> None:
    row = f"(201, {OWNER}, 'BOX5@d5.test', '{HOST}', 587, 'x', '{HOST}')"
    zones = "CASE id WHEN 5 THEN 'Europe/Berlin' ELSE 'Pacific/Auckland' END"
    await ask(snake_url, f"{INSERT}{row}; UPDATE accounts SET timezone = {zones} WHERE id IN (5, 201)")
    await log(snake_url, 5, "sent", at=dt.datetime(2026, 5, 31, 13, tzinfo=dt.UTC))
    await importing(snake_url)
    before = await everything(db)
    await importing(snake_url)
    assert await everything(db) == before


async def test_passwords_that_all_look_encrypted_are_taken_for_that(
    db: Database, importing: Importing, snake_url: str
) -> None:
    await encrypt_in_one(snake_url)
    await ask(snake_url, "UPDATE accounts SET smtp_password = 'short', imap_password = 'short' WHERE id = 1")
    plain = await importing(snake_url, key="", plain=True, dry=True)
    assert plain.credentials == {"plain": 12}
    assert "look encrypted" not in str(plain.notes)
    for given in ({"key": "", "dry": True}, {"key": "another", "dry": True}, {"key": ""}):
        report = await importing(snake_url, **given)
        assert report.credentials == {"not_opened": 11, "plain": 1}
        assert "11 of 12 passwords look encrypted" in report.notes[-1]
        assert "--old-key-file" in told(report, "5")
    states = await db.fetch("SELECT state, count(*) FROM mailboxes GROUP BY state")
    assert {tuple(row) for row in states} == {("ACTIVE", 1), ("AUTH_FAILED", 10), ("PAUSED", 1)}


async def test_passwords_that_open_in_one_are_no_matter_of_doubt(importing: Importing, snake_url: str) -> None:
    await encrypt_in_one(snake_url)
    report = await importing(snake_url, dry=True)
    assert report.credentials == {"AES-256-GCM": 12}
    assert "look encrypted" not in str(report.notes)
