"""From `warmupd mailbox import` to the first send of a worker that runs: ROWS mailboxes, each let in by a mail server.

IMPORT_ROWS=1000 with --log-cli-level=INFO measures what people with many mailboxes wait for.
"""

import asyncio
import csv
import datetime as dt
import logging
import os
import pty
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from tests.acceptance.conftest import COMMAND, Daemon, Program
from warmupd.sandbox.mailserver import SandboxProcess

pytestmark = pytest.mark.acceptance

IMPORT = [*COMMAND, "mailbox", "import", "boxes.csv", "--user", "admin@example.com"]
ROWS = int(os.environ.get("IMPORT_ROWS", "20"))


@pytest.fixture
async def mail_server() -> AsyncIterator[SandboxProcess]:
    """With ROWS accounts, in the place of the usual two."""
    async with SandboxProcess(accounts={f"m{n}@d{n % 10}.test": f"pw-{n}" for n in range(ROWS)}) as server:
        yield server


@pytest.fixture
def sheet(installed: Program, mail_server: SandboxProcess) -> None:
    header = "Email,Password,SMTP Host,SMTP Port,SMTP Security,IMAP Host,IMAP Port,IMAP Security,Timezone"
    ahead = (2 - dt.datetime.now(dt.UTC).hour + 9) % 24 - 9  # hours: there it is past two, and the day is young
    zone = f"Etc/GMT{-ahead:+d}"
    smtp, imap = str(mail_server.smtp_port), str(mail_server.imap_port)
    with (installed.directory / "boxes.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(header.split(","))
        for n in range(ROWS):
            cells = ["127.0.0.1", smtp, "starttls", "127.0.0.1", imap, "tls", zone]
            rows.writerow([f"m{n}@d{n % 10}.test", f"pw-{n}", *cells])


async def test_running_worker_finds_what_is_imported_and_sends(
    installed: Program,
    sheet: None,
    start: Callable[..., Daemon],
) -> None:
    daemon = start()
    await asyncio.to_thread(daemon.wait_for, "worker.started")
    begun = time.monotonic()
    told = await asyncio.to_thread(at_terminal, installed, IMPORT, b"y\n")
    imported = time.monotonic()
    assert f"{ROWS:,} enrolled" in told
    await asyncio.to_thread(daemon.wait_for, "send.sent")
    took = time.monotonic() - begun
    logging.getLogger(__name__).info("%d rows: import %.1f s, first send %.1f s", ROWS, imported - begun, took)


@pytest.mark.parametrize(("answer", "enrolled"), [(b"n\n", 0), (b"y\n", ROWS)])
async def test_at_a_terminal_it_asks_before_it_saves(
    installed: Program, sheet: None, answer: bytes, enrolled: int
) -> None:
    told = await asyncio.to_thread(at_terminal, installed, [*IMPORT, "--no-check"], answer)
    assert ("nothing was saved" in told) is (enrolled == 0)
    assert len(await asyncio.to_thread(installed.json, "mailbox", "list")) == enrolled


def at_terminal(program: Program, command: list[str], answer: bytes) -> str:
    """What the command says there; `answer` is typed once it asks."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=program.directory, env=program.environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        told, answered = b"", False
        with suppress(OSError):  # the end of a terminal
            while part := os.read(ours, 4096):
                told += part
                if b"Save " in told and not answered:
                    answered = bool(os.write(ours, answer))
        process.wait(60)
    os.close(ours)
    return told.decode()
