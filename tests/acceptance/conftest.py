"""The program as people run it: a process, in a directory of its own, with a database of its own."""

import asyncio
import datetime as dt
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest

import warmupd
from tests.acceptance.forks import Forks
from warmupd.sandbox.mailserver import SandboxProcess
from warmupd.store.database import Database
from warmupd.store.embedded import embedded_database

PASSWORD = "a password of some length"
COMMAND = [sys.executable, "-m", "warmupd.cli.entry"]
DATABASE = ".local/share/warmupd"  # in the home directory
PATIENCE = 60.0  # seconds until a test that waits gives up


class Program:
    """Runs `warmupd` in `directory`; nothing of this machine's environment reaches it."""

    forks: ClassVar[Forks | None] = None  # what makes its commands quicker, where it runs

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "COLUMNS": "100", "TERM": "dumb"}
        self.environment["PYTHONPATH"] = str(Path(warmupd.__file__).parents[1])  # the same program as the tests import

    def __call__(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        if self.forks is not None:
            return self.forks.run(arguments, cwd=self.directory, env=self.environment, stdin=stdin, patience=PATIENCE)
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def init(self) -> None:
        """A fresh installation."""
        done = self("init", "--admin-email", "admin@example.com", "--password-stdin", stdin=PASSWORD)
        assert done.returncode == 0, done.stderr

    def execute(self, statement: str) -> None:
        """A statement in the embedded database."""

        async def run() -> None:
            async with (
                embedded_database(self.directory / DATABASE) as url,
                await Database.open(url, pool_size=1, application_name="tests") as db,
            ):
                await db.execute(statement)

        asyncio.run(run())

    def set(self, section: str, lines: str) -> None:
        """Add lines to a section of config.toml, in place of those that say something else of the same keys."""
        file = self.directory / "config.toml"
        text = file.read_text() if file.exists() else ""
        head, found, tail = text.partition(f"[{section}]\n")
        body, bracket, rest = tail.partition("\n[")
        keys = tuple(f"{line.partition('=')[0].strip()} =" for line in lines.splitlines())
        tail = "".join(line for line in body.splitlines(keepends=True) if not line.startswith(keys)) + bracket + rest
        file.write_text(f"{head}{found or f'[{section}]{chr(10)}'}{lines}\n{tail}")


class Daemon:
    """`warmupd run`, or another command that goes on until it is stopped, and its log line by line."""

    def __init__(self, program: Program, *arguments: str, command: str = "run") -> None:
        self._process = subprocess.Popen(
            [*COMMAND, command, *arguments],
            cwd=program.directory,
            env=program.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.log: list[str] = []
        self._untold: list[str] = []  # lines that no `wait_for` has returned
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next log line of this event. Those of others are kept, since nobody says who tells first."""
        for line in chain(tuple(self._untold), self._arriving()):
            if f'"event": "{event}"' in line:
                self._untold.remove(line)
                told: dict[str, Any] = json.loads(line)
                return told
        raise AssertionError(f"no {event} in\n" + "\n".join(self.log[-20:]))

    def _arriving(self) -> Iterator[str]:
        """Lines as they come, until the last one, or until patience ends."""
        deadline = time.monotonic() + PATIENCE
        with suppress(queue.Empty):
            while line := self._lines.get(timeout=max(0.0, deadline - time.monotonic())):
                self.log.append(line)
                self._untold.append(line)
                yield line

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """The exit code, once it has ended by itself."""
        code = self._process.wait(PATIENCE)
        self._reader.join()
        return code

    def close(self) -> None:
        """End it in order, so that its database has ended as well."""
        self._process.terminate()
        try:
            self.end()
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self._lines.put(line)
        self._lines.put(None)


@pytest.fixture(scope="session", autouse=True)
def forks(clean_environment: None) -> Iterator[None]:
    """Commands of programs are forked from one that has imported everything."""
    with tempfile.TemporaryDirectory(prefix="warmupd-test-") as place:
        forks = Program.forks = Forks(Program(Path(place)).environment, Path(place))
        yield
        Program.forks = None
        forks.close()


@pytest.fixture(scope="session")
def made_once(clean_environment: None) -> Iterator[Path]:
    """The directory of a fresh installation, to be copied."""
    directory = Path(tempfile.mkdtemp(prefix="warmupd-test-"))
    Program(directory).init()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def program(data_dir: Path) -> Program:
    return Program(data_dir)


@pytest.fixture
def start(program: Program) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons, and sees to it that none outlives the test."""
    started: list[Daemon] = []

    def begin(*arguments: str, command: str = "run") -> Daemon:
        started.append(Daemon(program, *arguments, command=command))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.close()


@pytest.fixture
def noon_zone() -> str:
    """A time zone in which it is past twelve, so that no test meets the end of a day."""
    return f"Etc/GMT{dt.datetime.now(dt.UTC).hour - 12:+d}"


@pytest.fixture
async def mail_server() -> AsyncIterator[SandboxProcess]:
    """A mail server with anna@north.test and bert@south.test; their passwords are pw-anna and pw-bert."""
    accounts = {"anna@north.test": "pw-anna", "bert@south.test": "pw-bert"}
    async with SandboxProcess(accounts=accounts) as server:
        yield server


@pytest.fixture
def servers(mail_server: SandboxProcess) -> list[str]:
    """The options of `mailbox add` that lead to the mail server."""
    smtp = ["--smtp-host", "127.0.0.1", "--smtp-port", str(mail_server.smtp_port), "--smtp-security", "STARTTLS"]
    imap = ["--imap-host", "127.0.0.1", "--imap-port", str(mail_server.imap_port), "--imap-security", "TLS"]
    return smtp + imap


@pytest.fixture
def initialised(program: Program, made_once: Path) -> Program:
    """As after `warmupd init`."""
    shutil.copytree(made_once, program.directory, dirs_exist_ok=True)
    file = program.directory / "config.toml"
    file.write_text(file.read_text().replace(str(made_once), str(program.directory)))  # it names the database's place
    return program


@pytest.fixture
def one(initialised: Program) -> Program:
    """With one mailbox, anna@north.test."""
    add = ("mailbox", "add", "anna@north.test", "--user", "admin@example.com", "--no-check", "--guess")
    assert initialised(*add, "--password-stdin", stdin="secret-password").returncode == 0
    return initialised


@pytest.fixture
async def installed(initialised: Program, mail_server: SandboxProcess) -> Program:
    """Set up so that it may talk to the mail server, and sends by the second where it is about noon (`noon_zone`)."""
    initialised.set("security", f'allow_hosts = ["127.0.0.1"]\nca_file = "{mail_server.ca_file}"')
    initialised.set("window", "start_hour = 0\nend_hour = 14")
    initialised.set("quota", "ramp_start = 2000\ntarget_daily = 2000")
    initialised.set("spacing", "same_mailbox_min_minutes = 0.01\nsame_mailbox_max_minutes = 0.02")
    initialised.set("http", 'listen = "127.0.0.1:0"')
    initialised.set("logging", 'format = "json"')
    return initialised
