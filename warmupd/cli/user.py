"""`warmupd user`: the tenants who own mailboxes."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli import user_link, user_token
from warmupd.cli.mailbox_options import email as mail_address
from warmupd.cli.options import AsJson, ConfigPath, PasswordStdin
from warmupd.core.entries import time_zone

if TYPE_CHECKING:
    from warmupd.cli.session import Session

app = typer.Typer(help="The people who own mailboxes.", no_args_is_help=True, rich_markup_mode=None)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's address.", show_default=False)]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The user's name.", show_default=False)]
Admin = Annotated[bool, typer.Option("--admin", help="May see and change everything.")]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Of their mailboxes, such as Europe/Berlin.", show_default=False),
]
Plan = Annotated[str, typer.Option("--plan", metavar="NAME", help="The user's plan.")]


@app.command(epilog="Example: warmupd user add owner@example.com --name 'Olga Owner' --timezone Europe/Berlin")
def add(
    email: Email,
    config: ConfigPath = None,
    name: Name = "",
    admin: Admin = False,
    timezone: Timezone = None,
    plan: Plan = "default",
    password_stdin: PasswordStdin = False,
) -> None:
    """Create a user, with a private pool for their mailboxes.

    Asks for a password at the terminal; Enter alone leaves it out, and the user cannot log in.
    """
    from warmupd.cli.prompt import new_password
    from warmupd.cli.session import work
    from warmupd.http.passwords import hash_password
    from warmupd.store.users import Role, add_user

    mail_address(email)
    if timezone is not None:
        time_zone(timezone)
    password = new_password("Password (10 characters or more, Enter for none)", stdin=password_stdin)
    password_hash = None if password is None else hash_password(password, email=email)

    async def task(session: "Session") -> None:
        await add_user(
            session.db,
            email=email,
            role=Role.ADMIN if admin else Role.USER,
            actor="cli",
            at=session.clock.now(),
            name=name,
            timezone=timezone,
            password_hash=password_hash,
            plan=plan,
        )

    work(config, task, name="user add")
    print(f"added {email}" + ("" if password_hash else ", without a password: cannot log in"))


@app.command("list", epilog="Example: warmupd user list --json")
def list_all(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """All users."""
    from warmupd.cli.output import print_json, print_table
    from warmupd.cli.session import work
    from warmupd.store.users import list_users

    async def task(session: "Session") -> None:
        users = await list_users(session.db)
        if as_json:
            print_json(users)
            return
        print_table(
            ["user", "name", "role", "plan", "time zone", "mailboxes"],
            [[user.email, user.name, user.role, user.plan, user.timezone or "", user.mailboxes] for user in users],
            right=["mailboxes"],
        )

    work(config, task, name="user list")


user_token.add_to(app)
user_link.add_to(app)
