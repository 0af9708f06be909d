"""The real servers as one thing: written down in a folder of their own, started, asked, stopped, taken away."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Self

from warmupd.clock import SystemClock
from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox.certificates import LIFETIME, issue_certificates
from warmupd.sandbox.real.belongings import make_folder, sweep
from warmupd.sandbox.real.box import Box, write_boxes
from warmupd.sandbox.real.dovecot import Dovecot, DovecotPorts, Sorting
from warmupd.sandbox.real.policy import Answer, PolicyService
from warmupd.sandbox.real.postfix import MASTER, Neighbours, Postfix, tempers
from warmupd.store.lifeline import Lifeline

PACKAGES = "dovecot-imapd dovecot-lmtpd dovecot-sieve postfix postfix-pcre"
_PROGRAMS = ("dovecot", "doveadm", "sievec", MASTER)
_NEEDED_FILES = ("/usr/lib/dovecot/lmtp", "/usr/lib/postfix/postfix-pcre.so")
_PORTS = range(20_000, 32_000)  # below those that the kernel gives to connections
_READY_SECONDS = 20.0  # real time; it takes less than one
_STOP_SECONDS = 10.0
_TICK = 0.02


def missing() -> str:
    """Why the real servers cannot be run here, or ""."""
    if os.geteuid() != 0:
        return "only root can run Dovecot and Postfix with mailboxes of different users"
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=_path()) is None]
    lacking += [name for name in _NEEDED_FILES if not Path(name).exists()]
    return f"{', '.join(lacking)} not installed (apt-get install --no-install-recommends {PACKAGES})" if lacking else ""


def ensure_possible() -> None:
    """Raise UsageError when the real servers cannot be run here."""
    if reason := missing():
        raise UsageError(
            f"the real mail servers cannot be run: {reason}",
            remedy="run it as root, with these packages; or leave out --mail: the sandbox's own server needs neither",
        )


class RealStack:
    """A context manager. Several may run at once: ports, folders and processes are its own.

    Its servers end with this process, however it dies; the folder that a killed one leaves goes when the next starts.
    The policy service runs in threads of this process.
    """

    def __init__(
        self, boxes: Sequence[Box], *, sorting: Sorting | None = None, refused: str = "", decide: Answer | None = None
    ) -> None:
        self.boxes = {box.address: box for box in boxes}
        self._sorting, self._refused, self._decide = sorting or Sorting(), refused, decide
        self._marks = count(1)
        self._processes: list[tuple[subprocess.Popen[bytes], Lifeline]] = []

    def __enter__(self) -> Self:
        ensure_possible()
        sweep()
        self.folder = make_folder()
        self.policy = PolicyService(self._decide)
        try:
            self._write()
            for command in (self.dovecot.command, self.postfix.command):
                self._start(command)
            self._await_ports()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers, wait until they have ended, and remove all that they wrote."""
        for process, _ in self._processes:
            process.send_signal(signal.SIGTERM)
        for process, lifeline in self._processes:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            lifeline.let_go(ended=True)
        self._processes.clear()
        self.policy.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def processes(self) -> list[int]:
        """Their numbers: Dovecot's and Postfix's masters, whose children end with them."""
        return [process.pid for process, _ in self._processes]

    def change(self, address: str, look: Mapping[str, str], password: str = "") -> None:
        """When this returns the account looks otherwise, or has another password. Up to a second: Dovecot looks at its
        file once a second.
        """
        box = self.boxes[address]
        mark = str(next(self._marks))
        self.boxes[address] = replace(box, look={**look, _MARK: mark}, password=password or box.password)
        self._write_boxes()
        end = time.monotonic() + _READY_SECONDS
        while self._mark_of(address) != mark:
            if time.monotonic() > end:
                raise WarmupdError("Dovecot does not see that an account was changed")
            time.sleep(_TICK)

    def folder_of(self, address: str) -> Path:
        """Where Dovecot keeps the account's mail."""
        return Path(self.dovecot.doveadm("user", "-f", "home", address).strip()) / "mail"

    def _write(self) -> None:
        domains = {address.rpartition("@")[2] for address in self.boxes}
        now = SystemClock().now()
        folders = {name: self.folder / name for name in ("tls", "other", "expired", "dovecot", "postfix")}
        for folder in folders.values():
            folder.mkdir()
            folder.chmod(0o755)
        tls = issue_certificates(folders["tls"], domains if len(domains) < _MANY else (), now=now)
        self.ca_file = tls.ca_file
        expired = issue_certificates(folders["expired"], (), now=now - 2 * LIFETIME)
        self.expired_ca_file = expired.ca_file
        minds = tempers(untrusted=issue_certificates(folders["other"], (), now=now), expired=expired)
        chosen = iter(_free_ports(len(minds) + 4))
        dovecot = DovecotPorts(imap=next(chosen), imaps=next(chosen), lmtp=next(chosen), sasl=next(chosen))
        self.imap_port, self.imap_starttls_port = dovecot.imaps, dovecot.imap
        self.ports = {temper.name: next(chosen) for temper in minds}
        self.smtp_port, self.smtps_port = self.ports["submission"], self.ports["smtps"]
        self.lmtp_port = dovecot.lmtp
        self.dovecot = Dovecot(folders["dovecot"], dovecot, tls, self._sorting, expired=expired)
        self._write_boxes()
        self.postfix = Postfix(
            folders["postfix"],
            self.ports,
            minds,
            tls=tls,
            addresses=list(self.boxes),
            neighbours=Neighbours(lmtp_port=dovecot.lmtp, sasl_port=dovecot.sasl, policy_port=self.policy.port),
            refused=self._refused,
        )

    def _mark_of(self, address: str) -> str:
        try:
            return self.dovecot.doveadm("user", "-f", _MARK, address).strip()
        except WarmupdError:  # it has none yet
            return ""

    def _write_boxes(self) -> None:
        write_boxes(self.dovecot.boxes_file, list(self.boxes.values()), self.dovecot.mail)

    def _start(self, command: Sequence[str]) -> None:
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": _path(), "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,  # the terminal's Ctrl-C is not for them
            )
        self._processes.append((process, Lifeline(process.pid)))

    def _await_ports(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        # Each server opens all of its ports before it answers at one. Of Postfix's only that without a rate is touched.
        for port in (self.imap_port, self.lmtp_port, self.smtp_port):
            while not _answers(port):
                if time.monotonic() > end or any(process.poll() is not None for process, _ in self._processes):
                    raise WarmupdError(f"the real mail servers did not start: {self._last_words()}")
                time.sleep(_TICK)

    def _last_words(self) -> str:
        files = (self.folder / "output", self.dovecot.log_file, self.postfix.log_file)
        return " | ".join(file.read_text(errors="replace").strip()[-500:] for file in files if file.exists())


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until all are found."""
    chance = random.SystemRandom()
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", chance.choice(_PORTS)))
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [int(probe.getsockname()[1]) for probe in held]
    finally:
        for probe in held:
            probe.close()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


_MARK = "changed"
_MANY = 100  # more domains than a certificate should name; clients know the servers as localhost anyway
