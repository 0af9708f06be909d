"""The user whom the embedded Postgres runs as, for initdb and postgres refuse root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from warmupd.errors import DatabaseUnavailable
from warmupd.store.program import succeeds


@dataclass(frozen=True, kw_only=True, slots=True)
class RunAs:
    """Who the server runs as; without arguments oneself."""

    prefix: tuple[str, ...] = ()  # of every command
    uid: int | None = None  # who must be given the files; None when they stay as they are
    gid: int = -1

    @classmethod
    def for_cluster(cls, cluster: Path) -> Self:
        """Oneself; for root the owner of an existing cluster, else root behind a user namespace, else nobody."""
        if os.geteuid() != 0:
            return cls()
        owner = cluster.stat() if cluster.exists() else None
        if owner is not None and owner.st_uid != 0:
            return cls._dropped_to(owner.st_uid, owner.st_gid)
        behind = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
        if succeeds([*behind, "true"]):
            return cls(prefix=behind)
        nobody = pwd.getpwnam("nobody")
        return cls._dropped_to(nobody.pw_uid, nobody.pw_gid)

    @classmethod
    def _dropped_to(cls, uid: int, gid: int) -> Self:
        prefix = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
        if not succeeds([*prefix, "true"]):
            raise DatabaseUnavailable(
                "Postgres refuses to run as root, and neither unshare nor setpriv works here",
                remedy="run warmupd as an ordinary user, or set database.url to a running Postgres",
            )
        return cls(prefix=prefix, uid=uid, gid=gid)

    def give(self, *paths: Path) -> None:
        """Make that user their owner, each alone."""
        for path in paths:
            if self.uid is not None and path.lstat().st_uid != self.uid:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def give_tree(self, top: Path) -> None:
        """Likewise with everything below, where the top is not yet that user's."""
        if self.uid is not None and top.stat().st_uid != self.uid:
            for folder, _, files in os.walk(top):
                self.give(Path(folder), *(Path(folder, file) for file in files))
