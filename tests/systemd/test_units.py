"""The units at work, in a machine of their own: two workers are reloaded, killed, frozen, kept waiting, stopped."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.systemd.conftest import CONFIG
from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd

WORKERS = (0, 1)
ASK = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
except (urllib.error.HTTPError, OSError) as error:
    print(error.read().decode() if isinstance(error, urllib.error.HTTPError) else error)
"""


def unit(worker: int) -> str:
    return f"warmupd@{worker}.service"


def asked(machine: Machine, worker: int, path: str) -> str:
    """What the worker answers, well or not, or why it does not."""
    url = f"http://127.0.0.1:{3000 + worker}{path}"
    return machine.run("/usr/local/lib/warmupd/bin/python", "-c", ASK, url).stdout


def healthy(machine: Machine, worker: int) -> bool:
    told = machine.show(unit(worker), "ActiveState", "StatusText")
    line = told["StatusText"].startswith("1 of 2 slots, 0 mailboxes, 0 sends under way")
    return told["ActiveState"] == "active" and line and '"ready":true' in asked(machine, worker, "/readyz")


def until_healthy(machine: Machine) -> None:
    for worker in WORKERS:
        machine.until(lambda worker=worker: healthy(machine, worker), f"{unit(worker)} is healthy")  # type: ignore[misc]


def pid_of(machine: Machine, worker: int) -> str:
    return machine.show(unit(worker), "MainPID")["MainPID"]


@pytest.fixture(autouse=True)
def well_before_and_after(machine: Machine) -> Iterator[None]:
    until_healthy(machine)
    yield
    machine.sure("systemctl", "start", "postgresql", "warmupd.target")
    until_healthy(machine)


def test_each_instance_holds_its_slot_and_shows_it(machine: Machine) -> None:
    for worker in WORKERS:
        assert re.search(r"^warmup_slots_held 1\.0$", asked(machine, worker, "/metrics"), re.MULTILINE)
        assert not machine.told(unit(worker), "http.closed"), "auth.secret came as a credential"
    assert machine.show("warmupd-migrate.service", "ActiveState", "Result") == {
        "ActiveState": "active",
        "Result": "success",
    }
    status = json.loads(machine.sure("runuser", "-u", "warmupd", "--", "warmupd", "status", "--json"))
    assert (status["slots_held"], len(status["workers"])) == (2, 2)


def test_one_more_stands_by_and_counts_as_started(machine: Machine) -> None:
    machine.sure("systemctl", "start", "warmupd@auto-3")
    assert machine.show("warmupd@auto-3.service", "StatusText")["StatusText"].startswith("stands by: ")
    assert "it stands by" in asked(machine, 2, "/readyz"), "on the first port that is free"
    machine.sure("systemctl", "stop", "warmupd@auto-3")


def test_changed_key_is_taken_over(machine: Machine) -> None:
    before, pid = machine.read(CONFIG), pid_of(machine, 0)
    machine.write(CONFIG, before.replace("#target_daily = 40", "target_daily = 41"))
    machine.sure("systemctl", "reload", unit(0))
    assert machine.told(unit(0), "config.reloaded")[-1]["taken_over"] == ["quota.target_daily"]
    assert not machine.told(unit(1), "config.reloaded")
    assert pid_of(machine, 0) == pid
    machine.write(CONFIG, before)
    machine.sure("systemctl", "reload", "warmupd@*")


def test_refused_configuration_fails_the_reload_and_changes_nothing(machine: Machine) -> None:
    before, pid = machine.read(CONFIG), pid_of(machine, 0)
    machine.write(CONFIG, before.replace("#target_daily = 40", "target_dayly = 41"))
    done = machine.run("systemctl", "reload", unit(0))
    assert done.returncode != 0
    assert "quota.target_dayly" in machine.told(unit(0), "config.refused")[-1]["why"]
    told = machine.show(unit(0), "ActiveState", "MainPID", "StatusText")
    assert (told["ActiveState"], told["MainPID"]) == ("active", pid)
    assert told["StatusText"].endswith("; the last reload was refused")
    assert "quota.target_dayly" in machine.sure("journalctl", "-u", unit(0), "-t", "warmupd@0", "-n", "20", "-o", "cat")
    machine.write(CONFIG, before)
    machine.sure("systemctl", "reload", unit(0))
    assert not machine.show(unit(0), "StatusText")["StatusText"].endswith("refused")


