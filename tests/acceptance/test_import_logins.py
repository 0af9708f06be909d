"""`warmupd mailbox import` as a program, with a mail server that lets in or not, and a token endpoint."""

import asyncio
import csv
import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import COMMAND, Program
from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  opened_console is a fixture
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.daemon import login_lanes
from warmupd.sandbox.mailserver import SandboxProcess

pytestmark = pytest.mark.acceptance

IMPORT = ("mailbox", "import", "boxes.csv", "--user", "admin@example.com")
HEADER = ["email", "password", "smtp_host", "smtp_port", "smtp_security", "imap_host", "imap_port", "imap_security"]


def server_cells(server: SandboxProcess) -> list[str]:
    return ["127.0.0.1", str(server.smtp_port), "starttls", "127.0.0.1", str(server.imap_port), "TLS"]


class SilentServer:
    """Takes a connection and says nothing."""

    def __enter__(self) -> "SilentServer":
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(60)
        self.port = self._socket.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._connection.close()

    def accept(self) -> None:
        self._connection, _ = self._socket.accept()


def write(directory: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    file = directory / "boxes.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


async def run(program: Program, *options: str) -> "subprocess.CompletedProcess[str]":
    done = await asyncio.to_thread(program, *IMPORT, *options)
    assert_no_password(done.stdout + done.stderr)
    return done


def assert_no_password(told: str) -> None:
    assert "hush" not in told
    assert "pw-" not in told


def begin(program: Program) -> "subprocess.Popen[str]":
    """The import, while it runs."""
    return subprocess.Popen(
        [*COMMAND, *IMPORT],
        cwd=program.directory,
        env=program.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  shells have jobs ignore it
    )


def rejected(directory: Path) -> list[dict[str, str]]:
    with (directory / "boxes.rejected.csv").open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


async def test_who_is_let_in_is_saved_and_who_is_not_comes_back_with_the_servers_words(
    console: Console, mail_server: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_lanes, "PAUSES", (0.05, 0.2))  # as if half a minute had passed; so it is no program here
    allowed = f'[security]\nallow_hosts = ["127.0.0.1"]\nca_file = "{mail_server.ca_file}"\n'
    console.file.write_text(console.file.read_text() + allowed)
    cells = server_cells(mail_server)
    dead = ["127.0.0.1", "1", "tls", *cells[3:]]
    rows = [["anna@north.test", "pw-anna", *cells], ["bert@south.test", "hush-wrong", *cells]]
    file = write(console.file.parent, [*rows, *([f"m{n}@dead.test", "hush", *dead] for n in range(8))])
    done = await asyncio.to_thread(console, "mailbox", "import", str(file), "--user", OWNER)
    assert_no_password(done.stdout + done.stderr)
    assert done.returncode == 1
    assert "10 rows: 1 enrolled, 9 rejected" in done.stdout
    assert len([line for line in done.stdout.splitlines() if " rejected  " in line]) == 9
    reasons = {row["email"]: row["reason"] for row in rejected(console.file.parent)}
    assert "535" in reasons["bert@south.test"]
    assert sum("not tried" in reason for reason in reasons.values()) == 5
    assert (await asyncio.to_thread(console, "mailbox", "check", "anna@north.test", "--no-dns")).returncode == 0


@pytest.fixture
async def provider() -> AsyncIterator[TokenServer]:
    async with TokenServer().running() as server:
        yield server


def rotating(program: Program, provider: TokenServer) -> list[str]:
    """Its provider gives another refresh token at each use; the header of a file with such tokens."""
    lines = f'client_id = "{CLIENT_ID}"\nclient_secret = "{CLIENT_SECRET}"\ntoken_url = "{provider.url}"'
    program.set("oauth.google", lines)
    provider.rotates = True
    return ["email", "oauth", "refresh_token", "password", *HEADER[2:]]


async def test_refresh_tokens_are_tried_and_the_newest_is_handed_back(
    installed: Program, mail_server: SandboxProcess, provider: TokenServer
) -> None:
    header = rotating(installed, provider)
    given = provider.grant("anna@north.test")
    tokens = {"anna@north.test": given, "bert@south.test": "refresh-revoked-hush"}
    rows = [[who, "google", token, "", *server_cells(mail_server)] for who, token in tokens.items()]
    write(installed.directory, rows, header)
    done = await run(installed)
    assert done.returncode == 1  # the sandbox takes no tokens
    anna, bert = rejected(installed.directory)
    assert "XOAUTH2" in anna["reason"]
    assert "does not accept" in bert["reason"]
    assert anna["refresh_token"] != given
    assert anna["refresh_token"] in provider.grants
    assert (await run(installed, "--no-check")).returncode == 0


async def test_dry_run_uses_up_no_refresh_token(
    installed: Program, mail_server: SandboxProcess, provider: TokenServer
) -> None:
    header, token = rotating(installed, provider), provider.grant("anna@north.test")
    write(installed.directory, [["anna@north.test", "google", token, "", *server_cells(mail_server)]], header)
    done = await run(installed, "--dry-run")
    assert (done.returncode, provider.asked, list(provider.grants)) == (0, [], [token])
    assert "its login was not tried" in done.stdout


async def test_new_refresh_tokens_are_kept_when_nothing_is_saved(
    installed: Program, mail_server: SandboxProcess, provider: TokenServer
) -> None:
    header, given = rotating(installed, provider), provider.grant("anna@north.test")
    cells = server_cells(mail_server)
    anna, bert = ["anna@north.test", "google", given, ""], ["bert@south.test", "", "", "pw-bert"]
    write(installed.directory, [[*anna, *cells], [*bert, *cells]], header)
    told = await asyncio.to_thread(decline, installed)
    assert "nothing was saved" in told
    (row,) = rejected(installed.directory)
    assert (row["email"], row["refresh_token"] != given, row["refresh_token"] in provider.grants) == (
        anna[0],
        True,
        True,
    )
    assert "hush" not in told
    assert await asyncio.to_thread(installed.json, "mailbox", "list") == []


def decline(program: Program) -> str:
    """The import at a terminal whose owner says no; what it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *IMPORT], cwd=program.directory, env=program.environment, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        told = b""
        with suppress(OSError):  # so a terminal says that nobody is there any more
            while True:
                told += os.read(ours, 4096)
                if b"Save 1 mailbox?" in told and b"\nn" not in told:
                    os.write(ours, b"n\n")
                    told += b"\nn"
    os.close(ours)
    return told.decode()


async def test_new_refresh_tokens_are_kept_when_the_import_is_interrupted(
    installed: Program, mail_server: SandboxProcess, provider: TokenServer
) -> None:
    header, given = rotating(installed, provider), provider.grant("anna@north.test")
    with SilentServer() as silent:
        cells = server_cells(mail_server)
        cells[1] = str(silent.port)
        write(installed.directory, [["anna@north.test", "google", given, "", *cells]], header)
        process = begin(installed)
        await asyncio.to_thread(silent.accept)
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.communicate, timeout=60)
    (row,) = rejected(installed.directory)
    assert row["refresh_token"] in provider.grants


async def test_interrupted_import_saves_nothing_half(installed: Program, mail_server: SandboxProcess) -> None:
    with SilentServer() as silent:
        cells = server_cells(mail_server)
        cells[1] = str(silent.port)
        write(installed.directory, [["anna@north.test", "pw-anna", *cells]])
        process = begin(installed)
        await asyncio.to_thread(silent.accept)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode in {1, 130}
    assert "Traceback" not in err
    assert "nothing was saved" in out + err
    assert await asyncio.to_thread(installed.json, "mailbox", "list") == []


async def test_json_tells_every_row(installed: Program, mail_server: SandboxProcess) -> None:
    write(installed.directory, [["anna@north.test", "pw-anna", *server_cells(mail_server)]])
    result: dict[str, Any] = json.loads((await run(installed, "--json")).stdout)
    (row,) = result["rows"]
    assert (row["row"], row["address"], row["result"]) == (2, "anna@north.test", "enrolled")
    assert result["counts"] == {"good": 0, "enrolled": 1, "already enrolled": 0, "rejected": 0}
    assert "recipients" in [one["setting"] for one in result["capacity"]["ramped"]]
