"""Backup and restore as people run them: from the embedded database to a server of their own."""

import pytest

from tests.acceptance.conftest import Program

pytestmark = pytest.mark.acceptance

ANNA = "anna@north.test"


def test_embedded_database_moves_to_a_server(one: Program, empty_database_url: str) -> None:
    moved = one("backup", "--move", "move.gz")
    assert (moved.returncode, moved.stdout) == (0, "")
    assert "rows of 1 mailboxes" in moved.stderr
    refused = one("fleet", "start")
    assert refused.returncode == 2
    assert "another one goes on in its place" in refused.stderr
    one.environment["WARMUP_DATABASE__URL"] = empty_database_url
    restored = one("restore", "--move", "move.gz")
    assert restored.returncode == 0, restored.stderr
    assert "they go on where the others stopped" in restored.stdout
    assert ANNA in one("mailbox", "list").stdout
    assert one("fleet", "start").stdout == "sending is on already\n"
    again = one("restore", "--move", "move.gz")
    assert again.returncode == 2
    assert "a restore overwrites nothing" in again.stderr


def test_move_that_fails_on_the_way_says_that_the_database_is_closed(one: Program) -> None:
    (one.directory / "move.gz").mkdir()
    failed = one("backup", "--move", "--force", "move.gz")
    assert failed.returncode == 2
    assert "closed by now" in failed.stderr
    assert "fleet start --anyway" in failed.stderr
    assert "move.gz cannot be written: Is a directory" in failed.stderr
    assert one("backup", "--move", "elsewhere.gz").returncode == 0


def test_backup_without_its_key_is_refused_unless_the_passwords_are_given_up(
    one: Program, empty_database_url: str
) -> None:
    assert one("backup", "all.gz").returncode == 0
    assert one("backup", "all.gz").returncode == 2, "it would have been overwritten"
    assert one("restore", "--check", "all.gz").stdout.endswith("the file is whole\n")
    one.environment["WARMUP_DATABASE__URL"] = empty_database_url
    one.environment["WARMUP_SECRETS__KEYS"] = f'["{one("key", "new").stdout.strip()}"]'
    refused = one("restore", "all.gz")
    assert refused.returncode == 1
    assert "2 of 2 stored credentials" in refused.stderr
    assert "take secrets.keys from the config.toml of the backup's time" in refused.stderr
    done = one("restore", "--without-keys", "all.gz")
    assert done.returncode == 0, done.stderr
    assert "1 mailboxes send nothing more on their local day" in done.stdout