def test_signal_alone_reloads_as_well(machine: Machine) -> None:
    number = len(machine.told(unit(1), "config.reloaded"))
    machine.sure("systemctl", "kill", "--kill-who=main", "--signal=HUP", unit(1))
    machine.until(lambda: len(machine.told(unit(1), "config.reloaded")) > number, "config.reloaded")


def test_killed_worker_is_started_again(machine: Machine) -> None:
    pids = [pid_of(machine, worker) for worker in WORKERS]
    machine.sure("systemctl", "kill", "--kill-who=main", "--signal=KILL", unit(0))
    machine.until(lambda: pid_of(machine, 0) not in {pids[0], "0"}, "a new process")
    until_healthy(machine)
    assert pid_of(machine, 1) == pids[1]


def test_frozen_worker_is_ended_by_the_watchdog(machine: Machine) -> None:
    pids = [pid_of(machine, worker) for worker in WORKERS]
    machine.sure("systemctl", "kill", "--kill-who=main", "--signal=STOP", unit(1))
    machine.until(lambda: pid_of(machine, 1) not in {pids[1], "0"}, "a new process")
    until_healthy(machine)
    assert pid_of(machine, 0) == pids[0]
    log = machine.sure("journalctl", "-u", unit(1), "-o", "cat", "--no-pager")
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log, "it said where it hung"


def test_database_that_is_away_is_waited_for(machine: Machine) -> None:
    pids = [pid_of(machine, worker) for worker in WORKERS]
    machine.sure("systemctl", "stop", "postgresql")
    waiting = "waits for the database"
    machine.until(lambda: waiting in machine.show(unit(0), "StatusText")["StatusText"], waiting)
    machine.sure("sleep", "10")  # WatchdogSec and more: signs of life go on. What counts as stuck: test_progress.py
    machine.sure("systemctl", "start", "postgresql")
    until_healthy(machine)
    assert [pid_of(machine, worker) for worker in WORKERS] == pids


def test_backup_is_made_read_back_and_kept(machine: Machine) -> None:
    for _ in range(2):
        machine.sure("systemctl", "start", "warmupd-backup")
        machine.sure("sleep", "1")  # their names are times
    kept = machine.sure("ls", "/var/lib/warmupd/backups").split()
    assert [bool(re.fullmatch(r"warmupd-\d{8}T\d{6}Z\.gz", name)) for name in kept] == [True, True]
    assert "the file is whole" in machine.sure("journalctl", "-u", "warmupd-backup", "-o", "cat", "--no-pager")
    assert machine.run("systemctl", "is-enabled", "warmupd-backup.timer").stdout == "disabled\n"


def test_stop_is_orderly(machine: Machine) -> None:
    """Nothing is in flight here; tests/acceptance/test_signals.py stops workers that have sends under way."""
    machine.sure("systemctl", "stop", "warmupd.target")
    machine.sure("systemctl", "stop", "warmupd@*")  # the target does not wait for them
    for worker in WORKERS:
        told = machine.show(unit(worker), "ActiveState", "Result", "ExecMainStatus")
        assert told == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
        events = [line["event"] for line in machine.journal(unit(worker))]
        assert events[-1] == "worker.stopped"
        assert not {"worker.hurried", "settle.lost"} & set(events[events.index("worker.draining") :])
    assert machine.show("warmupd-migrate.service", "ActiveState")["ActiveState"] == "inactive"


def test_database_that_comes_late_is_waited_for(machine: Machine) -> None:
    machine.sure("systemctl", "stop", "warmupd.target", "warmupd@*", "postgresql")
    machine.sure("systemctl", "start", "--no-block", "warmupd.target")
    machine.until(lambda: int(machine.show(unit(0), "NRestarts")["NRestarts"]) > 1, "a second try")
    machine.sure("systemctl", "start", "postgresql")
    until_healthy(machine)
