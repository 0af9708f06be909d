"""`warmupd key`: the keys that credentials are sealed with."""

import sys
from typing import TYPE_CHECKING

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.rotation import Rotated

app = typer.Typer(help="The keys that credentials are sealed with.", no_args_is_help=True, rich_markup_mode=None)
NAMED = 20  # mailboxes that are named one by one


@app.command(epilog="Example: warmupd key new >> /etc/warmupd/new-key")
def new() -> None:
    """Print a fresh key for secrets.keys. Nothing is stored or changed.

    Put it first in secrets.keys and leave the older ones behind it; reload all workers with SIGHUP; then
    `warmupd key rotate`.
    """
    from warmupd.mail.vault import Vault

    print(Vault.new_key())


@app.command(epilog="Example: warmupd key rotate")
def rotate(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Seal all stored credentials with the newest key.

    That is the first of secrets.keys. Workers go on meanwhile; they must have been reloaded with the new key before.
    It can be broken off and given again, also on several machines at once. Ends 1 when a credential does not open with
    any of the keys.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.daemon.rotation import rotate

    async def task(session: "Session") -> "Rotated":
        return await rotate(session.db, session.config, session.clock, progress=_progress)

    rotated = work(config, task, name="key rotate")
    if as_json:
        print_json(rotated)
    else:
        _print(rotated)
    if rotated.not_opened:
        raise typer.Exit(1)


def _progress(resealed: int) -> None:
    """On a terminal, in place."""
    if sys.stderr.isatty():
        print(f"\rresealed {resealed:,}", end="", file=sys.stderr, flush=True)


def _print(rotated: "Rotated") -> None:
    from warmupd.cli.output import print_wrapped

    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    shut = rotated.not_opened
    print(f"resealed {rotated.resealed:,}, already newest {rotated.already_newest:,}, could not open {len(shut):,}")
    for one in shut[:NAMED]:
        print_wrapped(one.why, first=f"  {one.address}: ")
    if len(shut) > NAMED:
        print(f"  and {len(shut) - NAMED:,} more; --json names them all")
    if rotated.keep_old_keys_until and not shut:
        print_wrapped(
            "No credential needs the older keys any more. Leave them in secrets.keys until"
            f" {rotated.keep_old_keys_until:%Y-%m-%d}: messages that lie in mailboxes are recognised by them."
        )
    elif shut:
        print_wrapped("Leave all keys in secrets.keys, and put back the one that these were sealed with.")
