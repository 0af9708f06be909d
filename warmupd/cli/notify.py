"""`warmupd notify`: whether notices arrive."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warmupd.cli.session import Session
    from warmupd.store.notices import Delivered

app = typer.Typer(help="Whether notices arrive.", no_args_is_help=True, rich_markup_mode=None)

User = Annotated[
    str | None,
    typer.Option(
        "--user",
        metavar="EMAIL",
        help="As this user would be told. (default: as the operators are)",
        show_default=False,
    ),
]


@app.callback()
def notify() -> None:
    """Whether notices arrive."""


@app.command("test", epilog="Example: warmupd notify test --user owner@example.com")
def send(config: ConfigPath = None, user: User = None, as_json: AsJson = False) -> None:
    """Send a test by mail and webhook, and say what became of it.

    To the operators, as [notifications] says, or to where a user has chosen to be told. Ends 1 when one of them was not
    delivered.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.daemon.notif_settings import send_test
    from warmupd.store.users import find_user

    async def task(session: "Session") -> "Sequence[Delivered]":
        user_id = (await find_user(session.db, user)).id if user else None
        return await send_test(session.db, session.config, session.clock, user_id)

    told = work(config, task, name="notify test")
    if as_json:
        print_json(told)
    else:
        for one in told:
            whom = f" to {one.recipient}" if one.recipient else ""
            print(f"{one.channel.lower()}{whom}: {one.state}{f': {one.error}' if one.error else ''}")
    if any(one.state != "delivered" for one in told):
        raise typer.Exit(1)
