"""`warmupd user set` and `set-password`."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath, PasswordStdin
from warmupd.core.entries import time_zone
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session

EXAMPLE = "Example: warmupd user set owner@example.com --plan large --timezone Europe/Berlin"
PASSWORD_EXAMPLE = "Example: warmupd user set-password owner@example.com"  # noqa: S105  an example
LONGEST = 200  # characters of a name

UserEmail = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's address.", show_default=False)]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="The user's name.", show_default=False)]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Of their mailboxes, such as Europe/Berlin.", show_default=False),
]
ZoneOrNone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Of their mailboxes; none: as configured.", show_default=False),
]
PlanName = Annotated[str | None, typer.Option("--plan", metavar="NAME", help="The user's plan.", show_default=False)]
Admin = Annotated[
    bool | None,
    typer.Option("--admin/--no-admin", help="May see and change everything, or only their own.", show_default=False),
]


def change(
    email: UserEmail,
    config: ConfigPath = None,
    name: Name = None,
    timezone: ZoneOrNone = None,
    plan: PlanName = None,
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Change a user. What is not named stays as it is.

    The caps of another plan hold at once; its most sends a day, and another zone, count from each mailbox's next day.
    """
    from warmupd.cli.output import count, print_json, print_wrapped
    from warmupd.cli.session import work
    from warmupd.store.user_changes import change_user
    from warmupd.store.users import Role, find_user

    changes: dict[str, str | None] = {}
    if name is not None:
        changes["name"] = _one_line(name)
    if timezone is not None:
        changes["timezone"] = None if timezone == "none" else time_zone(timezone)
    if plan is not None:
        changes["plan"] = plan
    if admin is not None:
        changes["role"] = Role.ADMIN if admin else Role.USER
    if not changes:
        raise UsageError("nothing to set was named", remedy="give --name, --timezone, --plan, --admin or --no-admin")

    async def task(session: "Session") -> None:
        found = await find_user(session.db, email)
        user = await change_user(session.db, found.id, changes, actor="cli", at=session.clock.now())
        if as_json:
            print_json(user)
            return
        print(f"set {user.email}: {user.role}, plan {user.plan}, {user.timezone or 'the configured time zone'}")
        if user.over_limit:
            print_wrapped(
                f"The plan allows {count(user.mailbox_limit or 0, 'mailbox')}, and {user.mailboxes:,} are enrolled:"
                " they stay, and no other can be enrolled."
            )

    work(config, task, name="user set")


def set_password(email: UserEmail, config: ConfigPath = None, password_stdin: PasswordStdin = False) -> None:
    """Give a user a new password. Browsers and tokens that came in by the old one are signed out."""
    from warmupd.cli.prompt import new_password
    from warmupd.cli.session import work
    from warmupd.http.passwords import hash_password
    from warmupd.store.access import set_password as store_password
    from warmupd.store.users import find_user

    password = new_password("New password (10 characters or more)", stdin=password_stdin)
    if password is None:
        raise UsageError("no password was given", remedy="enter it at a terminal, or give --password-stdin")
    password_hash = hash_password(password, email=email)

    async def task(session: "Session") -> None:
        user = await find_user(session.db, email)
        await store_password(session.db, user.id, password_hash, actor="cli", at=session.clock.now())

    work(config, task, name="user set-password")
    print(f"set the password of {email}")


def _one_line(text: str) -> str:
    if not text.isprintable() or len(text) > LONGEST:
        raise UsageError(f"{text!r} is not a name", remedy=f"give one line of at most {LONGEST} characters")
    return text.strip()
