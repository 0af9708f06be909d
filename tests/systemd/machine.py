"""A machine of its own for a test: this one's root with a layer of memory over it, booted by systemd-nspawn."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

TREE = Path(__file__).parents[2]
HOLD = Path(__file__).with_name("hold.sh")
NEEDED = ("systemd-nspawn", "setpriv", "unshare", "nsenter")
NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no")
BOOTED = ("--boot", "--private-network", "--console=pipe")
SPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
PATIENCE = 60.0  # seconds until what is waited for counts as missing
LOOK_EVERY = 0.1  # seconds


class CannotBoot(Exception):
    """This machine cannot hold another one: why."""


class Machine:
    """Entered it is held, `boot` starts it, `run` runs a command in it. Leaving it takes everything away."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="warmupd-machine-"))
        self._groups: list[Path] = []
        self._holder: subprocess.Popen[str] | None = None
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._inside = self._leader = 0
        self.console = self._place.with_suffix(".console")

    def __enter__(self) -> Self:
        try:
            self._hold()
            tried = self.unbooted("/bin/true")
            if tried.returncode:
                raise CannotBoot(f"systemd-nspawn: {tried.stderr.strip()}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self) -> None:
        if missing := [program for program in NEEDED if shutil.which(program) is None]:
            raise CannotBoot(f"{', '.join(missing)} is not installed")
        if os.geteuid():
            raise CannotBoot("only root can boot a machine")
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        self._holder = subprocess.Popen(
            [*command, "--mount-proc", "sh", str(HOLD), str(self._place), self._place.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._holder.stdout is not None
        said = []
        for line in self._holder.stdout:
            if line == "ready\n":
                break
            if line.startswith("group "):
                self._groups.append(Path(line.removeprefix("group ").rstrip()))
            said.append(line)
        else:
            raise CannotBoot("".join(said).strip() or "no namespaces of its own")
        (self._inside,) = _children_of(self._holder.pid)

    @property
    def root(self) -> str:
        return str(self._place / "root")

    def unbooted(self, *command: str, binds: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        """Run before it is booted, with this machine's network and settings of pip."""
        settings = [f"--setenv={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        more = ["--pipe", "--resolv-conf=bind-host", f"--directory={self.root}", *settings, *binds]
        return self._held(*NSPAWN, *more, *command)

    def boot(self) -> None:
        """Return once it is up, as far as its basic.target; no service of this machine's is started in it."""
        with self.console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [*self._enter(), *NSPAWN, *BOOTED, f"--directory={self.root}", "systemd.unit=basic.target"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        self._leader = self._first_of_it(self._first_of_it(self._nspawn.pid))  # nsenter, systemd-nspawn, systemd
        try:
            self.until(lambda: self.run("systemctl", "is-active", "basic.target").returncode == 0, "basic.target")
        except AssertionError as error:
            raise CannotBoot(str(error)) from None

    def run(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run in the booted machine, as its root."""
        enter = [
            "nsenter",
            "--target",
            str(self._leader),
            *SPACES,
            "env",
            "-i",
            "PATH=/usr/local/bin:/usr/bin:/usr/sbin",
        ]
        return _run([*enter, *command], stdin=stdin)

    def sure(self, *command: str, stdin: str = "") -> str:
        """What a command says that must succeed."""
        done = self.run(*command, stdin=stdin)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, place: str, text: str) -> None:
        """A file in it; one that is there keeps its owner and mode."""
        self.sure("sh", "-c", f"mkdir -p $(dirname {place}) && cat >{place}", stdin=text)

    def read(self, place: str) -> str:
        return self.sure("cat", place)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.sure("systemctl", "show", unit, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in told.splitlines())

    def journal(self, unit: str) -> list[dict[str, Any]]:
        """The events of a unit's log, oldest first."""
        lines = self.sure("journalctl", "--unit", unit, "--output", "cat", "--no-pager").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def told(self, unit: str, event: str) -> list[dict[str, Any]]:
        """The events of one name."""
        return [line for line in self.journal(unit) if line.get("event") == event]

    def until(self, effect: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Return once the effect is there."""
        deadline = time.monotonic() + patience
        while not effect():
            assert time.monotonic() < deadline, f"{what}: not within {patience:g} s\n{self._last_words()}"
            time.sleep(LOOK_EVERY)  # the machine is another one: its effects are looked at

    def close(self) -> None:
        """Power it off and let go of everything; whatever does not go by itself goes with its holder."""
        if self._nspawn is not None:
            self.run("systemctl", "poweroff")
            with suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(15)
        if self._holder is not None:
            if self._inside:
                os.kill(self._inside, signal.SIGKILL)  # first among its processes: all of them have ended before it has
            else:
                self._holder.kill()
            self._holder.communicate()
        if self._nspawn is not None:
            self._nspawn.wait()
        for group in self._groups:
            for below in sorted(group.rglob("*/"), reverse=True):
                below.rmdir()
            group.rmdir()
        self.console.unlink(missing_ok=True)
        self._place.rmdir()  # not a tree: if anything is there, something is mounted, and must not be deleted

    def _first_of_it(self, pid: int) -> int:
        """The one child of a process, as soon as there is one."""
        self.until(lambda: bool(_children_of(pid)), "systemd-nspawn starts")
        return _children_of(pid)[0]

    def _last_words(self) -> str:
        console = self.console.read_text(errors="replace")[-2000:]
        if not self._leader:
            return console
        return console + self.run("journalctl", "--no-pager", "--lines", "60", "--output", "short-monotonic").stdout

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self._inside), "--mount", "--pid"]

    def _held(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return _run([*self._enter(), *command])


def _run(command: list[str], stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=600, check=False)


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def trial() -> None:
    """Ends 3, with the reason, where no machine can be booted: what cannot be tried is not broken."""
    try:
        with Machine() as machine:
            machine.boot()
    except CannotBoot as why:
        print(why)
        sys.exit(3)


if __name__ == "__main__":
    trial()
