"""The room that a run needs: on the disk, and in memory."""

import shutil
from contextlib import suppress
from pathlib import Path

from warmupd.errors import UsageError
from warmupd.sandbox.simulation.options import SimulationOptions

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
EMPTY_BYTES = 160_000_000  # a new cluster, its first log, and some air
WAL_BYTES = 1_200_000_000  # Postgres' log at most, at its own settings
MAILBOX_BYTES = 8_000
SEND_BYTES = 2_500  # its job with all indexes, and its line in the servers' record
VISITED_BYTES = 5_000  # with the sighting, and its header in the spool
# Of memory, from what runs took: 234 MiB with 100,000 mailboxes and one worker, 481 with four, 579 with 50,000 and ten.
PROCESS_BYTES = 80 * MIB
KNOWN_BYTES = KIB  # a mailbox, to each worker, and once more to the modelled servers
WORKER_BYTES = 64 * MIB  # what its connections to Postgres have for themselves
MACHINE = Path("/proc/meminfo")  # proc_meminfo(5)
CGROUP = Path("/sys/fs/cgroup")  # a container's own limit, and what it takes (cgroup-v2: memory.max, memory.stat)
NEVER_GIVEN_UP = ("anon", "shmem", "kernel")  # the rest is files', and is given up for who needs memory


def check_room(folder: Path, options: SimulationOptions) -> None:
    """Raise UsageError when disk or memory have less room than the run may need."""
    on_disk, in_memory = needed_disk(options), needed_memory(options)
    if (free := shutil.disk_usage(folder).free) < on_disk:
        raise UsageError(
            f"{folder.parent} has {free / GIB:.2f} GiB left; this run may need {on_disk / GIB:.2f}",
            remedy="point TMPDIR at a disk with more room, or simulate fewer mailboxes or days",
        )
    if (left := memory_left()) is not None and left < in_memory:
        raise UsageError(
            f"{left / GIB:.2f} GiB of memory are left; this run may need {in_memory / GIB:.2f}",
            remedy="simulate fewer mailboxes or workers, or end what else takes memory here",
        )


def needed_disk(options: SimulationOptions) -> int:
    """Bytes."""
    sends = options.mailboxes * options.per_day * options.days
    rows = options.mailboxes * MAILBOX_BYTES + sends * (VISITED_BYTES if options.visits_a_day else SEND_BYTES)
    return EMPTY_BYTES + rows + min(rows, WAL_BYTES)


def needed_memory(options: SimulationOptions) -> int:
    """Bytes, of the process and of its Postgres."""
    known = options.mailboxes * (options.workers + 1) * KNOWN_BYTES
    return PROCESS_BYTES + known + options.workers * WORKER_BYTES + options.memory * MIB


def memory_left() -> int | None:
    """Bytes that can be had, swap included; None where nothing tells (macOS)."""
    machine = _kib(MACHINE)
    if "MemAvailable" not in machine:
        return None
    left = (machine["MemAvailable"] + machine.get("SwapFree", 0)) * KIB
    with suppress(OSError, ValueError):  # ValueError: "max", there is no limit
        taken = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        held = sum(int(taken.get(name, 0)) for name in NEVER_GIVEN_UP)
        left = min(left, int((CGROUP / "memory.max").read_text()) - held)
    return left


def _kib(path: Path) -> dict[str, int]:
    with suppress(OSError):
        lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
        return {name.rstrip(":"): int(value) for name, value, *unit in lines if unit}
    return {}
