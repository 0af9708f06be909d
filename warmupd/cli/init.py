"""`warmupd init`: a configuration with fresh secrets, a database, and the first admin; all of it, or nothing."""

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import PasswordStdin
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.config import Config

EXAMPLE = "Example: warmupd init --admin-email you@example.com --preset medium"
HEAD = """\
# The configuration of warmupd. Every other key, with its default and its reason, stands in config.toml.example.
# It holds secrets: keep it readable for the daemon's user alone.

[database]
# "embedded" is an own PostgreSQL in data_dir; several workers share one at postgresql://user:password@host:5432/name.
url = {url}
{data_dir}

[auth]
# Signs log-in tokens.
secret = "{secret}"

[secrets]
# What mailbox passwords are sealed with in the database, newest first. Without these keys nothing opens again.
keys = ["{key}"]
"""


class Preset(StrEnum):
    """How large the fleet will be; `presets/` holds a file for each."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


Directory = Annotated[
    Path,
    typer.Option(
        "--directory", metavar="DIR", help="Where config.toml is written (default: here).", show_default=False
    ),
]
AdminEmail = Annotated[
    str | None, typer.Option("--admin-email", metavar="EMAIL", help="The first admin's address.", show_default=False)
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        metavar="URL",
        envvar=["WARMUP_DATABASE__URL", "DATABASE_URL"],  # keeps a password out of the process list
        help="A PostgreSQL of your own, as postgresql://user@host:5432/name.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        envvar="WARMUP_DATABASE__DATA_DIR",
        help="Where the embedded database lives. (default: ~/.local/share/warmupd)",
    ),
]


Size = Annotated[
    Preset,
    typer.Option(
        "--preset",
        help="What its numbers are for: up to 1,000 mailboxes, up to 10,000, up to 100,000.",
    ),
]


def init(
    directory: Directory = Path(),
    admin_email: AdminEmail = None,
    password_stdin: PasswordStdin = False,
    database_url: DatabaseUrl = "embedded",
    data_dir: DataDir = None,
    preset: Size = Preset.SMALL,
) -> None:
    """Set up: config.toml, a database, the first admin.

    The file gets fresh secrets. It never replaces an existing one, and is taken back when a later step fails. At a
    terminal it asks for the admin's password; Enter alone leaves it out.
    """
    import asyncio

    from warmupd.cli.mailbox_options import email as mail_address
    from warmupd.cli.prompt import ask, new_password
    from warmupd.cli.session import configuration, place_of
    from warmupd.config import default_data_dir
    from warmupd.http.passwords import hash_password

    place = (directory / "config.toml").absolute()
    _refuse_existing(place)
    email = admin_email or ask("Admin's e-mail address", option="--admin-email")
    mail_address(email)
    password = new_password("Admin's password (10 characters or more, Enter for none)", stdin=password_stdin)
    password_hash = None if password is None else hash_password(password, email=email)
    if data_dir or database_url == "embedded":  # named in the file: a unit's own default is another directory
        data_dir = (data_dir or default_data_dir(os.environ)).absolute()
    _write(place, _text(database_url, data_dir, preset))
    written = {"database.url": database_url, "database.data_dir": str(data_dir or "")}
    try:
        usual = place_of(configuration(place))  # which raises for variables that no command could start with
        config = asyncio.run(_prepare(place, written, email, password_hash))
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    _say_what_next(place, email, made=place_of(config), usual=usual)


def _refuse_existing(place: Path) -> None:
    if place.exists():
        raise UsageError(f"{place} is there already", remedy="move it away, or give another --directory")
    if not place.parent.is_dir():
        raise UsageError(f"there is no directory {place.parent}", remedy="make it first, or give another --directory")


def _write(place: Path, text: str) -> None:
    """For its owner's eyes only, and never over a file that appeared meanwhile."""
    try:
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{place} is there already", remedy="move it away, or give another --directory") from None
    except OSError as error:
        raise UsageError(f"cannot write {place}: {error.strerror}", remedy="give another --directory") from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)


async def _prepare(place: Path, written: Mapping[str, object], email: str, password_hash: str | None) -> "Config":
    """Schema and admin, in the database that was written into the file, whatever variables or a .env file say.

    The admin comes last: where there is one, everything else is there as well.
    """
    from warmupd.cli.session import configuration, open_database, place_of
    from warmupd.clock import SystemClock
    from warmupd.store.migrate import migrate
    from warmupd.store.users import Role, add_user, list_users

    config = configuration(place, written)
    async with open_database(config, name="init", create=True) as db:
        await migrate(db)
        if users := await list_users(db):
            raise UsageError(
                f"{place_of(config)} is in use already, by {users[0].email} and {len(users) - 1} others"
                if len(users) > 1
                else f"{place_of(config)} is in use already, by {users[0].email}",
                remedy="use the config.toml that belongs to it, or give another --database-url or --data-dir",
            )
        await add_user(
            db, email=email, role=Role.ADMIN, actor="cli", at=SystemClock().now(), password_hash=password_hash
        )
    return config


def _say_what_next(place: Path, email: str, *, made: str, usual: str) -> None:
    option = "" if place.parent == Path.cwd() else f" -c {place}"
    print(f"Written   {place}")
    print("          Keep a copy: without its keys no stored password opens again.")
    print(f"Database  {made}")
    print(f"Admin     {email}")
    if usual != made:
        print(f"Beware    a variable or .env leads commands here to {usual}: take it out")
    print()
    print("Next, enrol at least two mailboxes, and start the daemon:")
    print()
    print(f"  warmupd mailbox add{option} you@example.com --user {email} \\")
    print("      --smtp-host smtp.example.com --imap-host imap.example.com")
    print(f"  warmupd run{option}")
    print(f"  warmupd status{option}")
    sys.stdout.flush()


def _text(database_url: str, data_dir: Path | None, preset: Preset) -> str:
    """The file: what must be set, what the size asks for, and commented out what is most often changed."""
    import json
    import secrets

    from warmupd.mail.vault import Vault

    body = (files("warmupd.cli") / "presets" / f"{preset}.toml").read_text("utf-8")
    head = HEAD.format(
        url=json.dumps(database_url),  # a TOML string is written like a JSON one
        data_dir=f"data_dir = {json.dumps(str(data_dir))}" if data_dir else '#data_dir = ""',
        secret=secrets.token_hex(32),
        key=Vault.new_key(),
    )
    return f"{head}\n{body}"
