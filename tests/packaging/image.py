"""Makes the directory that the Dockerfile's image would hold, in a Debian of the same release, with no engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.packaging.dockerfile import ROOT, Stage, read_dockerfile

BASE = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "warmupd-packaging"
STANDS_FOR_PYTHON_SLIM = "python3,python3-venv,ca-certificates"
OF_THE_MACHINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", "/etc/pip.conf")  # how pip gets out
HANDED_ON = ("PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def base(stage: Stage) -> Path:
    """What stands for `python:3.x-slim-RELEASE`: Debian's own Python on the same release, made once by debootstrap."""
    release = stage.image.rpartition("-")[2]
    place = BASE / release
    if not place.exists():
        draft = BASE / f"{release}.{os.getpid()}"
        draft.parent.mkdir(parents=True, exist_ok=True)
        run("debootstrap", "--variant=minbase", f"--include={STANDS_FOR_PYTHON_SLIM}", release, str(draft), *mirror())
        draft.rename(place)
    return place


def mirror() -> list[str]:
    """Where this machine's apt gets its packages from."""
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*debian*"))):
        if file.exists() and (
            found := re.search(r"^(?:deb|URIs:)\s+(?:\[.*\]\s+)?(\w+://\S+)", file.read_text(), re.MULTILINE)
        ):
            return [found[1]]
    return []


def build(folder: Path) -> Path:
    """Every stage in a directory of its own under `folder`; the last one's."""
    folder.mkdir(parents=True)
    places: dict[str, Path] = {}
    for number, stage in enumerate(read_dockerfile()):
        place = folder / (stage.name or f"stage-{number}")
        run("cp", "-a", "--reflink=auto", str(base(stage)), str(place))
        places[stage.name] = place
        _carry_out(stage, place, places)
    return place


def _carry_out(stage: Stage, place: Path, others: dict[str, Path]) -> None:
    directory = Path("/")
    for one in stage.instructions:
        if one.verb == "WORKDIR":
            directory = Path(one.text)
            (place / directory.relative_to("/")).mkdir(parents=True, exist_ok=True)
        elif one.verb == "COPY":
            _copy(one.words, place, directory, others)
        elif one.verb == "RUN":
            in_root(place, one.text, directory)


def _copy(words: list[str], place: Path, directory: Path, others: dict[str, Path]) -> None:
    source, *rest = words if words[0].startswith("--from=") else ["", *words]
    top = others[source.removeprefix("--from=")] if source else ROOT
    *names, target = rest
    goal = place / (directory / target).relative_to("/")
    for name in names:
        origin = top / name.lstrip("/")
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if not source else None
            shutil.copytree(origin, goal, symlinks=True, ignore=ignored)
        else:
            goal.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, goal)


def in_root(place: Path, command: str, directory: Path) -> None:
    """As `RUN`: by a shell, as root, with the network; mounts end with the namespace they are made in."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    local = {path for path in re.findall(r"(?:file://)?(/[^\s']+)", told.stdout) if Path(path).is_dir()}
    local |= {str(Path(path).parent) for path in local if Path(path).name == "simple"}
    script = ["set -e", f"mount --rbind /dev {place}/dev", f"mount -t proc proc {place}/proc"]
    for path in sorted({*OF_THE_MACHINE, *local}):
        if Path(path).exists():
            goal = place / path.lstrip("/")
            made = f"mkdir -p {goal}" if Path(path).is_dir() else f"mkdir -p {goal.parent}; touch {goal}"
            script += [made, f"mount --bind {path} {goal}"]
    environ = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(HANDED_ON)]
    script.append('exec chroot "$@"')
    inside = ["env", "-i", f"--chdir={directory}", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *environ]
    run("unshare", "--mount", "sh", "-c", "; ".join(script), "sh", str(place), *inside, "sh", "-c", command)


def run(*command: str) -> str:
    """To its end; raises with all it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-5000:]}"
    return done.stdout
