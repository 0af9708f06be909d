"""The unit files as they stand: systemd takes them, they expose little, and say why of each line."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.machine import TREE
from warmupd.cli.signals import HURRIED_WITHIN
from warmupd.config import Config
from warmupd.daemon.options import stop_within

UNITS = TREE / "systemd"
SERVICES = ("warmupd@.service", "warmupd-migrate.service", "warmupd-backup.service")
ALL = (*SERVICES, "warmupd.target", "warmupd-backup.timer")
MOST = 2.0  # of 10: what systemd-analyze may think that an intruder could do

needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def hardening(service: str) -> list[str]:
    """The lines from its headline to the end of the section."""
    return (UNITS / service).read_text().partition("# -- Hardening")[2].partition("\n[")[0].splitlines()[1:]


def test_worker_has_time_to_drain() -> None:
    text = (UNITS / "warmupd@.service").read_text()
    allowed = 60 * int(re.findall(r"^TimeoutStopSec=(\d+)min$", text, re.MULTILINE)[0])
    longest = stop_within(Config.isolated())
    assert f" {longest:g} s with the default time-outs" in text
    assert allowed >= longest + HURRIED_WITHIN


@pytest.mark.parametrize("service", SERVICES)
def test_each_line_of_the_hardening_says_why(service: str) -> None:
    lines = hardening(service)
    bare = [line for above, line in zip(["", *lines], lines, strict=False) if line[:1].isalpha() and above[:1] != "#"]
    assert len(lines) > 50
    assert bare == ["AmbientCapabilities="], "it shares its reason with the line above it"


@pytest.mark.parametrize("service", SERVICES[1:])
def test_others_are_hardened_as_the_workers_are(service: str) -> None:
    worker, other = ({line for line in hardening(one) if line[:1].isalpha()} for one in (SERVICES[0], service))
    assert worker - other == {"LimitNOFILE=65536"}
    assert other <= worker


def test_installation_knows_every_unit() -> None:
    script = (TREE / "scripts/install.sh").read_text()
    made, _, removed = script.partition("uninstall_all()")
    for unit in ALL:
        assert unit in made
        assert f"$UNITS/{unit}" in removed


def test_home_of_the_daemons_user_is_there_before_a_unit_has_started() -> None:
    home = (UNITS / "warmupd.sysusers").read_text().split()[-1]
    assert f"d {home} 0700 warmupd warmupd" in (UNITS / "warmupd.tmpfiles").read_text().splitlines()


def steps_of_backup(folder: Path) -> list[list[str]]:
    """The commands of the unit, as systemd takes them apart, for another place."""
    text = (UNITS / "warmupd-backup.service").read_text().replace("\\\n", " ")
    meant = {"%%": "%", "$$": "$", "%S": str(folder)}
    lines = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return [shlex.split(re.sub(r"%%|\$\$|%S", lambda one: meant[one[0]], line)) for line in lines]


def test_backup_is_checked_before_it_counts_and_before_an_old_one_goes() -> None:
    backup, check, keep = steps_of_backup(Path("/state"))
    assert backup[1:] == ["backup", "--force", "/state/warmupd/backups/unchecked.gz"]
    assert check[1:] == ["restore", "--check", backup[-1]]
    assert keep[0] == "/bin/sh"
    assert "ExecStart=-" not in (UNITS / "warmupd-backup.service").read_text(), "none may fail unseen"


def test_last_fourteen_backups_stay_and_nothing_goes_without_a_new_one(tmp_path: Path) -> None:
    folder, keep = tmp_path / "warmupd/backups", steps_of_backup(tmp_path)[-1]
    folder.mkdir(parents=True)
    old = [f"warmupd-202601{day:02}T031500Z.gz" for day in range(1, 17)]
    for name in (*old, "my-own.gz"):
        (folder / name).touch()
    assert subprocess.run(keep, capture_output=True, check=False).returncode != 0
    assert len(list(folder.iterdir())) == 17
    (folder / "unchecked.gz").write_text("new")
    subprocess.run(keep, check=True)
    assert {file.name for file in folder.iterdir()} > {"my-own.gz", *old[-13:]}
    (new,) = {file.name for file in folder.iterdir()} - {"my-own.gz", *old[-13:]}
    assert (folder / new).read_text() == "new"


@needs_analyze
@pytest.mark.parametrize("service", SERVICES)
def test_exposure_is_low(service: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST * 10:.0f}", str(UNITS / service))
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(re.findall(r"Overall exposure level for \S+ (\d+\.\d)", done.stdout)[0]) <= MOST


@needs_analyze
def test_units_are_understood(tmp_path: Path) -> None:
    """It ends 0 whatever it finds: what it says counts."""
    for unit in ALL:
        (tmp_path / unit).write_text((UNITS / unit).read_text().replace("/usr/local/bin/warmupd", "/bin/true"))
    done = analyze("verify", "--man=no", *(str(tmp_path / unit) for unit in ALL))
    assert [line for line in done.stderr.splitlines() if "warmupd" in line] == []
    (tmp_path / "warmupd.target").write_text("[Unit]\nPartOff=nothing\n")
    assert "PartOff" in analyze("verify", "--man=no", str(tmp_path / "warmupd.target")).stderr
