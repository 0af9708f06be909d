"""What the heavy tests share: a wheel, the single file, the image and a network that reaches nobody."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.packaging.container import Container, network
from tests.packaging.dockerfile import ROOT, read_dockerfile
from tests.packaging.image import BASE, build, run
from tests.packaging.postgres import postgres

UID = 10001
TREE = shutil.ignore_patterns(".*", "__pycache__", "dist", "build")


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Room on disk: what is built here is too large for memory. Programs of other users may look in."""
    place = BASE / f"run-{os.getpid()}"
    place.mkdir(parents=True)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def packed(folder: Path) -> Path:
    """A directory with wheel and source archive, built from a copy of the tree."""
    shutil.copytree(ROOT, folder / "tree", ignore=TREE)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "tree"))
    return folder / "dist"


@pytest.fixture(scope="session")
def binary(folder: Path) -> Path:
    """warmupd.pyz, made anew."""
    target = folder / "warmupd.pyz"
    run(sys.executable, str(ROOT / "scripts/binary.py"), str(target))
    return target


@pytest.fixture(scope="session")
def image(folder: Path) -> Path:
    """What the Dockerfile makes; skipped where that cannot be carried out."""
    if os.geteuid() != 0:
        pytest.skip("only root can change the root directory of a process")
    if missing := [name for name in ("debootstrap", "ip", "nsenter", "unshare", "chroot") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return Path(os.environ["WP7"]) if "WP7" in os.environ else build(folder / "image")


@pytest.fixture(scope="session")
def netns() -> Iterator[str]:
    with network(f"warmupd-{os.getpid()}") as name:
        yield name


@pytest.fixture
def database(folder: Path, netns: str) -> Iterator[str]:
    """The URL of a fresh Postgres on the loopback of `netns`."""
    place = Path(folder, f"database-{len(list(folder.iterdir()))}")
    place.mkdir()
    with postgres(place, netns) as url:
        yield url


@pytest.fixture
def volume(folder: Path) -> Path:
    """An empty volume, as an engine makes it from the image's directory."""
    place = Path(folder, f"volume-{len(list(folder.iterdir()))}")
    place.mkdir(mode=0o700)
    os.chown(place, UID, UID)
    return place


@pytest.fixture
def container(image: Path, netns: str, volume: Path) -> Iterator[Callable[..., Container]]:
    """Makes containers of the image on `volume`; none outlives the test."""
    made: list[Container] = []

    def make(env: Mapping[str, str] | None = None, *, on: Path = volume) -> Container:
        made.append(Container(image, read_dockerfile()[-1], volume=on, netns=netns, env=env or {}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def tool(name: str) -> str:
    """A linter of `make test-packaging`, beside this Python or on PATH; skipped where it is not."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed: make test-packaging does it")
    return found


def bare(*command: str, home: Path, cwd: Path, user: int | None = None) -> "subprocess.CompletedProcess[str]":
    """A program in an environment with next to nothing in it."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)}
    return subprocess.run(
        command, env=environ, cwd=cwd, user=user, group=user, extra_groups=None if user is None else [],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
