"""The first code of warmupd.pyz says where it cannot run, and keeps its place tidy."""

import ast
import fcntl
import platform
import runpy
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.dockerfile import ROOT

FILE = ROOT / "scripts/binary_main.py"
HERE = {
    "python": f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}",
    "system": f"{sys.platform} {platform.machine()}",
    "glibc": [2, 17],
    "bytes": 1000,
}


@pytest.fixture
def start() -> dict[str, Any]:
    """Its names, as on a machine like this."""
    names = runpy.run_path(str(FILE))
    names["MADE_FOR"].update(HERE)
    return names


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file like the real one would be unpacked; this process was started from it."""
    archive = tmp_path / "warmupd.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("environment.json", '{"build_id": "new"}')
    monkeypatch.setattr(sys, "argv", [str(archive)])
    root = tmp_path / "cache"
    for name in ("warmupd.pyz_old", "warmupd.pyz_new", "warmupd.pyz_older.tmp", "warmupd.pyz_busy"):
        (root / name / "site-packages").mkdir(parents=True)
    return root


def test_old_pythons_can_read_it() -> None:
    ast.parse(FILE.read_text(), feature_version=(3, 4))


def test_it_runs_where_it_was_made(start: dict[str, Any]) -> None:
    assert start["unfit"]() is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("python", "CPython 3.8", "python3.8"),
        ("system", "darwin arm64", "made for"),
        ("glibc", [9, 0], "needs glibc 9.0"),
    ],
)
def test_it_says_what_it_was_made_for(start: dict[str, Any], key: str, value: object, said: str) -> None:
    start["MADE_FOR"][key] = value
    assert said in start["unfit"]()


def test_versions_that_nobody_runs_are_taken_away(start: dict[str, Any], cached: Path) -> None:
    with (cached / ".warmupd.pyz_busy.in-use").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert start["unpacked_name"]() == "warmupd.pyz_new"
        start["hold"](str(cached), "warmupd.pyz_new")
    assert {place.name for place in cached.iterdir() if place.is_dir()} == {"warmupd.pyz_new", "warmupd.pyz_busy"}


def test_it_goes_elsewhere_where_home_cannot_be_written(
    start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHIV_ROOT", str(tmp_path / "file/pyz"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert start["cache"]("warmupd.pyz_new") == str(tmp_path / "elsewhere/warmupd/pyz")


def test_a_full_disk_is_said_and_not_tried(
    start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start["MADE_FOR"]["bytes"] = 10**18
    monkeypatch.setitem(start["cache"].__globals__, "places", lambda: [str(tmp_path / "full")])
    with pytest.raises(SystemExit):
        start["cache"]("warmupd.pyz_new")
    assert "XDG_CACHE_HOME" in capsys.readouterr().err


def test_a_directory_that_others_may_write_to_is_not_used(
    start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("SHIV_ROOT", str(tmp_path / "open"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert start["cache"]("warmupd.pyz_new") == str(tmp_path / "mine/warmupd/pyz")
