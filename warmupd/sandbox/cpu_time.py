"""CPU time of processes, as Linux tells it in /proc (proc(5)): the one place where it is counted."""

import os
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from warmupd.errors import UsageError

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PROCESS_CLOCK = 2  # the clock of a process by its id is ~id << 3 | 2, as clock_getcpuclockid(3) makes it


def has_proc() -> bool:
    """Whether CPU time of other processes can be read here."""
    return (PROC / "self/stat").exists()


def require_proc() -> None:
    """Raises UsageError where it cannot."""
    if not has_proc():
        raise UsageError("warmupd bench reads CPU time from /proc, which this system does not have")


def cpu_seconds(roots: Collection[int]) -> float:
    """Of these processes and all that they have started, whether it has ended or not; 0.0 without /proc.

    To the nanosecond for what lives; what has ended counts by ticks (10 ms), once its parent has waited for it:
    then a sum may fall by as much.
    """
    spent: dict[int, float] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid in _pids():
        if fields := _stat(pid):
            own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
            spent[pid] = (fine_seconds(pid) or own / _TICKS) + ended / _TICKS
            children[int(fields[1])].append(pid)
    total, left = 0.0, list(roots)
    while left:
        pid = left.pop()
        total += spent.get(pid, 0.0)
        left += children[pid]
    return total


def children_of(pid: int) -> list[int]:
    """Those that live."""
    return [one for one in _pids() if (fields := _stat(one)) and int(fields[1]) == pid]


def fine_seconds(pid: int) -> float:
    """Of one process, all its threads and none of its children, to the nanosecond; 0.0 when it has ended."""
    with suppress(OSError):
        return time.clock_gettime(~pid << 3 | _PROCESS_CLOCK)
    return 0.0


def machine_seconds() -> float:
    """Of everybody on this machine: all but idle and waiting for disks; the time of guests is in user already."""
    counters = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _waiting, irq, softirq = map(int, counters[:7])
    return (user + nice + system + irq + softirq) / _TICKS


def _pids() -> list[int]:
    return [int(name) for name in (os.listdir(PROC) if PROC.is_dir() else ()) if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """What stands behind the program's name, the state first; [] when it has ended by now."""
    with suppress(OSError), open(f"{PROC}/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()
    return []
