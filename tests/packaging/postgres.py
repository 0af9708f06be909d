"""A real Postgres that listens on loopback in a network namespace, with a password."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.packaging.image import run
from warmupd.store.binaries import find_binaries

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PASSWORD = "of-the-trial"


@contextmanager
def postgres(folder: Path, netns: str, port: int = 5432) -> Iterator[str]:
    """Its URL, as containers in that namespace take it."""
    programs = find_binaries().bin_dir
    data, secret = folder / "postgres", folder / "postgres-password"
    data.mkdir()
    secret.write_text(PASSWORD)
    run("chown", "nobody", str(data), str(secret))
    common = ("--auth=scram-sha-256", "--username=warmupd", f"--pwfile={secret}", "--no-sync", "--encoding=UTF8")
    run(*NOBODY, str(programs / "initdb"), "-D", str(data), *common, "--locale=C")
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", f"unix_socket_directories={data}"]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            ["ip", "netns", "exec", netns, *NOBODY, str(programs / "postgres"), "-D", str(data), "-c", "fsync=off"]
            + settings,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while not (data / "postmaster.pid").exists() or "ready" not in (data / "postmaster.pid").read_text():
            assert server.poll() is None and time.monotonic() < deadline, (folder / "postgres.log").read_text()
            time.sleep(0.05)
        yield f"postgresql://warmupd:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)
