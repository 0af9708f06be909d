"""The folder of a real stack, and in it whose it is, so that what a killed owner left can be swept away."""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "warmupd-mail-"
_OWNER = "owner.json"


def make_folder() -> Path:
    """A new folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    owner = {"pid": os.getpid(), "started": _started(os.getpid()), "boot": _boot(), "namespace": _namespace()}
    (folder / _OWNER).write_text(json.dumps(owner))
    folder.chmod(0o755)
    return folder


def sweep() -> list[Path]:
    """Remove the folders of owners that are gone, which hold test passwords and mail; those that were removed.

    Only what this user made, is no link, and names an owner whose process has ended: a folder that does not say whose
    it is stays, and so does one whose owner cannot be judged, as where there is no /proc.
    """
    swept = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if _is_ours(folder) and _is_orphaned(folder):
                shutil.rmtree(folder)
                swept.append(folder)
    return swept


def _is_ours(folder: Path) -> bool:
    about = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and about.st_uid == os.geteuid()


def _is_orphaned(folder: Path) -> bool:
    """Whether its owner has ended; its number may be another's by now, which began at another moment."""
    file = folder / _OWNER
    if file.is_symlink() or file.lstat().st_uid != os.geteuid():
        return False
    owner = json.loads(file.read_text())
    if not (owner["started"] and owner["boot"] and _boot()):
        return False
    if owner["boot"] != _boot():
        return True
    return bool(owner["namespace"] == _namespace() and _started(int(owner["pid"])) != owner["started"])


def _started(pid: int) -> str:
    """When process `pid` began, in ticks since this machine did; "" when there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """In which a process number means something: containers may share /tmp."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""
