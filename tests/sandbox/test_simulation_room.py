"""A run that the machine has no room for is refused before anything starts."""

from pathlib import Path

import pytest

from warmupd.errors import UsageError
from warmupd.sandbox.simulation import room
from warmupd.sandbox.simulation.options import SimulationOptions
from warmupd.sandbox.simulation.room import check_room, memory_left

LARGE = SimulationOptions(mailboxes=100_000, workers=4)  # some 2 GiB


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that tells what the test writes."""
    monkeypatch.setattr(room, "MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text(
        "MemTotal: 9 kB\nMemAvailable:    3145728 kB\nSwapFree: 1048576 kB\nHugePages_Total: 0\n"
    )
    return tmp_path


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GiB left") as refused:
        check_room(tmp_path, SimulationOptions(mailboxes=2_000_000, per_day=2000, days=366))
    assert "TMPDIR" in str(refused.value.remedy)


def test_too_little_memory_is_named(machine: Path) -> None:
    check_room(machine, LARGE)
    (machine / "meminfo").write_text("MemAvailable: 1048576 kB\nSwapFree: 0 kB\n")
    with pytest.raises(UsageError, match=r"^1\.00 GiB of memory are left; this run may need 1\.[5-9]") as refused:
        check_room(machine, LARGE)
    assert "fewer mailboxes" in str(refused.value.remedy)


def test_a_container_has_what_its_limit_leaves_it_and_what_its_files_take_is_given_up(machine: Path) -> None:
    assert memory_left() == 4 << 30
    (machine / "memory.max").write_text("max\n")
    (machine / "memory.stat").write_text("anon 268435456\nfile 900000000\nkernel 134217728\nshmem 134217728\n")
    assert memory_left() == 4 << 30
    (machine / "memory.max").write_text("1073741824\n")
    assert memory_left() == 1 << 29


def test_where_nothing_tells_of_memory_nothing_is_refused_for_it(machine: Path) -> None:
    (machine / "meminfo").unlink()
    assert memory_left() is None
    check_room(machine, LARGE)
