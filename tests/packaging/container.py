"""Runs what the Dockerfile says to run: as its user, in namespaces of its own, with a root that is read-only."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.packaging.dockerfile import Stage
from tests.packaging.image import run

OUTSIDE = "192.0.2.10"  # RFC 5737: an address of the container's network that is not loopback
ASK = """
import json, sys, urllib.error, urllib.request
url, headers, body = json.loads(sys.stdin.read())
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, body and body.encode(), headers), timeout=10)
except urllib.error.HTTPError as error:
    answer = error
except OSError as error:
    print(json.dumps([0, str(error)])); sys.exit()
print(json.dumps([answer.status, answer.read().decode()]))
"""


@contextmanager
def network(name: str) -> Iterator[str]:
    """A network of this machine alone, with loopback and `OUTSIDE`; it reaches nobody."""
    run("ip", "netns", "add", name)
    try:
        inside = ("ip", "-n", name)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "addr", "add", f"{OUTSIDE}/32", "dev", "lo")
        yield name
    finally:
        run("ip", "netns", "del", name)


class Container:
    """One run of the image at `root`, of which `stage` is the last."""

    def __init__(self, root: Path, stage: Stage, *, volume: Path, netns: str, env: Mapping[str, str]) -> None:
        self._root, self._stage, self._volume, self._netns, self._env = root, stage, volume, netns, dict(env)
        self._log = volume.with_name(f"{volume.name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Of its process 1, as this machine counts."""
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + 10
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline
            time.sleep(0.01)  # no event tells that another process has got a child
        return int(found[0])

    def start(self, *command: str) -> None:
        """Its entry point, with `command` or the Dockerfile's own."""
        words = [*self._stage.last("ENTRYPOINT").words, *(command or self._stage.last("CMD").words)]
        state = self._root / self._stage.directory.lstrip("/")
        mounts = [
            "set -e",
            f"mount --bind {self._root} {self._root}",
            f"mount -o remount,bind,ro {self._root}",
            f"mount -t proc proc {self._root}/proc",
            f"mount --rbind /dev {self._root}/dev",
            f"mount -t tmpfs tmpfs {self._root}/tmp",
            f"mount --bind {self._volume} {state}" if self._volume.exists() else "true",
            'exec "$@"',
        ]
        namespaces = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", self._netns, *namespaces, "sh", "-c", "; ".join(mounts), "sh"),
                    *("chroot", f"--userspec={self._user}", str(self._root), *self._environment, *words),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self, patience: float = 60.0) -> int:
        """As `docker stop`; the exit code."""
        assert self._process
        if self._process.poll() is None:
            os.kill(self.pid, getattr(signal, self._stage.last("STOPSIGNAL").text))
        return self.wait(patience)

    def close(self) -> None:
        """Whatever state it is in."""
        if self._process and self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait(10)

    def wait(self, patience: float = 60.0) -> int:
        assert self._process
        return self._process.wait(patience)

    def exec(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """As `docker exec`."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--ipc", "--uts"]
        return subprocess.run(
            [*inside, "chroot", f"--userspec={self._user}", str(self._root), *self._environment, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(
        self, path: str, *, host: str = OUTSIDE, port: int = 3000, token: str = "", body: object = None
    ) -> tuple[int, str]:
        """Status and text; 0 when nobody answers. From `OUTSIDE` unless `host` is loopback."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        text = None if body is None else json.dumps(body)
        if text:
            headers["Content-Type"] = "application/json"
        done = subprocess.run(
            ["ip", "netns", "exec", self._netns, sys.executable, "-c", ASK],
            input=json.dumps([f"http://{host}:{port}{path}", headers, text]),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        status, said = json.loads(done.stdout)
        return status, said

    def until(self, path: str, wanted: int = 200, patience: float = 60.0, port: int = 3000) -> str:
        """Ask until it answers like that."""
        deadline = time.monotonic() + patience
        while True:
            status, said = self.ask(path, port=port)
            if status == wanted:
                return said
            assert self._process
            failed = self._process.poll() is not None or time.monotonic() > deadline
            assert not failed, f"{path}: {status} {said}\n{self.log[-3000:]}"
            time.sleep(0.2)  # asked over HTTP: nobody tells when the answer changes

    def healthy(self) -> bool:
        """What its HEALTHCHECK says."""
        words = shlex.split(self._stage.last("HEALTHCHECK").text.partition("CMD ")[2].strip("[]").replace(",", " "))
        return self.exec(*words).returncode == 0

    def secrets(self) -> str:
        """What is kept in the volume's config.toml."""
        return (self._volume / "config.toml").read_text()

    @property
    def _user(self) -> str:
        return self._stage.last("USER").text

    @property
    def _environment(self) -> list[str]:
        values = self._stage.environment | self._env
        return ["env", "-i", f"--chdir={self._stage.directory}", *(f"{name}={value}" for name, value in values.items())]
