"""`warmupd backup` and `warmupd restore`: everything in one file, and back."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.config import Config
    from warmupd.store.backup import Backup
    from warmupd.store.restore import Dump, Restored

BACKUP_EXAMPLE = "Example: warmupd backup /var/backups/warmupd-monday.gz"
RESTORE_EXAMPLE = "Example: warmupd restore /var/backups/warmupd-monday.gz"
COPY_KEYS = "keep config.toml as well, in another place: without its secrets.keys nobody can log in with a backup"
HALF_MOVED = (
    "this database is closed by now, and sends nothing more, but its backup is not written: repeat"
    " `warmupd backup --move`, or give the move up with `warmupd fleet start --anyway`"
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - is standard output.", show_default=False)]
Backed = Annotated[Path, typer.Argument(metavar="FILE", help="What `warmupd backup` wrote.", show_default=False)]
Moving = Annotated[bool, typer.Option("--move", help="Close this database: it moves, and sends nothing more.")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]
Moved = Annotated[bool, typer.Option("--move", help="End a move: nothing was sent since the backup, by anybody.")]
Check = Annotated[bool, typer.Option("--check", help="Only read FILE and tell what it holds; no database is asked.")]
Keyless = Annotated[
    bool, typer.Option("--without-keys", help="Even if no key in secrets.keys opens its credentials: they are lost.")
]


def backup(file: File, config: ConfigPath = None, move: Moving = False, force: Force = False) -> None:
    """Write everything in the database into one file.

    Workers may go on meanwhile: it is the state of one moment. Credentials stay sealed in it: keep config.toml with its
    secrets.keys, too. Before a move stop all workers and say --move: the old database is closed, and the new one goes
    on where it stopped.
    """
    from warmupd.cli.output import print_wrapped
    from warmupd.cli.session import work
    from warmupd.errors import UsageError
    from warmupd.store.backup import back_up, new_file
    from warmupd.store.lineage import close_for_move

    if str(file) == "-" and sys.stdout.isatty():
        raise UsageError("a backup is not for a terminal", remedy="name a file, or pipe it somewhere")

    closed = False

    async def task(session: "Session") -> "Backup":
        nonlocal closed
        with new_file(file, replace=force) as stream:
            if move:
                await close_for_move(session.db)
                closed = True
            return await back_up(session.db, stream, progress=_progress)

    try:
        written = work(config, task, name="backup")
    except BaseException:
        if closed:
            _end_progress()
            print_wrapped(HALF_MOVED, first="note: ", to=sys.stderr)
        raise
    _end_progress()
    size = f", {written.bytes:,} bytes" if written.bytes else ""
    print(f"{written.rows:,} rows of {written.manifest['mailboxes']:,} mailboxes{size}", file=sys.stderr)
    if move:
        print_wrapped(
            "This database is closed: it sends nothing more. `warmupd restore --move` on the new one goes on;"
            " to give the move up, `warmupd fleet start --anyway` here.",
            to=sys.stderr,
        )
    print_wrapped(COPY_KEYS, first="note: ", to=sys.stderr)


def restore(
    file: Backed,
    config: ConfigPath = None,
    move: Moved = False,
    check: Check = False,
    without_keys: Keyless = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup into the configured database, which must be empty.

    What was sent after the backup is in no row of it. So, unless a move is ended, no mailbox sends anything more on the
    local day on which it is restored, and what was under way is looked for and never sent again. All workers must be
    stopped, those on the lost database too.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import configuration
    from warmupd.store.restore import read_dump

    dump = read_dump(file)
    if check:
        print_json({"rows": sum(dump.rows.values()), **dump.manifest}) if as_json else _print_dump(dump)
        return
    effective = configuration(config)
    _compare_keys(effective, dump, without_keys=without_keys)
    restored = asyncio.run(_restore(effective, dump, move=move))
    _end_progress()
    if as_json:
        print_json(restored)
    else:
        _print(restored)


async def _restore(config: "Config", dump: "Dump", *, move: bool) -> "Restored":
    from warmupd.cli.session import open_database
    from warmupd.store.restore import restore

    async with open_database(config, name="restore", create=True) as db:
        return await restore(db, dump, zone=config.window.timezone, move=move, progress=_progress)


def _compare_keys(config: "Config", dump: "Dump", *, without_keys: bool) -> None:
    """Raises SecretsError when none of the keys at hand opens anything; says so where some are missing."""
    from warmupd.cli.output import print_wrapped
    from warmupd.daemon.keys_check import shut_credentials
    from warmupd.errors import SecretsError
    from warmupd.mail.vault import Vault

    held = Vault([key.get_secret_value() for key in config.secrets.keys]).key_ids if config.secrets.keys else ()
    sealed: dict[str, int] = dump.manifest["sealed_with"]
    text = shut_credentials(sealed, held)
    if text and not without_keys and not sealed.keys() & set(held):
        raise SecretsError(
            f"{text}: nobody could log in with this backup",
            remedy="take secrets.keys from the config.toml of the backup's time;"
            " if it is lost, say --without-keys, and enter all passwords anew",
        )
    if text:
        print_wrapped(text, first="warning: ", to=sys.stderr)


def _print_dump(dump: "Dump") -> None:
    from warmupd.cli.output import print_facts

    told = dump.manifest
    print_facts(
        [
            ("Taken at", f"{dump.taken_at:%Y-%m-%d %H:%M:%S} UTC, by warmupd {told['warmupd']}"),
            ("Schema", str(told["schema"])),
            ("Rows", f"{sum(dump.rows.values()):,}"),
            ("Mailboxes", f"{told['mailboxes']:,}"),
            ("Keys", ", ".join(told["sealed_with"]) or "nothing is sealed"),
            ("Closed", "its database was closed for a move" if dump.moved else "no"),
        ]
    )
    print("the file is whole")


def _print(restored: "Restored") -> None:
    from warmupd.cli.output import print_wrapped

    newer = f"; {restored.applied} newer migrations applied" if restored.applied else ""
    print(f"restored {restored.rows:,} rows{newer}")
    if restored.left_out:
        print_wrapped(
            f"tables that are none of warmupd's were left out: {', '.join(restored.left_out)}", first="note: "
        )
    if restored.gap is None:
        print("Moved: start the workers; they go on where the others stopped.")
        return
    gap = restored.gap
    hours = (gap.ended_at - gap.began_at).total_seconds() / 3600
    print_wrapped(
        f"What was sent in the {hours:.1f} h since the backup is not known. So that nothing is sent twice or above a"
        f" quota, {gap.days_closed:,} mailboxes send nothing more on their local day, and {gap.jobs_unknown:,} open"
        " jobs are looked for and not sent again. From their next day on all is as usual."
    )
    print_wrapped(
        "Done again must be what people did since: removals, erasures, pauses, passwords, service tokens revoked."
        " Mailboxes enrolled since are to be enrolled again from tomorrow on: they may have sent today. Browser"
        " sessions and links have ended. An address that was not proven gets no more than one message until it is."
        " Start the workers when you are sure that none is left on the lost database."
    )


def _progress(table: str) -> None:
    """On a terminal, in place."""
    if sys.stderr.isatty():
        print(f"\r\033[K{table}", end="", file=sys.stderr, flush=True)


def _end_progress() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
