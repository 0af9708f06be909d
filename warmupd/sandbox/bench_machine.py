"""What a bench ran on: figures mean little without."""

import os
import platform
import ssl
from pathlib import Path

CROWDED = 0.25  # of a core, used by others than those who are measured
IN_MEMORY = "Postgres' data lay in memory: flushing it to disk cost nothing (TMPDIR names another place)"


def crowded(cores: float) -> str:
    """What so many cores of others mean for figures."""
    return f"others used {cores:.2f} cores meanwhile: compare ratios alone, or measure again when it is quiet"


def machine(folder: Path) -> dict[str, str | int]:
    """Of this machine; `folder` is where Postgres' data lay."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "file_system": _file_system(folder),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _file_system(folder: Path) -> str:
    """Its type: in memory ("tmpfs") nothing is ever flushed to a disk."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    place = f"{folder.resolve()}/"
    for line in lines:
        _, point, found, *_ = line.split(" ")
        inside = place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind
