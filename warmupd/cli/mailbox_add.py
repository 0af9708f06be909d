"""`warmupd mailbox add`: checks the logins, then enrols."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli import mailbox_options as options
from warmupd.cli.options import ConfigPath, PasswordStdin
from warmupd.core import entries
from warmupd.core.application import SERVER_COLUMNS, Application, Secrets

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.config import Config

EXAMPLE = (
    "Example: warmupd mailbox add anna@example.com --user owner@example.com "
    "--smtp-host smtp.example.com --imap-host imap.example.com"
)
SETTINGS = ("timezone", "already_warm")
TOLD = {True: "both servers let us in", False: "without a check"}

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The mailbox's address.", show_default=False)]
Owner = Annotated[str, typer.Option("--user", metavar="EMAIL", help="Who owns it.", show_default=False)]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="WORD", help="A word to choose it by later; may be repeated.", show_default=False),
]
AlreadyWarm = Annotated[
    bool,
    typer.Option("--already-warm", help="It is in use already: its ramp starts at its minimum, quota.min_daily."),
]
Anew = Annotated[bool, typer.Option("--anew", help="Enrol it as new although its removal could be undone.")]
Guess = Annotated[
    bool,
    typer.Option("--guess", help="Where no host is given, try smtp.DOMAIN and imap.DOMAIN."),
]


def add(  # noqa: PLR0913, PLR0917  one parameter an option
    address: Address,
    user: Owner,
    config: ConfigPath = None,
    password_stdin: PasswordStdin = False,
    label: Labels = None,
    oauth: options.OAuth = None,
    guess: Guess = False,
    provider: options.Provider = None,
    check: options.Check = True,
    smtp_host: options.SmtpHost = None,
    smtp_port: options.SmtpPort = None,
    smtp_security: options.SmtpSecurity = None,
    smtp_username: options.SmtpUsername = None,
    imap_host: options.ImapHost = None,
    imap_port: options.ImapPort = None,
    imap_security: options.ImapSecurity = None,
    imap_username: options.ImapUsername = None,
    name: options.Name = None,
    timezone: options.Timezone = None,
    already_warm: AlreadyWarm = False,
    anew: Anew = False,
    pool: options.Pool = None,
    create_pool: options.CreatePool = False,
) -> None:
    """Enrol a mailbox. It begins to send within a minute, if a worker runs and its window is open.

    Asks for the password; --password-stdin takes one line for both servers, or two: SMTP's, then IMAP's. Nothing is
    stored when a server refuses it. --oauth asks for a refresh token instead (or reads it from standard input), which
    needs a client of yours in [oauth.*]. Servers are those of its provider, if its domain or MX records tell it; else
    SMTP on port 587 with STARTTLS, IMAP on 993 with TLS, ADDRESS as user name. Ramp, quota, window: `mailbox set`.
    """
    given = dict(locals())
    from warmupd.cli.session import configuration, work
    from warmupd.daemon.enrolling import find_servers
    from warmupd.daemon.provider_search import ProviderSearch, records_of

    application = _application(given)
    servers = asyncio.run(find_servers(application, ProviderSearch(records_of(configuration(config)))))

    async def task(session: "Session") -> int:
        await _enrol(session, application, servers, given)
        return _first_quota(session.config, already_warm=already_warm)

    first = work(config, task, name="mailbox add")
    print(f"enrolled {application.address} for {user}, {TOLD[check]}; its ramp starts at {first} sends a day")


def _application(given: Mapping[str, Any]) -> Application:
    """What the options say. Raises UsageError."""
    said = options.changes_of({word: given[word] for word in ("name", *SERVER_COLUMNS, *SETTINGS)}, [])
    return Application(
        address=options.email(given["address"]),
        servers={column: said[column] for column in SERVER_COLUMNS if column in said},
        provider=given["provider"],
        guess=given["guess"],
        display_name=said.get("display_name", ""),
        labels=tuple(entries.label(word) for word in given["label"] or ()),
        pool=given["pool"],
        settings={word: said[word] for word in SETTINGS if word in said},
    )


def _first_quota(config: "Config", *, already_warm: bool) -> int:
    """What it owes on its first day."""
    start, least = config.quota.ramp_start, config.quota.min_daily
    return max(start, least) if already_warm else start


def _secrets(address: str, given: Mapping[str, Any]) -> Secrets:
    """The passwords of SMTP and IMAP, or one refresh token."""
    from warmupd.cli.mailbox_oauth import pasted_token
    from warmupd.cli.prompt import known_passwords

    if given["oauth"]:
        return Secrets(issuer=given["oauth"], refresh_token=pasted_token(address, given["oauth"]))
    smtp, imap = known_passwords(f"Password of {address}", stdin=given["password_stdin"])
    return Secrets(smtp=smtp, imap=imap)


async def _enrol(
    session: "Session",
    application: Application,
    servers: Mapping[str, Any],
    given: Mapping[str, Any],
) -> None:
    """Looks at the user and the address before anybody is asked for a secret, and anybody's server bothered.

    That somebody else has enrolled the address is told only to who is let in, else one could ask after any.
    """
    from warmupd.cli.advice import tell_advice
    from warmupd.cli.mailbox_remove import offer_undo
    from warmupd.daemon.enrolling import Enroller
    from warmupd.daemon.keyring import demand_client, keyring_of
    from warmupd.daemon.login_check import LoginCheck
    from warmupd.store.enrolment import known_addresses, taken
    from warmupd.store.users import find_user

    if given["oauth"]:
        demand_client(session.config, given["oauth"])
    owner = await find_user(session.db, given["user"])
    there = (await known_addresses(session.db, [application.address])).get(application.address.lower())
    if there is not None and there.user_id == owner.id:
        raise taken(application.address)
    if not given["anew"]:
        await offer_undo(session, application.address, owner.email)
    secrets = _secrets(application.address, given)
    async with keyring_of(session.config, session.db, session.clock) as keyring:
        enroller = Enroller(
            session.config,
            session.db,
            session.clock,
            user=owner,
            keyring=keyring,
            login=LoginCheck(session.config).check if given["check"] else None,
            actor="cli",
            create_pools=given["create_pool"],
        )
        candidate = await enroller.with_tokens(await enroller.candidate(application, servers, secrets))
        await enroller.admit(candidate)
        (answer,) = await enroller.save([candidate])
    if not isinstance(answer, int):
        raise answer
    if candidate.advice and not given["check"]:
        tell_advice(application.address, candidate.advice)
