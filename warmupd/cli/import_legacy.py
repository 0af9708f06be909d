"""`warmupd import-legacy`: takes over the old system's users, accounts and what they have sent."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.legacy_accounts import AccountTaker

EXAMPLE = "Example: WARMUP_LEGACY_URL=postgresql://reader:secret@old:5432/warmup warmupd import-legacy --dry-run"

From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="URL",
        envvar="WARMUP_LEGACY_URL",  # keeps a password out of the process list
        help="The old system's PostgreSQL, as postgresql://user@host:5432/name?schema=public.",
        show_default=False,
    ),
]
User = Annotated[
    str | None,
    typer.Option("--user", metavar="EMAIL", help="Who gets the accounts whose owner is not known.", show_default=False),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NAME=OLDNAME",
        help="What a table or column is called there: accounts.email=mail_address; may be repeated.",
        show_default=False,
    ),
]
OldKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--old-key-file",
        metavar="FILE",
        help="Holds the key that the old system encrypted passwords with. (default: the variable ENCRYPTION_KEY)",
        show_default=False,
    ),
]
Plain = Annotated[
    bool,
    typer.Option(
        "--plain-passwords", help="Old passwords that look encrypted, and do not open, are taken as they stand."
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Log in to both servers of every new mailbox before it is saved.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and write nothing.")]
Folder = Annotated[
    Path,
    typer.Option("--rejected", metavar="FILE", help="Where accounts go that cannot be taken over."),
]


def import_legacy(  # noqa: PLR0913, PLR0917  one parameter an option
    source: From,
    config: ConfigPath = None,
    user: User = None,
    maps: Maps = None,
    old_key_file: OldKeyFile = None,
    plain_passwords: Plain = False,
    check: Check = False,
    rejected: Folder = Path("legacy.rejected.csv"),
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over the old system's plans, users and accounts; ends 1 if an account is rejected.

    Its database is opened read-only. Every mailbox goes on where it was: its days, what it has sent today, its ramp.
    Passwords are sealed anew. It can be repeated: what is there is left as it is, and counts that grew are added. Stop
    the old system's sending first. Where tables or columns have other names than expected, it says how to map them;
    docs/coming-from-the-old-system.md tells the rest.
    """
    given = dict(locals())
    from warmupd.cli.session import work

    given["maps"] = _maps(maps or ())
    given["old_key"] = _old_key(old_key_file)
    raise typer.Exit(work(config, lambda session: _run(session, given), name="import-legacy"))


def _maps(words: "list[str] | tuple[()]") -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, old = word.partition("=")
        if not equals:
            raise UsageError(f"--map {word}: it has no =", remedy="write --map accounts.email=mail_address")
        found[name.strip()] = old.strip()
    return found


def _old_key(file: Path | None) -> str:
    """The key's text; a secret that is never an argument."""
    if file is None:
        return os.environ.get("ENCRYPTION_KEY", "").strip()
    try:
        return file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{file} cannot be read: {why}", remedy="name a file that holds the key alone") from None


async def _run(session: "Session", given: Mapping[str, Any]) -> int:
    from warmupd.cli.import_result import progress
    from warmupd.cli.legacy_result import print_report, write_refused
    from warmupd.daemon.legacy_import import take_over

    async with _taker(session, given) as taker:
        try:
            with progress("taking over") as on_progress:
                await take_over(taker, on_progress)
        except BaseException:
            print("it ended early: what is written stays, and the same command goes on from there", file=sys.stderr)
            raise
        finally:
            file = None if given["dry_run"] else write_refused(given["rejected"], taker.refused)
    print_report(taker.report, file, as_json=given["as_json"])
    return int(bool(taker.report.mailboxes["rejected"] or taker.report.users["rejected"]))


@asynccontextmanager
async def _taker(session: "Session", given: Mapping[str, Any]) -> "AsyncIterator[AccountTaker]":
    from warmupd.core.legacy_layout import find_layout
    from warmupd.daemon.keyring import keyring_of
    from warmupd.daemon.legacy_accounts import AccountTaker
    from warmupd.daemon.login_check import LoginCheck
    from warmupd.daemon.login_lanes import LoginLanes
    from warmupd.daemon.provider_search import ProviderSearch, records_of
    from warmupd.mail.legacy_secret import OldKey
    from warmupd.store.legacy_source import open_source
    from warmupd.store.users import find_user

    heir = await find_user(session.db, given["user"]) if given["user"] else None
    config, db, clock = session.config, session.db, session.clock
    async with open_source(given["source"]) as source, keyring_of(config, db, clock) as keyring:
        yield AccountTaker(
            config=config,
            db=db,
            clock=clock,
            source=source,
            layout=find_layout(await source.tables(), given["maps"], owner_given=heir is not None),
            keyring=keyring,
            old_key=OldKey(given["old_key"]),
            search=ProviderSearch(records_of(config)),
            login=LoginLanes(config, LoginCheck(config), clock).check if given["check"] else None,
            heir=heir,
            dry=given["dry_run"],
            plain=given["plain_passwords"],
        )
