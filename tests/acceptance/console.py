"""The command line in this process, on a database of the test's own: quicker than a process for each command."""

import asyncio
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from warmupd.cli.main import main
from warmupd.mail.vault import Vault
from warmupd.store.database import Database

OWNER = "owner@example.com"
SERVERS = ("--smtp-host", "smtp.example.com", "--imap-host", "imap.example.com")


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What a command said and how it ended."""

    returncode: int
    stdout: str
    stderr: str


class Console:
    """Runs commands; `width` is that of a terminal, None a pipe; `typed` has `stdin` come from one."""

    def __init__(self, url: str, file: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.url = url
        self.file = file
        self.key = Vault.new_key()
        self._capsys = capsys
        self._patch = patch

    def __call__(self, *arguments: str, stdin: str = "", width: int | None = None, typed: bool = False) -> Done:
        self._capsys.readouterr()
        with self._patch.context() as patch:
            patch.setattr(sys, "argv", ["warmupd", *arguments, "--config", str(self.file)])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
            if typed:
                patch.setattr(sys.stdin, "isatty", lambda: True)
            if width is not None:
                patch.setattr(sys.stdout, "isatty", lambda: True)
                patch.setenv("COLUMNS", str(width))
            with pytest.raises(SystemExit) as ended:
                main()
        told = self._capsys.readouterr()
        return Done(returncode=int(ended.value.code or 0), stdout=told.out, stderr=told.err)

    def did(self, *arguments: str, **options: Any) -> str:
        """What a command that must go well prints."""
        done = self(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str, **options: Any) -> str:
        """The one-line error of a command that must be refused, and its remedy."""
        done = self(*arguments, **options)
        assert done.returncode in {1, 2}
        assert done.stdout == ""
        error, remedy = done.stderr.splitlines()
        assert error.startswith("error: ")
        assert remedy.startswith("       ")
        return f"{error.removeprefix('error: ')}; {remedy.strip()}"

    def execute(self, *statements: str) -> None:
        """Statements in the database."""

        async def run() -> None:
            async with await Database.open(self.url, pool_size=1, application_name="tests") as db:
                for statement in statements:
                    await db.execute(statement)

        asyncio.run(run())

    def add(self, address: str, *options: str, user: str = OWNER) -> None:
        """Enrol without a check."""
        add = ("mailbox", "add", address, "--user", user, "--no-check", *SERVERS, *options)
        self.did(*add, "--password-stdin", stdin="hush")


@pytest.fixture(name="console")
def opened_console(
    database_url: str, data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Console]:
    """With a user, and nobody enrolled."""
    before = structlog.get_config()
    console = Console(database_url, data_dir / "config.toml", capsys, monkeypatch)
    console.file.write_text(f'[database]\nurl = "{database_url}"\n[secrets]\nkeys = ["{console.key}"]\n')
    console.did("user", "add", OWNER)
    yield console
    structlog.configure(**before)
