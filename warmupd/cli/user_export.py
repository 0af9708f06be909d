"""`warmupd user export`: all that is a user's, as a zip."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import ConfigPath
from warmupd.cli.user_set import UserEmail
from warmupd.errors import UsageError, WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session

EXAMPLE = "Example: warmupd user export owner@example.com -o owner.zip"

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Where to. (default: named for the user)", show_default=False),
]


def export(email: UserEmail, config: ConfigPath = None, output: Output = None) -> None:
    """Write all of a user's data into a zip: JSON lines, without passwords and tokens.

    Profile, mailboxes, days, jobs, where messages were found, history, settings. Of other people's mailboxes it names
    the provider only. The file is for the owner alone (mode 0600); an existing one is never written over.
    """
    from warmupd.cli.session import work
    from warmupd.daemon.handover import hand_over, name_of
    from warmupd.store.users import find_user

    async def task(session: "Session") -> Path:
        user, at = await find_user(session.db, email), session.clock.now()
        place = output or Path(name_of(user.email, at=at))
        descriptor = _new_file(place)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for piece in hand_over(session.db, user.id, at=at):
                    file.write(piece)
        except BaseException:
            place.unlink(missing_ok=True)  # half of it is no export
            raise
        return place

    print(f"wrote {work(config, task, name='user export')}")


def _new_file(place: Path) -> int:
    try:
        return os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{place} is there already", remedy="name another file with -o") from error
    except OSError as error:
        raise WarmupdError(f"{place} cannot be written: {error.strerror}", remedy="name another place") from error
