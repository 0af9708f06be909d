"""The unit files as they stand: systemd takes them, they expose little, and say why of each line."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.machine import TREE
from warmupd.cli.signals import HURRIED_WITHIN
from warmupd.config import Config
from warmupd.daemon.options import stop_within

UNITS = TREE / "systemd"
SERVICES = ("warmupd@.service", "warmupd-migrate.service")
ALL = (*SERVICES, "warmupd.target")
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


def test_migration_is_hardened_as_the_workers_are() -> None:
    worker, migration = ({line for line in hardening(service) if line[:1].isalpha()} for service in SERVICES)
    assert worker - migration == {"LimitNOFILE=65536"}
    assert migration <= worker


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
