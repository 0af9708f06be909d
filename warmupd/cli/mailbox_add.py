"""`warmupd mailbox add`: checks the logins, then enrols."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli import mailbox_options as options
from warmupd.cli.options import ConfigPath, PasswordStdin
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.config import Config
    from warmupd.core.provider import Provider
    from warmupd.core.provider_match import Match
    from warmupd.mail.account import Account
    from warmupd.store.accounts import NewMailbox

EXAMPLE = (
    "Example: warmupd mailbox add anna@example.com --user owner@example.com "
    "--smtp-host smtp.example.com --imap-host imap.example.com"
)
PORTS = {("smtp", "TLS"): 465, ("smtp", "STARTTLS"): 587, ("imap", "TLS"): 993, ("imap", "STARTTLS"): 143}
SETTINGS = ("name", "timezone", "smtp_username", "imap_username", "already_warm")
TOLD = {True: "both servers let us in", False: "without a check"}
PREFERRED = {"smtp": "STARTTLS", "imap": "TLS"}

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
    address = options.email(address)
    label = [options.label(word) for word in label or []]
    given = dict(locals())
    from warmupd.cli.session import work

    match = _find_provider(config, address, given)
    servers = _servers(address, given, match)
    settings = options.changes_of({word: given[word] for word in SETTINGS}, [])
    secrets = _secrets(given)

    async def task(session: "Session") -> int:
        new = await _new_mailbox(session, given, servers, settings)
        enrol = _enrol_by_oauth if oauth else _enrol
        await enrol(session, new, given, secrets, match.provider)
        return _first_quota(session.config, already_warm=already_warm)

    first = work(config, task, name="mailbox add")
    print(f"enrolled {address} for {user}, {TOLD[check]}; its ramp starts at {first} sends a day")


def _first_quota(config: "Config", *, already_warm: bool) -> int:
    """What it owes on its first day."""
    start, least = config.quota.ramp_start, config.quota.min_daily
    return max(start, least) if already_warm else start


def _find_provider(config: ConfigPath, address: str, given: Mapping[str, Any]) -> "Match":
    """Whose mailbox it is: by the owner's word, by the servers named, by the domain, or by its MX records."""
    import asyncio

    from warmupd.cli.session import configuration
    from warmupd.core.provider_match import match_word
    from warmupd.daemon.provider_search import ProviderSearch, records_of

    if given["provider"] is not None:
        return match_word(given["provider"], address)
    hosts = [given[f"{kind}_host"] for kind in ("imap", "smtp") if given[f"{kind}_host"]]
    return asyncio.run(ProviderSearch(records_of(configuration(config))).find(address, hosts))


def _secrets(given: Mapping[str, Any]) -> tuple[str, str]:
    """The passwords of SMTP and IMAP, or one refresh token."""
    from warmupd.cli.mailbox_oauth import pasted_token
    from warmupd.cli.prompt import known_passwords

    address = given["address"]
    if given["oauth"]:
        return pasted_token(address, given["oauth"]), ""
    return known_passwords(f"Password of {address}", stdin=given["password_stdin"])


def _servers(address: str, given: Mapping[str, Any], match: "Match") -> dict[str, Any]:
    """Host, port, security and user name of both servers, and the provider's word.

    What the owner did not say is the provider's. Raises UsageError when a host is not known.
    """
    domain = address.rpartition("@")[2]
    known = {"smtp": match.smtp, "imap": match.imap}
    servers: dict[str, Any] = {"provider": match.provider.word}
    missing = [f"--{kind}-host" for kind, server in known.items() if not (given[f"{kind}_host"] or server)]
    missing = [] if given["guess"] else missing
    if missing:
        raise UsageError(
            f"the servers of {domain} are not known: {' and '.join(missing)} missing",
            remedy=f"give them as your provider names them, or --guess to try smtp.{domain} and imap.{domain}",
        )
    for kind, preferred in PREFERRED.items():
        port, security = given[f"{kind}_port"], given[f"{kind}_security"]
        if security is None and port not in {None, *options.USUAL}:
            raise UsageError(f"port {port} does not say how it is secured", remedy=f"give --{kind}-security")
        server = None if given[f"{kind}_host"] else known[kind]
        usual = server.security if server and not port else preferred
        secured = str(security or options.USUAL.get(port) or usual)
        its_port = server.port if server and secured == server.security else PORTS[kind, secured]
        servers[f"{kind}_host"] = options.host(given[f"{kind}_host"] or (server.host if server else f"{kind}.{domain}"))
        servers[f"{kind}_port"] = port or its_port
        servers[f"{kind}_security"] = secured
        servers[f"{kind}_username"] = given[f"{kind}_username"] or (server.username if server else address)
    return servers


