"""Runs leave nothing behind: not even those that were killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from warmupd.sandbox.scratch import LOCK, scratch

OWNER = """
from warmupd.sandbox.scratch import scratch
with scratch("bench") as folder:
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_lasts_as_long_as_its_run(place: Path) -> None:
    with scratch("simulation") as folder:
        (folder / "data").write_text("much")
        assert folder.parent == place
    assert not list(place.iterdir())


def test_what_a_killed_run_left_is_cleared_away_and_what_lives_is_let_be(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        left = Path(owner.stdout.readline().strip())
        with scratch("visits"):
            assert (left / LOCK).exists()
        owner.kill()
    assert left.exists()
    with scratch("visits"):
        assert not left.exists()


def test_folders_without_the_mark_are_nobodys_business(place: Path) -> None:
    (other := place / "warmupd-bench-notes").mkdir()
    (place / "warmupd-bench-link").symlink_to(other)
    with scratch("bench"):
        pass
    assert other.exists()
