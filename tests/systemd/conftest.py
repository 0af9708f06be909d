"""One machine for all tests of the units: warmupd installed, a Postgres, and a target with two workers."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.systemd.machine import TREE, CannotBoot, Machine

CONFIG = "/etc/warmupd/config.toml"
SERVER = """\
[Service]
User=pg
StateDirectory=pg
RuntimeDirectory=postgresql
ExecStart={bin}/postgres -D /var/lib/pg/data -k /run/postgresql -c listen_addresses= -c fsync=off
KillSignal=SIGINT
"""
QUICK = """\
[Service]
WatchdogSec=8s
RestartSec=200ms
"""
URL = "postgresql://warmupd@/warmupd?host=/run/postgresql"


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Booted and installed. Where no machine can be booted the tests are skipped, with the reason."""
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(Machine())
            install(machine)
            machine.boot()
        except CannotBoot as why:
            pytest.skip(f"no machine can be booted here: {why}")
        start_postgres(machine)
        configure(machine)
        machine.sure("systemctl", "enable", "--now", "warmupd@0", "warmupd@1", "warmupd.target")
        yield machine


def install(machine: Machine) -> None:
    """As on a fresh machine: what this one may have of it is not there."""
    steps = """
        rm -rf /etc/warmupd /usr/local/lib/warmupd* && cd /src && sh scripts/install.sh install
        mkdir -p /root/tree && cp -r scripts systemd config.toml.example /root/tree
    """
    done = machine.unbooted("/bin/sh", "-ec", steps, binds=(f"--bind-ro={TREE}:/src",))
    assert done.returncode == 0, done.stdout + done.stderr


def start_postgres(machine: Machine) -> None:
    """The programs are those of the wheel; who may come in is asked of the socket (peer)."""
    find = "from warmupd.store.binaries import find_binaries; print(find_binaries().bin_dir)"
    where = machine.sure("/usr/local/lib/warmupd/bin/python", "-c", find).strip()
    make = f"""
        useradd --system pg && install -d -o pg -m 700 /var/lib/pg
        runuser -u pg -- {where}/initdb -D /var/lib/pg/data -U warmupd --auth=peer --no-locale -E UTF8 --no-sync
        echo 'CREATE DATABASE warmupd' | runuser -u pg -- {where}/postgres --single -D /var/lib/pg/data postgres
    """
    machine.sure("sh", "-ec", make)
    machine.write("/etc/systemd/system/postgresql.service", SERVER.format(bin=where))
    machine.sure("systemctl", "daemon-reload")
    machine.sure("systemctl", "start", "postgresql")


def configure(machine: Machine) -> None:
    """As `make install` says it, with one secret as a credential, and a watchdog that bites sooner."""
    as_daemon = ("runuser", "-u", "warmupd", "--")
    init = (
        "warmupd",
        "init",
        "--directory",
        "/etc/warmupd",
        "--admin-email",
        "admin@example.com",
        "--database-url",
        URL,
    )
    machine.sure(*as_daemon, *init, "--password-stdin", stdin="a password of some length")
    before, _, rest = machine.read(CONFIG).partition("[auth]\n# Signs log-in tokens.\n")
    line, _, after = rest.partition("\n")
    secret = json.loads(line.partition(" = ")[2])
    machine.write("/etc/warmupd/credentials/auth.secret", secret)
    machine.write(CONFIG, f"[worker]\ncount = 2\nlease_seconds = 3\n{before}{after}")
    machine.write("/etc/systemd/system/warmupd@.service.d/quick.conf", QUICK)
    machine.sure("systemctl", "daemon-reload")
