"""The most memory that this process had resident, as Linux tells it in /proc (proc(5))."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

_OWN = Path("/proc/self")


def reset_peak_memory() -> None:
    """From here on `peak_memory` counts anew; where that cannot be it counts from the start of the process."""
    with suppress(OSError):
        (_OWN / "clear_refs").write_text("5")  # proc_pid_clear_refs(5)


def peak_memory() -> int:
    """Bytes that this process had resident at most. A child's ru_maxrss begins with its parent's, VmHWM does not."""
    with suppress(OSError, StopIteration):
        lines = (_OWN / "status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
