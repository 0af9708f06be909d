"""The same world on another database: what was backed up from one rig goes on in a second."""

import datetime as dt
from collections import Counter
from pathlib import Path

from tests.daemon.rig import Rig
from tests.daemon.world import World
from warmupd.mail.vault import Vault
from warmupd.store.backup import back_up
from warmupd.store.database import Database
from warmupd.store.lineage import close_for_move
from warmupd.store.restore import Restored, read_dump, restore


async def save(rig: Rig, file: Path, *, move: bool = False) -> None:
    """Back the rig's database up as it is now."""
    if move:
        await close_for_move(rig.db, at=rig.clock.now())
    with file.open("wb") as stream:
        await back_up(rig.db, stream, at=rig.clock.now())


async def revive(rig: Rig, db: Database, file: Path, *, move: bool = False) -> tuple[Rig, Restored]:
    """A rig on the empty `db`, with what the file holds; clock and mail server go on."""
    restored = await restore(db, read_dump(file), zone="UTC", move=move, at=rig.clock.now())
    other = Rig(db, rig.clock)
    other.key, other.server, other._origin = rig.key, rig.server, rig._origin
    other.world = World(db, Vault([rig.key]))
    other.world.passwords, other.world.owners = rig.world.passwords, rig.world.owners
    return other, restored


def accepted(rig: Rig, day: dt.date) -> Counter[str]:
    """Messages that the mail server took on that day (UTC), by sender."""
    origin = rig._origin
    taken = [(origin + dt.timedelta(seconds=one.accepted_at), one.sender) for one in rig.server.taken]
    return Counter(sender for at, sender in taken if at.date() == day)


def message_ids(rig: Rig) -> list[str]:
    return [one.message_id for one in rig.server.taken]
