"""`warmupd user token`, `tokens` and `revoke`: letting programs in, and keeping them out again."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import ConfigError, NotFound, UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.http.site import Site
    from warmupd.store.access import Access

EXAMPLE = "Example: warmupd user token owner@example.com --name 'nightly report' --scope read --days 90"
LIST_EXAMPLE = "Example: warmupd user tokens owner@example.com --json"
REVOKE_EXAMPLE = "Example: warmupd user revoke owner@example.com --name 'nightly report'"

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's address.", show_default=False)]
AnyEmail = Annotated[
    str | None, typer.Argument(metavar="EMAIL", help="The user's address; else everybody's.", show_default=False)
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What it is for: makes a service token.", show_default=False),
]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="WORD", help="read, mailboxes or admin; may be given again.", show_default=False),
]
Days = Annotated[
    int | None,
    typer.Option("--days", metavar="N", help="How long it lasts; else until revoked.", show_default=False),
]
OfName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The token with this name.", show_default=False)
]
Revoked = Annotated[bool, typer.Option("--revoked", help="Revoked ones, too.")]
Everything = Annotated[bool, typer.Option("--all", help="All tokens of either kind, all sessions and links.")]


def token(
    email: Email,
    config: ConfigPath = None,
    name: Name = None,
    scope: Scopes = None,
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Print a token for a user, to be sent as `Authorization: Bearer ...`.

    Without --name it lasts for auth.token_minutes, and may do all that the user may. With --name it is a service token:
    it may do what its scopes say (read, when none is named), lasts until it is revoked, and is shown this once.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work

    if name is None and (scope or days is not None):
        raise UsageError("--scope and --days are a service token's", remedy="give it a --name")

    async def task(session: "Session") -> dict[str, object]:
        access, site = await _user(session, email), _site(session)
        return _signed(site, access) if name is None else await _service_token(site, access, name, scope, days)

    made = work(config, task, name="user token")
    if as_json:
        print_json(made)
    else:
        print(made["token"])


def tokens(
    email: AnyEmail = None, config: ConfigPath = None, revoked: Revoked = False, as_json: AsJson = False
) -> None:
    """Service tokens: whose they are, what they may do, when they were used. Their secrets are stored nowhere."""
    from warmupd.cli.output import print_json, print_table
    from warmupd.cli.session import work
    from warmupd.store.service_tokens import list_service_tokens

    async def task(session: "Session") -> None:
        user_id = None if email is None else (await _user(session, email)).user_id
        found = await list_service_tokens(session.db, user_id, revoked=revoked)
        if as_json:
            print_json(found)
            return
        print_table(
            ["user", "name", "scopes", "made (UTC)", "used", "ends", "revoked"],
            [
                [one.user, one.name, ", ".join(one.scopes)]
                + [
                    f"{at:%Y-%m-%d %H:%M}" if at else ""
                    for at in (one.created_at, one.used_at, one.expires_at, one.revoked_at)
                ]
                for one in found
            ],
        )

    work(config, task, name="user tokens")


def revoke(email: Email, config: ConfigPath = None, name: OfName = None, everything: Everything = False) -> None:
    """Revoke a service token by its name, or end all that lets a user in but their password.

    It counts at once, on all workers. A password that others know needs `warmupd user set-password`.
    """
    from warmupd.cli.session import work
    from warmupd.store.access import end_everything
    from warmupd.store.service_tokens import list_service_tokens, revoke_service_token

    if (name is None) != everything:
        raise UsageError("say which: --name, or --all", remedy="`warmupd user tokens` lists the names")

    async def task(session: "Session") -> None:
        access, now = await _user(session, email), session.clock.now()
        if everything:
            await end_everything(session.db, access.user_id, actor="cli", at=now)
            return
        found = await list_service_tokens(session.db, access.user_id)
        ids = [one.id for one in found if one.name.lower() == (name or "").lower()]
        if not ids or not await revoke_service_token(session.db, ids[0], actor="cli", at=now):
            raise NotFound(f"{email} has no token {name}", remedy=f"`warmupd user tokens {email}` lists them")

    work(config, task, name="user revoke")
    print(f"ended all tokens, sessions and links of {email}" if everything else f"revoked {name}")


def add_to(app: typer.Typer) -> None:
    """Put the commands among those of `warmupd user`."""
    app.command("token", epilog=EXAMPLE)(token)
    app.command("tokens", epilog=LIST_EXAMPLE)(tokens)
    app.command("revoke", epilog=REVOKE_EXAMPLE)(revoke)


async def _user(session: "Session", email: str) -> "Access":
    from warmupd.store.access import access_by_email

    access = await access_by_email(session.db, email)
    if access is None:
        raise NotFound(f"there is no user {email}", remedy="`warmupd user list` shows all")
    return access


def _site(session: "Session") -> "Site":
    from warmupd.http.site import Site

    return Site(config=session.config, db=session.db, clock=session.clock)


def _signed(site: "Site", access: "Access") -> dict[str, object]:
    import datetime as dt

    from warmupd.http.identity import signer_of
    from warmupd.http.site import SECRET_REMEDY

    if not site.config.auth.secret.get_secret_value():
        raise ConfigError("auth.secret is not set: no token can be signed", remedy=SECRET_REMEDY)
    now, minutes = site.clock.now(), site.config.auth.token_minutes
    signed = signer_of(site).sign(
        access.user_id, credentials_version=access.credentials_version, now=now, minutes=minutes
    )
    return {"token": signed, "expires_at": now + dt.timedelta(minutes=minutes)}


async def _service_token(
    site: "Site", access: "Access", name: str, scopes: list[str] | None, days: int | None
) -> dict[str, object]:
    from warmupd.http.identity import Scope
    from warmupd.http.service_token import make_service_token

    unknown = set(scopes or ()) - set(Scope)
    if unknown:
        raise UsageError(f"there is no scope {', '.join(sorted(unknown))}", remedy=f"choose among {', '.join(Scope)}")
    wanted = [Scope(word) for word in scopes or (Scope.READ,)]
    made = await make_service_token(site, access, name=name, scopes=wanted, days=days, actor="cli")
    return {"token": made.token, "name": made.name, "scopes": made.scopes, "expires_at": made.expires_at}
