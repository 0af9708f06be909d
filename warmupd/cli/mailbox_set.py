"""`warmupd mailbox set`: changes one mailbox or many."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli import mailbox_options as options
from warmupd.cli.mailbox_options import SENDING_OPTIONS
from warmupd.cli.options import Addresses, ConfigPath, OfDomain, OfLabel, OfUser, PasswordStdin
from warmupd.core import entries
from warmupd.core.application import SERVER_COLUMNS, USUAL
from warmupd.errors import NotFound, UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.keyring import Keyring
    from warmupd.mail.vault import Vault
    from warmupd.store.accounts import SealedAccount
    from warmupd.store.grants import Grant
    from warmupd.store.mailbox_report import MailboxReport

    Plan = tuple[MailboxReport, Mapping[str, Any], tuple[str, str] | None, Grant | None]  # what one is to become

EXAMPLE = "Example: warmupd mailbox set --label client-a --target 30 --timezone Europe/Berlin"
Password = Annotated[bool, typer.Option("--password", help="Ask for a new password.")]
AddLabel = Annotated[
    list[str] | None,
    typer.Option("--add-label", metavar="WORD", help="Give them this label; may be repeated.", show_default=False),
]
RemoveLabel = Annotated[
    list[str] | None,
    typer.Option("--remove-label", metavar="WORD", help="Take this label away; may be repeated.", show_default=False),
]
Reset = Annotated[
    list[str] | None,
    typer.Option(
        "--reset",
        metavar="WORD",
        help=f"Back to its default; may be repeated. One of: {', '.join(options.RESETTABLE)}.",
        show_default=False,
    ),
]


def change(  # noqa: PLR0913, PLR0917  one parameter an option
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    password: Password = False,
    password_stdin: PasswordStdin = False,
    oauth: options.OAuth = None,
    add_label: AddLabel = None,
    remove_label: RemoveLabel = None,
    reset: Reset = None,
    check: options.Check = True,
    smtp_host: options.SmtpHost = None,
    smtp_port: options.SmtpPort = None,
    smtp_security: options.SmtpSecurity = None,
    smtp_username: options.SmtpUsername = None,
    imap_host: options.ImapHost = None,
    imap_port: options.ImapPort = None,
    imap_security: options.ImapSecurity = None,
    imap_username: options.ImapUsername = None,
    provider: options.Provider = None,
    junk_folder: options.JunkFolder = None,
    name: options.Name = None,
    language: options.Language = None,
    timezone: options.Timezone = None,
    start_hour: options.StartHour = None,
    end_hour: options.EndHour = None,
    weekdays: options.Weekdays = None,
    ramp_start: options.RampStart = None,
    ramp_step: options.RampStep = None,
    target: options.Target = None,
    minimum: options.Minimum = None,
    already_warm: options.AlreadyWarm = None,
    own_mail: options.OwnMail = None,
    provider_limit: options.ProviderLimit = None,
    pool: options.Pool = None,
    create_pool: options.CreatePool = False,
) -> None:
    """Change mailboxes: password, servers, ramp, window, labels ...

    Everything is looked at first, and a new password or server tried; nothing is changed when something cannot be.
    --password-stdin takes one line for both servers, or two: SMTP's, then IMAP's. A changed ramp, quota or window
    counts from the next local day.
    """
    given = dict(locals())
    from warmupd.cli.session import work

    work(config, lambda session: _change(session, given), name="mailbox set")


async def _change(session: "Session", given: Mapping[str, Any]) -> None:
    """Everything is looked at before anything is written, and written at once, or not at all."""
    from warmupd.cli.mailbox_choice import choose, make_pool, pool_id
    from warmupd.cli.mailbox_oauth import new_grant
    from warmupd.cli.mailbox_rules import advice_on, check_rules, check_servers, tell_advice
    from warmupd.daemon.keyring import demand_client, keyring_of

    add, remove = ([entries.label(word) for word in given[name] or []] for name in ("add_label", "remove_label"))
    wanted = {name: given[name] for name in (*SERVER_COLUMNS, *SENDING_OPTIONS)}
    changes = options.changes_of(wanted, given["reset"] or [])
    if given["pool"] is not None and "pool_id" in changes:
        raise UsageError("pool cannot be set and reset at once", remedy="give one of the two")
    if not (
        changes or add or remove or given["pool"] or given["password"] or given["password_stdin"] or given["oauth"]
    ):
        raise UsageError("nothing to change was given", remedy="see `warmupd mailbox set --help`")
    chosen = await choose(
        session.db, given["addresses"], user=given["user"], label=given["label"], domain=given["domain"]
    )
    _secure_ports(changes)
    _follow_servers(changes, chosen)
    await check_rules(session, [mailbox.id for mailbox in chosen], changes)
    await check_servers(session, [mailbox.id for mailbox in chosen], changes)
    if given["oauth"]:
        demand_client(session.config, given["oauth"])
    pool = await pool_id(session.db, given["pool"], create=given["create_pool"])
    passwords = _passwords(given, chosen)
    logins = bool(given["oauth"] or passwords or changes.keys() & set(SERVER_COLUMNS))
    grant = None
    if given["oauth"] or (given["check"] and logins):  # what concerns no login needs no key
        async with keyring_of(session.config, session.db, session.clock) as keyring:
            grant = await new_grant(keyring, _one(chosen), given) if given["oauth"] else None
            if given["check"]:
                await _check(session, keyring, [(mailbox, changes, passwords, grant) for mailbox in chosen])
    untried = (passwords or "provider" in changes) and not (given["check"] and logins)
    if given["pool"] is not None:
        changes["pool_id"] = pool or await make_pool(session.db, given["pool"])
    await _write(session, chosen, changes, passwords, grant, labels=(add, remove))
    if logins:
        await _wake(session, chosen)
    _tell(chosen, changes, given, add=add, remove=remove)
    for mailbox in chosen if untried else ():
        if advice := advice_on(mailbox, changes, password=bool(passwords), oauth=grant is not None):
            tell_advice(mailbox.address, advice)


def _secure_ports(changes: dict[str, Any]) -> None:
    """A usual port says how it is secured, unless the option does. At another, what is stored goes on to hold."""
    for kind in ("smtp", "imap"):
        if secured := USUAL.get(changes.get(f"{kind}_port", 0)):
            changes.setdefault(f"{kind}_security", secured)


def _follow_servers(changes: dict[str, Any], chosen: "Sequence[MailboxReport]") -> None:
    """Who has mailboxes read elsewhere need not name the provider there, if it is one for all of them."""
    from warmupd.core.provider_match import match_provider

    if "imap_host" not in changes or "provider" in changes:
        return
    words = {match_provider(mailbox.address, hosts=[changes["imap_host"]]).provider.word for mailbox in chosen}
    if len(words) == 1 and words != {mailbox.provider for mailbox in chosen}:
        changes["provider"] = words.pop()


def _passwords(given: Mapping[str, Any], chosen: "Sequence[MailboxReport]") -> tuple[str, str] | None:
    from warmupd.cli.prompt import known_passwords

    if not (given["password"] or given["password_stdin"]):
        return None
    if given["oauth"]:
        raise UsageError("a mailbox logs in by a password or by OAuth", remedy="give one of the two")
    return known_passwords(f"New password of {_one(chosen).address}", stdin=given["password_stdin"])


def _one(chosen: "Sequence[MailboxReport]") -> "MailboxReport":
    if len(chosen) > 1:
        raise UsageError(f"a login belongs to one mailbox, and {len(chosen)} were chosen", remedy="name one")
    return chosen[0]


async def _check(session: "Session", keyring: "Keyring", plans: "Sequence[Plan]") -> None:
    """Log in with what is to be written; raises when one mailbox is refused."""
    import asyncio

    from warmupd.cli.mailbox_rules import advice_on
    from warmupd.daemon.login_check import LoginCheck, refused
    from warmupd.store.accounts import load_accounts

    checking = LoginCheck(session.config)
    sealed = await load_accounts(session.db, [mailbox.id for mailbox, *_ in plans])
    for mailbox, *_ in plans:
        if mailbox.id not in sealed:
            remedy = "`mailbox remove --undo` brings it back"
            raise NotFound(f"{mailbox.address} was removed in this moment", remedy=remedy)
    accounts = [await keyring.open(_planned(sealed[plan[0].id], plan, _vault(session))) for plan in plans]
    answers = await asyncio.gather(*map(checking.check, accounts))
    for account, refusals, (mailbox, changes, passwords, grant) in zip(accounts, answers, plans, strict=True):
        if refusals:
            advice = advice_on(mailbox, changes, password=bool(passwords), oauth=grant is not None)
            raise refused(account.address, refusals, advice=advice)


def _planned(sealed: "SealedAccount", plan: "Plan", vault: "Vault") -> "SealedAccount":
    """The account as it will be."""
    _, changes, passwords, grant = plan
    servers = {column: value for column, value in changes.items() if column in SERVER_COLUMNS}
    if passwords:
        servers["smtp_secret"], servers["imap_secret"] = _sealed(passwords, sealed.mailbox_id, vault)
        servers["oauth_provider"] = None
    if grant:
        servers |= {"oauth_provider": grant.provider, "access_secret": grant.access_secret}
        servers |= {"renew_at": grant.renew_at, "expires_at": grant.expires_at}
    return replace(sealed, **servers)


def _sealed(passwords: tuple[str, str], mailbox_id: int, vault: "Vault") -> tuple[bytes, bytes]:
    smtp, imap = passwords
    return (
        vault.seal(smtp, mailbox_id=mailbox_id, purpose="smtp"),
        vault.seal(imap, mailbox_id=mailbox_id, purpose="imap"),
    )


def _vault(session: "Session") -> "Vault":
    from warmupd.mail.vault import Vault

    return Vault([key.get_secret_value() for key in session.config.secrets.keys])


async def _write(
    session: "Session",
    chosen: "Sequence[MailboxReport]",
    changes: Mapping[str, Any],
    passwords: tuple[str, str] | None,
    grant: "Grant | None",
    *,
    labels: "tuple[Sequence[str], Sequence[str]]",
) -> None:
    from warmupd.store.changes import change_mailboxes

    await change_mailboxes(
        session.db,
        [mailbox.id for mailbox in chosen],
        changes,
        add_labels=labels[0],
        remove_labels=labels[1],
        secrets=_sealed(passwords, chosen[0].id, _vault(session)) if passwords else None,
        grant=grant,
    )


async def _wake(session: "Session", chosen: "Sequence[MailboxReport]") -> None:
    """A new login ends AUTH_FAILED and the rests that went with it."""
    from warmupd.store.enrolment import end_rest
    from warmupd.store.states import mend_login

    for mailbox in chosen:
        await mend_login(session.db, mailbox.id, actor="cli", at=session.clock.now())
    await end_rest(session.db, [mailbox.id for mailbox in chosen])


def _tell(
    chosen: "Sequence[MailboxReport]",
    changes: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    add: Sequence[str],
    remove: Sequence[str],
) -> None:
    """What was changed, mailbox by mailbox, and from when on it counts."""
    from warmupd.cli.mailbox_rules import FROM_NEXT_DAY, in_words
    from warmupd.cli.output import print_wrapped

    told = [in_words(column, value, pool=given["pool"]) for column, value in changes.items()]
    told += [f"it logs in by OAuth of {given['oauth'].lower()}"] if given["oauth"] else []
    told += ["a new password"] if given["password"] or given["password_stdin"] else []
    told += [f"label {word} added" for word in add] + [f"label {word} removed" for word in remove]
    for mailbox in chosen:
        print(f"changed {mailbox.address}: {', '.join(told)}")
    if changes.keys() & FROM_NEXT_DAY:
        print_wrapped(
            "Ramp, quota and window count from the next local day: one that has begun keeps what it was opened with."
        )
