"""`warmupd key rotate` killed in the middle, and given again: every secret opens, before and after."""

import asyncio
import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import COMMAND, PATIENCE
from tests.acceptance.console import OWNER
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.sealed import sealed_after

pytestmark = pytest.mark.acceptance

MAILBOXES = 1200  # three batches of a rotation
OLD, NEW = Vault.new_key(), Vault.new_key()
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'warmupd key rotate' AND wait_event_type = 'Lock'"
)


class Installation:
    """Programs on one database; `keys` are those of the configuration."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def write(self, *keys: str) -> None:
        listed = ", ".join(f'"{key}"' for key in keys)
        sections = (
            f'[database]\nurl = "{self.url}"',
            f"[secrets]\nkeys = [{listed}]",
            '[security]\nallow_hosts = ["::1"]',
        )
        (self.folder / "config.toml").write_text("\n".join(sections))

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            | {"HOME": "/nowhere"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def did(self, *arguments: str) -> str:
        with self.begin(*arguments) as process:
            out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert process.returncode == 0, err
        return out


@pytest.fixture
async def installation(data_dir: Path, database_url: str) -> Installation:
    """With mailboxes enrolled under the old key, and the new one in front of it by now."""
    installation = Installation(data_dir, database_url)
    installation.write(OLD)
    await installation.did("user", "add", OWNER)
    with (data_dir / "boxes.csv").open("w", newline="") as stream:
        rows = ([f"m{n}@one.test", f"secret {n}", "::1", "::1"] for n in range(MAILBOXES))
        csv.writer(stream).writerows([["email", "password", "smtp_host", "imap_host"], *rows])
    await installation.did("mailbox", "import", "boxes.csv", "--user", OWNER, "--no-check")
    installation.write(NEW, OLD)
    return installation


async def opened(db: Database) -> tuple[int, int]:
    """How many secrets are under the new key and under the old one; all open, and are those of their mailboxes."""
    rows = await db.fetch("SELECT id, address FROM mailboxes")
    numbers = {row["id"]: row["address"].removeprefix("m").partition("@")[0] for row in rows}
    vault, found = Vault([NEW, OLD]), await sealed_after(db, 0, limit=2 * MAILBOXES)
    for one in found:
        assert vault.unseal(one.secret, mailbox_id=one.mailbox_id, purpose=one.purpose) == (
            f"secret {numbers[one.mailbox_id]}"
        )
    new = sum(vault.is_current(one.secret) for one in found)
    return new, len(found) - new


async def test_killed_in_the_middle_and_given_again_it_loses_nothing(installation: Installation, db: Database) -> None:
    async with db.acquire() as other, other.transaction():
        await other.execute("SELECT FROM mailboxes WHERE address = 'm700@one.test' FOR UPDATE")  # in the second batch
        with installation.begin("key", "rotate") as process:
            while not await db.fetchval(WAITING):
                assert process.poll() is None, process.communicate()
                await db.execute("SELECT pg_sleep(0.05)")  # that another program waits for a lock tells nobody
            process.send_signal(signal.SIGKILL)
        new, old = await opened(db)
    assert (new, old) == (1000, 1400)
    told = json.loads(await installation.did("key", "rotate", "--json"))
    assert (told["resealed"] + told["already_newest"], told["not_opened"]) == (2 * MAILBOXES, [])
    assert await opened(db) == (2 * MAILBOXES, 0)
