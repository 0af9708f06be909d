"""`warmupd user invite` and `reset-link`: links that work once, by mail or handed over."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.mailbox_options import email as mail_address
from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import NotFound

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.http.letters import Letter

INVITE_EXAMPLE = "Example: warmupd user invite owner@example.com --plan default"
RESET_EXAMPLE = "Example: warmupd user reset-link owner@example.com"

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The address.", show_default=False)]
Admin = Annotated[bool, typer.Option("--admin", help="As an admin.")]
Plan = Annotated[str, typer.Option("--plan", metavar="NAME", help="The plan.")]
Print = Annotated[bool, typer.Option("--print", help="Do not mail the link: print it, to be handed over.")]


def invite(
    email: Email,
    config: ConfigPath = None,
    admin: Admin = False,
    plan: Plan = "default",
    print_it: Print = False,
    as_json: AsJson = False,
) -> None:
    """Invite somebody by a link, which works once and for seven days: they choose their own password.

    It is mailed by the relay in [notifications]; without one, or when that does not take it, it is printed.
    """
    from warmupd.cli.session import work
    from warmupd.http.letters import invite as send
    from warmupd.http.site import Site
    from warmupd.store.users import Role

    mail_address(email)

    async def task(session: "Session") -> "Letter":
        site = Site(config=session.config, db=session.db, clock=session.clock)
        role = Role.ADMIN if admin else Role.USER
        return await send(site, email=email, role=role, plan=plan, actor="cli", by_mail=not print_it)

    _tell(email, work(config, task, name="user invite"), as_json=as_json)


def reset_link(email: Email, config: ConfigPath = None, print_it: Print = False, as_json: AsJson = False) -> None:
    """Give a user a link to choose a new password, which works once and for an hour.

    It is mailed by the relay in [notifications]; without one, or when that does not take it, it is printed.
    """
    from warmupd.cli.session import work
    from warmupd.http.letters import reset_link as send
    from warmupd.http.site import Site
    from warmupd.store.access import access_by_email

    async def task(session: "Session") -> "Letter":
        access = await access_by_email(session.db, email)
        if access is None:
            raise NotFound(f"there is no user {email}", remedy=f"`warmupd user invite {email}` invites them")
        site = Site(config=session.config, db=session.db, clock=session.clock)
        return await send(site, access, actor="cli", by_mail=not print_it)

    _tell(email, work(config, task, name="user reset-link"), as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Put the commands among those of `warmupd user`."""
    app.command("invite", epilog=INVITE_EXAMPLE)(invite)
    app.command("reset-link", epilog=RESET_EXAMPLE)(reset_link)


def _tell(email: str, letter: "Letter", *, as_json: bool) -> None:
    from warmupd.cli.output import print_json

    if as_json:
        print_json({"mailed": letter.mailed, "link": letter.link, "expires_at": letter.expires_at, "why": letter.why})
    elif letter.mailed:
        print(f"mailed a link to {email}, good until {letter.expires_at:%Y-%m-%d %H:%M} UTC")
    else:
        why = f" ({letter.why})" if letter.why else ""
        print(f"not mailed{why}: hand this link to {email}, and to nobody else;")
        print(f"it works once, until {letter.expires_at:%Y-%m-%d %H:%M} UTC")
        print()
        print(letter.link)
