"""What the killer tells of workers that ended."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.killer import Hand, Killer


def _told(folder: Path, code: int | None, *, log: str = "worker.started", **known: Any) -> list[str]:
    file = folder / "worker-0.log"
    file.write_text(log)
    process: Any = SimpleNamespace(exitcode=code, is_alive=lambda: code is None)
    spec: Any = SimpleNamespace(log=file)
    world: Any = SimpleNamespace()
    killer = Killer(world, None)
    killer.hands.append(Hand(spec=spec, id="auto", process=process, started_at=0.0, **known))
    return killer.deaths()


@pytest.mark.parametrize("by", ["stop", "spare", "end"])
def test_worker_that_fails_while_it_stops_is_told(tmp_path: Path, by: str) -> None:
    known: dict[str, Any] = {"ended_by": by, "signalled": signal.SIGTERM}
    assert _told(tmp_path, 1, **known) == ["worker-0 ended with 1 after SIGTERM"]
    assert _told(tmp_path, 0, **known) == []


def test_worker_that_hangs_while_it_stops_is_told(tmp_path: Path) -> None:
    known: dict[str, Any] = {"ended_by": "stop", "signalled": signal.SIGTERM, "hung": True}
    assert _told(tmp_path, -9, **known) == ["worker-0 did not stop within 12 s of SIGTERM"]


def test_worker_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    assert _told(tmp_path, 1) == ["worker-0 ended by itself with 1"]
    assert _told(tmp_path, None) == []


def test_worker_that_was_killed_is_not_told(tmp_path: Path) -> None:
    assert _told(tmp_path, -9, ended_by="kill", signalled=signal.SIGKILL) == []


def test_worker_that_could_not_begin_is_not_told(tmp_path: Path) -> None:
    assert _told(tmp_path, 1, log="") == []
