"""scripts/install.sh puts releases beside each other; only pip, whose work takes half a minute, is played here."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.packaging.dockerfile import ROOT

PLAYED = """\
#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
"-m pip install "*) [ ! -e "$(dirname "$PYTHON")/no network" ] && printf '#!%s\\n' "$0" >"$(dirname "$0")/warmupd" ;;
esac
"""
MOVES = """\
#!/bin/sh
program() { [ -e "$DESTDIR/usr/local/bin/warmupd" ] || echo "no program" >>"$(dirname "$0")/gaps"; }
program
/bin/mv "$@"
program
"""
STOPS = """\
live() { true; }
systemctl() {
    echo "$*"
    if [ "$1" = stop ]; then for unit; do
        case $unit in stop | *'*'*) ;; *) [ -e "$UNITS/$unit" ] || return 5 ;; esac
    done; fi
}
stop_and_disable
echo gone on
"""
HOLDS = """
import mmap, sys
file = open(sys.argv[1], 'rb')
held = mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ)
print(flush=True)
sys.stdin.read()
"""


SCRIPT = ROOT / "scripts/install.sh"


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], Path]:
    """`make install DESTDIR=...` from `tmp_path`; returns the release that is in force."""
    python = tmp_path / "python"
    python.write_text(PLAYED)
    python.chmod(0o755)
    later = tmp_path / "date"  # each a second after the one before
    later.write_text('#!/bin/sh\ncd "$(dirname "$0")" && echo >>n && wc -l <n | sed "s/^/2026112210000/"\n')
    later.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": str(python)}

    def run(destination: str) -> Path:
        command = ["sh", str(SCRIPT), "install"]
        subprocess.run(command, cwd=tmp_path, env=environ | {"DESTDIR": destination}, check=True, capture_output=True)
        return (tmp_path / destination / "usr/local/lib/warmupd").resolve(strict=True)

    return run


@pytest.mark.parametrize("destination", ["image", "./an image", "absolute"])
def test_program_starts_where_it_will_lie(install: Callable[[str], Path], tmp_path: Path, destination: str) -> None:
    release = install(str(tmp_path / destination) if destination == "absolute" else destination)
    assert (release / "bin/warmupd").read_text() == f"#!/usr/local/lib/{release.name}/bin/python\n"
    assert (release.parents[1] / "bin/warmupd").resolve() == release / "bin/warmupd"


@contextmanager
def running(program: Path) -> Iterator[None]:
    """Somebody who has `program` in memory, as a worker its libraries."""
    command = [sys.executable, "-c", HOLDS, str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as runs:
        assert runs.stdout
        runs.stdout.readline()
        yield
        runs.communicate()


@pytest.mark.parametrize("destination", ["image", "link"])
def test_a_release_goes_when_nobody_runs_from_it(
    install: Callable[[str], Path], tmp_path: Path, destination: str
) -> None:
    (tmp_path / "link").symlink_to("image")
    (tmp_path / "image").mkdir()
    first = install(destination)
    with running(first / "bin/warmupd"):
        second = install(destination)
        assert set(first.parent.glob("warmupd-*")) == {first, second}
    third = install(destination)
    assert set(first.parent.glob("warmupd-*")) == {third}


def before_releases(destination: Path) -> Path:
    """A program in the layout before there were releases, and half of its next version; returns where it lies."""
    lib = destination / "usr/local/lib"
    for name in ("warmupd", "warmupd.new"):
        (lib / name / "bin").mkdir(parents=True)
    program = lib / "warmupd/bin/warmupd"
    program.write_text("#!before\n")
    program.chmod(0o755)
    (destination / "usr/local/bin").mkdir()
    (destination / "usr/local/bin/warmupd").symlink_to("../lib/warmupd/bin/warmupd")
    return lib


def test_an_upgrade_over_one_that_broke_off_always_leaves_a_program(
    install: Callable[[str], Path], tmp_path: Path
) -> None:
    lib = before_releases(tmp_path / "absolute")
    (tmp_path / "mv").write_text(MOVES)
    (tmp_path / "mv").chmod(0o755)
    with running(lib / "warmupd/bin/warmupd"):
        first = install(str(tmp_path / "absolute"))
        assert not (tmp_path / "gaps").exists(), (tmp_path / "gaps").read_text()
        assert (lib.parent / "bin/warmupd").resolve() == first / "bin/warmupd"
        assert set(lib.glob("warmupd*")) == {lib / "warmupd", first, lib / "warmupd-00000000000000"}
    second = install(str(tmp_path / "absolute"))
    assert set(lib.glob("warmupd*")) == {lib / "warmupd", second}


def test_an_upgrade_that_fails_leaves_the_program_of_before(install: Callable[[str], Path], tmp_path: Path) -> None:
    lib = before_releases(tmp_path / "image")
    (tmp_path / "no network").touch()
    with pytest.raises(subprocess.CalledProcessError):
        install("image")
    assert (lib.parent / "bin/warmupd").read_text() == "#!before\n"


def test_what_is_no_release_stays(install: Callable[[str], Path], tmp_path: Path) -> None:
    lib = install("image").parent
    for name in ("warmupd-2-of-mine", "warmupd-20261122", "warmupd-20261122100001.bak"):
        (lib / name).mkdir()
    install("image")
    command = ["sh", str(SCRIPT), "uninstall"]
    subprocess.run(command, env=os.environ | {"DESTDIR": str(tmp_path / "image")}, check=True, capture_output=True)
    assert {path.name for path in lib.glob("warmupd*")} == {
        "warmupd-2-of-mine",
        "warmupd-20261122",
        "warmupd-20261122100001.bak",
    }


@pytest.mark.parametrize(
    "units", [{"warmupd.target"}, {"warmupd.target", "warmupd-backup.service", "warmupd-backup.timer"}]
)
def test_an_uninstall_stops_the_units_that_are_there(tmp_path: Path, units: set[str]) -> None:
    for unit in units:
        (tmp_path / unit).touch()
    functions = SCRIPT.read_text().partition("\ncase ${1:-} in")[0]
    command = ["sh", "-c", f"{functions}\nUNITS='{tmp_path}'\n{STOPS}", str(SCRIPT)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    stop = next(line for line in done.stdout.splitlines() if line.startswith("stop "))
    assert set(stop.split()[1:]) == units | {"warmupd@*.service"}
    assert done.stdout.endswith("gone on\n")
