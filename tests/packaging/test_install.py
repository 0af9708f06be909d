"""scripts/install.sh puts releases beside each other; only pip, whose work takes half a minute, is played here."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.dockerfile import ROOT

PLAYED = """\
#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
"-m pip install "*) printf '#!%s\\n' "$0" >"$(dirname "$0")/warmupd" ;;
esac
"""
HOLDS = """
import mmap, sys
file = open(sys.argv[1], 'rb')
held = mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ)
print(flush=True)
sys.stdin.read()
"""


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
        command = ["sh", str(ROOT / "scripts/install.sh"), "install"]
        subprocess.run(command, cwd=tmp_path, env=environ | {"DESTDIR": destination}, check=True, capture_output=True)
        return (tmp_path / destination / "usr/local/lib/warmupd").resolve(strict=True)

    return run


@pytest.mark.parametrize("destination", ["image", "./an image", "absolute"])
def test_program_starts_where_it_will_lie(install: Callable[[str], Path], tmp_path: Path, destination: str) -> None:
    release = install(str(tmp_path / destination) if destination == "absolute" else destination)
    assert (release / "bin/warmupd").read_text() == f"#!/usr/local/lib/{release.name}/bin/python\n"
    assert (release.parents[1] / "bin/warmupd").resolve() == release / "bin/warmupd"


def test_a_release_goes_when_nobody_runs_from_it(install: Callable[[str], Path]) -> None:
    first = install("image")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(first / "bin/warmupd")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as runs:
        assert runs.stdout
        runs.stdout.readline()
        second = install("image")
        assert set(first.parent.glob("warmupd-*")) == {first, second}
        runs.communicate()
    third = install("image")
    assert set(first.parent.glob("warmupd-*")) == {third}
