"""A real Postgres that listens on loopback in a network namespace, with a password."""

import signal
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
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": data, "fsync": "off"}
    server_command = [str(programs / "postgres"), "-D", str(data)]
    server_command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            ["ip", "netns", "exec", netns, *NOBODY, *server_command], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 30
        while not (data / "postmaster.pid").exists() or "ready" not in (data / "postmaster.pid").read_text():
            failed = server.poll() is not None or time.monotonic() > deadline
            assert not failed, (folder / "postgres.log").read_text()
            time.sleep(0.05)  # Postgres says that it is ready in a file alone
        yield f"postgresql://warmupd:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # fast: clients may still be there
        server.wait(30)
