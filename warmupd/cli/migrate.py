"""`warmupd migrate`: brings the schema up to date."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import ConfigPath

if TYPE_CHECKING:
    from warmupd.config import Config

EXAMPLE = "Example: warmupd migrate --check"

Check = Annotated[bool, typer.Option("--check", help="Change nothing; end 1 when the schema is not up to date.")]


def migrate(config: ConfigPath = None, check: Check = False) -> None:
    """Bring the database's schema up to date.

    Safe to run from many hosts at once. Refuses a newer schema, and a database that holds something else.
    """
    import asyncio

    from warmupd.cli.session import configuration

    asyncio.run(_migrate(configuration(config), check=check))


async def _migrate(config: "Config", *, check: bool) -> None:
    from warmupd.cli.session import open_database
    from warmupd.store import migrate as schema

    async with open_database(config, name="migrate", create=not check) as db:
        if check:
            state = await schema.check(db)
            state.demand()
            print(f"the schema is up to date ({state.version})")
            return
        applied = await schema.migrate(db)
        for migration in applied:
            print(f"applied {migration.file}")
        state = await schema.check(db)
        print(f"the schema is up to date ({state.version})")
