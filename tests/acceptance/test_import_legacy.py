"""`warmupd import-legacy` as it is typed: what it prints, how it ends, and what it leaves behind."""

import asyncio
import csv
import datetime as dt
import io
import json
import os
from pathlib import Path

import pytest

from tests.acceptance.console import Console, opened_console  # noqa: F401  it is a fixture
from tests.daemon.test_legacy import ask
from tests.store.old_database import HOST, KEY, Size, make_old_database

pytestmark = pytest.mark.acceptance


@pytest.fixture
def old(console: Console, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an old database, which the environment names; the console stands in a directory of its own."""
    asyncio.run(make_old_database(empty_database_url, Size(accounts=6, users=2, days=5), now=dt.datetime.now(dt.UTC)))
    monkeypatch.setenv("WARMUP_LEGACY_URL", empty_database_url)
    monkeypatch.chdir(console.file.parent)
    with console.file.open("a") as stream:
        stream.write(f'[security]\nallow_hosts = ["{HOST}"]\n')
    Path("old.key").write_text(f"{KEY}\n")
    return empty_database_url


def test_dry_run_then_the_same_for_good_then_nothing_more(console: Console, old: str) -> None:
    dry = json.loads(console.did("import-legacy", "--dry-run", "--json", "--old-key-file", "old.key"))
    done = json.loads(console.did("import-legacy", "--json", "--old-key-file", "old.key"))
    assert dry["mailboxes"] == done["mailboxes"] == {"enrolled": 6}
    assert dry["credentials"] == done["credentials"] == {"plain": 3, "AES-256-GCM": 3}
    again = console.did("import-legacy", "--old-key-file", "old.key")
    assert "6 enrolled already, unchanged" in again
    assert len(json.loads(console.did("mailbox", "list", "--json"))) == 6


def test_rejected_accounts_go_to_a_file_for_its_owner_alone(console: Console, old: str) -> None:
    asyncio.run(ask(old, "UPDATE accounts SET smtp_host = '10.0.0.1' WHERE id = 2"))
    done = console("import-legacy", "--old-key-file", "old.key")
    assert done.returncode == 1
    assert "pw-2" not in done.stdout + done.stderr
    file = Path("legacy.rejected.csv")
    assert os.stat(file).st_mode & 0o777 == 0o600
    (row,) = csv.DictReader(io.StringIO(file.read_text("utf-8-sig")))
    assert (row["email"], row["smtp_password"], row["user"]) == ("Box2@d2.test", "pw-2", "owner0@old.test")
    corrected = file.read_text("utf-8-sig").replace("10.0.0.1", HOST)
    Path("corrected.csv").write_text(corrected)
    assert "1 enrolled" in console.did("mailbox", "import", "corrected.csv", "--user", "owner0@old.test", "--no-check")


def test_key_may_stand_in_the_environment(console: Console, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)
    assert "3 AES-256-GCM" in console.did("import-legacy", "--dry-run")


def test_what_cannot_be_is_told_in_a_line(console: Console, old: str) -> None:
    assert "--map accounts.email=COLUMN" not in console.refused("import-legacy", "--map", "accounts.emial=x")
    assert "no such column" in console.refused("import-legacy", "--map", "accounts.email=x")
    assert "it has no =" in console.refused("import-legacy", "--map", "accounts.email")
    assert "cannot be read" in console.refused("import-legacy", "--old-key-file", "nowhere")
    away = console("import-legacy", "--from", "postgresql://reader:hush@127.0.0.1:1/old")
    assert away.returncode == 3
    assert "the old database cannot be reached" in away.stderr
    assert "hush" not in away.stderr
