"""The database cluster of the embedded Postgres: the directory `pgdata`, which initdb makes and the server fills."""

import asyncio
import shutil
from pathlib import Path

from warmupd.errors import DatabaseUnavailable
from warmupd.store import program
from warmupd.store.binaries import Binaries
from warmupd.store.run_as import RunAs

USER = "warmupd"  # the cluster's superuser


class Cluster:
    """`pgdata` in `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.path = data_dir / "pgdata"

    def exists(self) -> bool:
        return self.path.exists()

    def major(self) -> int | None:
        """Of the Postgres that made it; None while it is not there. Raises when the directory is something else."""
        if not self.exists():
            return None
        try:
            return int((self.path / "PG_VERSION").read_text())
        except (OSError, ValueError) as error:
            raise DatabaseUnavailable(
                f"{self.path} exists but holds no Postgres database",
                remedy="move it away, or set database.data_dir to another directory",
            ) from error

    async def create(self, binaries: Binaries, *, run_as: RunAs, fsync: bool) -> None:
        """Into a directory that gets its name when it is complete: a half-made one is never taken for a database."""
        fresh = self._data_dir / "pgdata.new"
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        run_as.give(self._data_dir, fresh)
        options = ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--no-locale", "--no-instructions"]
        command = [*run_as.prefix, str(binaries.bin_dir / "initdb"), "-D", str(fresh), "-U", USER, *options]
        made = await asyncio.to_thread(program.run, [*command, *([] if fsync else ["--no-sync"])])
        if made.returncode != 0:
            raise program.failure(f"in {self._data_dir} could not be created", made.stdout)
        fresh.rename(self.path)
