"""Wheel, source archive and single file, built from a copy of the tree and run where there is no tree."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import bare
from tests.packaging.dockerfile import ROOT
from tests.packaging.image import run

pytestmark = pytest.mark.packaging
NOBODY = 65534
SHORT_DEMO = ("demo", "--mailboxes", "8", "--speed", "1200", "--json")


def test_the_archive_holds_what_tests_and_wheel_need(packed: Path) -> None:
    (archive,) = packed.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"Makefile", "LICENSE", "constraints.txt", "Dockerfile", "tests/conftest.py", "sql/0001_tables.sql"} <= names
    assert not [name for name in names if name.startswith((".git/", "dist/", "secrets/")) or name.endswith(".pyc")]


def test_the_archive_builds_the_same_wheel(packed: Path, folder: Path) -> None:
    (wheel,) = packed.glob("*.whl")  # of the archive: build makes the archive first
    run(*(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"), str(folder / "again"), str(ROOT))
    (again,) = (folder / "again").glob("*.whl")
    assert contents(again) == contents(wheel)


def test_the_wheel_runs_where_there_is_no_tree(packed: Path, folder: Path) -> None:
    (wheel,) = packed.glob("*.whl")
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", str(venv))
    options = ("--quiet", "--disable-pip-version-check", "--constraint", str(ROOT / "constraints.txt"))
    run(str(venv / "bin/pip"), "install", *options, f"{wheel}[demo]")
    done = bare(str(venv / "bin/warmupd"), "--help", home=folder, cwd=folder)
    assert "warmup" in done.stdout
    done = bare(str(venv / "bin/warmupd"), *SHORT_DEMO, home=folder, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_the_single_file_lives_through_a_demo(binary: Path, folder: Path) -> None:
    home = folder / "nobodys"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    user = NOBODY if os.geteuid() == 0 else None
    done = bare(python_of_all(), str(binary), *SHORT_DEMO, home=home, cwd=home, user=user)
    assert done.returncode == 0, done.stderr
    assert list((home / ".cache/warmupd/pyz").glob("warmupd.pyz_*"))


def test_first_starts_at_once_do_not_disturb_each_other(binary: Path, folder: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "SHIV_ROOT": str(folder / "many")}
    started = [
        subprocess.Popen([sys.executable, str(binary), "--help"], env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert all("warmup" in process.communicate(timeout=120)[0] for process in started)
    assert {process.returncode for process in started} == {0}


def test_two_makings_are_the_same_file(binary: Path, folder: Path) -> None:
    run(sys.executable, str(ROOT / "scripts/binary.py"), str(folder / "second/warmupd.pyz"))
    assert (folder / "second/warmupd.pyz").read_bytes() == binary.read_bytes()


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def python_of_all() -> str:
    """One of this version that other users may start too; root's own may lie where they cannot look."""
    system = Path(f"/usr/bin/python3.{sys.version_info[1]}")
    return str(system) if system.exists() else sys.executable