async def _new_mailbox(
    session: "Session", given: Mapping[str, Any], servers: Mapping[str, Any], settings: Mapping[str, Any]
) -> "NewMailbox":
    """Looks at the user, the address and the servers' names before anybody's server is bothered."""
    from warmupd.cli.mailbox_choice import pool_id
    from warmupd.cli.mailbox_remove import offer_undo
    from warmupd.daemon.host_check import check_hosts
    from warmupd.store.accounts import NewMailbox, find_mailboxes
    from warmupd.store.enrolment import undo_abandoned
    from warmupd.store.users import find_user

    owner = await find_user(session.db, given["user"])
    await undo_abandoned(session.db, given["address"])
    if await find_mailboxes(session.db, address=given["address"]):
        raise UsageError(f"{given['address']} is enrolled already", remedy="see `warmupd mailbox show`")
    if not given["anew"]:
        await offer_undo(session, given["address"], owner.email)
    await check_hosts(session.config, [(servers[f"{kind}_host"], servers[f"{kind}_port"]) for kind in PREFERRED])
    return NewMailbox(
        user_id=owner.id,
        address=given["address"],
        display_name=given["name"] or "",
        pool_id=await pool_id(session.db, given["pool"], create=given["create_pool"]),
        labels=given["label"],
        settings=settings,
        **servers,
    )


def _account(new: "NewMailbox", passwords: tuple[str, str]) -> "Account":
    from warmupd.mail.account import Account, Endpoint, Security

    smtp, imap = (
        Endpoint(
            host=getattr(new, f"{kind}_host"),
            port=getattr(new, f"{kind}_port"),
            security=Security(getattr(new, f"{kind}_security")),
            username=getattr(new, f"{kind}_username"),
            password=password,
        )
        for kind, password in zip(("smtp", "imap"), passwords, strict=True)
    )
    return Account(mailbox_id=0, address=new.address, display_name=new.display_name, smtp=smtp, imap=imap)


async def _check(session: "Session", account: "Account", provider: "Provider") -> None:
    from warmupd.cli.mailbox_state import refused
    from warmupd.daemon.login_check import LoginCheck

    if refusals := await LoginCheck(session.config).check(account):
        raise refused(account.address, refusals, hint=provider.hint)


async def _enrol_by_oauth(
    session: "Session", new: "NewMailbox", given: Mapping[str, Any], secrets: tuple[str, str], provider: "Provider"
) -> None:
    """As `_enrol`, with a refresh token in place of passwords."""
    from warmupd.cli.mailbox_oauth import check_login, first_tokens
    from warmupd.daemon.keyring import keyring_of
    from warmupd.store.grants import connect_mailbox

    issuer, check = given["oauth"], given["check"]
    async with keyring_of(session.config, session.db, session.clock) as keyring:
        tokens = await first_tokens(keyring, issuer, secrets[0], check=check)
        if check:
            await check_login(session, _account(new, ("", "")), tokens, hint=provider.hint)

        async def connect(mailbox_id: int) -> None:
            grant = keyring.tokens.sealed(mailbox_id, issuer, tokens)
            await connect_mailbox(session.db, grant, activate=True)

        await _add(session, new, connect, pool=given["pool"])


async def _enrol(
    session: "Session", new: "NewMailbox", given: Mapping[str, Any], secrets: tuple[str, str], provider: "Provider"
) -> None:
    """Row, then secrets bound to the row's id, then active."""
    from warmupd.mail.vault import Vault
    from warmupd.store.accounts import seal_secrets

    account = _account(new, secrets)
    if given["check"]:
        await _check(session, account, provider)
    vault = Vault([key.get_secret_value() for key in session.config.secrets.keys])

    async def seal(mailbox_id: int) -> None:
        await seal_secrets(
            session.db,
            mailbox_id,
            smtp_secret=vault.seal(account.smtp.password, mailbox_id=mailbox_id, purpose="smtp"),
            imap_secret=vault.seal(account.imap.password, mailbox_id=mailbox_id, purpose="imap"),
            activate=True,
        )

    await _add(session, new, seal, pool=given["pool"])


async def _add(
    session: "Session", new: "NewMailbox", entrust: Callable[[int], Awaitable[None]], *, pool: str | None
) -> None:
    """The row, then its secrets by `entrust`; a failure between takes the row back."""
    from warmupd.cli.mailbox_choice import make_pool
    from warmupd.store.accounts import add_mailbox
    from warmupd.store.enrolment import undo_enrolment

    if pool is not None and new.pool_id is None:
        new = replace(new, pool_id=await make_pool(session.db, pool))
    mailbox_id = await add_mailbox(session.db, new, actor="cli", at=session.clock.now())
    try:
        await entrust(mailbox_id)
    except BaseException:
        await undo_enrolment(session.db, mailbox_id)
        raise
