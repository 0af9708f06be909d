"""`warmupd user`: the tenants who own mailboxes."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli import user_export, user_link, user_remove, user_set, user_token
from warmupd.cli.mailbox_options import email as mail_address
from warmupd.cli.options import AsJson, ConfigPath, PasswordStdin
from warmupd.cli.user_set import Name, PlanName, Timezone, UserEmail
from warmupd.core.entries import time_zone

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.users import User

app = typer.Typer(help="The people who own mailboxes.", no_args_is_help=True, rich_markup_mode=None)

Admin = Annotated[bool, typer.Option("--admin", help="May see and change everything.")]
Search = Annotated[
    str, typer.Option("--search", metavar="TEXT", help="In address or name; or a plan.", show_default=False)
]


@app.command(epilog="Example: warmupd user add owner@example.com --name 'Olga Owner' --timezone Europe/Berlin")
def add(
    email: UserEmail,
    config: ConfigPath = None,
    name: Name = None,
    admin: Admin = False,
    timezone: Timezone = None,
    plan: PlanName = None,
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
            name=name or "",
            timezone=timezone,
            password_hash=password_hash,
            plan=plan or "default",
        )

    work(config, task, name="user add")
    print(f"added {email}" + ("" if password_hash else ", without a password: cannot log in"))


@app.command("list", epilog="Example: warmupd user list --search example.com --json")
def list_all(config: ConfigPath = None, search: Search = "", as_json: AsJson = False) -> None:
    """All users, by address."""
    from warmupd.cli.output import print_json, print_table
    from warmupd.cli.session import work
    from warmupd.store.users import list_users, sends_today

    async def task(session: "Session") -> None:
        users = await list_users(session.db, search=search)
        if as_json:
            print_json(users)
            return
        today = await sends_today(session.db, [user.id for user in users], at=session.clock.now())
        columns = ["user", "name", "role", "plan", "time zone", "mailboxes", "sent today", "last seen (UTC)"]
        print_table(
            columns,
            [[*_cells(user), today.get(user.id, (0, 0))[0], _seen(user)] for user in users],
            right=["mailboxes", "sent today"],
        )

    work(config, task, name="user list")


user_token.add_to(app)
user_link.add_to(app)
app.command("set", epilog=user_set.EXAMPLE)(user_set.change)
app.command("set-password", epilog=user_set.PASSWORD_EXAMPLE)(user_set.set_password)
app.command("export", epilog=user_export.EXAMPLE)(user_export.export)
app.command("remove", epilog=user_remove.EXAMPLE)(user_remove.remove)


def _cells(user: "User") -> tuple[object, ...]:
    limit = "" if user.mailbox_limit is None else f" of {user.mailbox_limit:,}"
    return user.email, user.name, user.role, user.plan, user.timezone or "", f"{user.mailboxes:,}{limit}"


def _seen(user: "User") -> str:
    if user.seen_at is None:
        return "never" if user.can_log_in else "never; has no password"
    return f"{user.seen_at:%Y-%m-%d %H:%M}"
