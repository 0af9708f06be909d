"""`warmupd mailbox set`: changes one mailbox or many."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli import mailbox_options as options
from warmupd.cli.options import Addresses, ConfigPath, OfDomain, OfLabel, OfUser, PasswordStdin
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.config import Config
    from warmupd.mail.vault import Vault
    from warmupd.store.accounts import SealedAccount
    from warmupd.store.mailbox_report import MailboxReport

EXAMPLE = "Example: warmupd mailbox set --label client-a --target 30 --timezone Europe/Berlin"
SERVER_OPTIONS = tuple(
    f"{kind}_{part}" for kind in ("smtp", "imap") for part in ("host", "port", "security", "username")
)
SENDING_OPTIONS = (
    "junk_folder",
    "name",
    "language",
    "timezone",
    "start_hour",
    "end_hour",
    "weekdays",
    "ramp_start",
    "ramp_step",
    "target",
    "minimum",
    "already_warm",
    "own_mail",
    "provider_limit",
)

Password = Annotated[bool, typer.Option("--password", help="Ask for a new password.")]
AddLabel = Annotated[
    list[str] | None, typer.Option("--add-label", metavar="WORD", help="May be repeated.", show_default=False)
]
RemoveLabel = Annotated[
    list[str] | None, typer.Option("--remove-label", metavar="WORD", help="May be repeated.", show_default=False)
]
Reset = Annotated[
    list[str] | None,
    typer.Option("--reset", metavar="WORD", help="Back to the default: timezone, target ...", show_default=False),
]


def change(  # noqa: PLR0913, PLR0917  one parameter an option
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    password: Password = False,
    password_stdin: PasswordStdin = False,
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
    """Change mailboxes: password, servers, ramp, labels ...

    A new password or server is tried first, and nothing is changed when it is refused. A changed window or ramp counts
    from the next day.
    """
    given = dict(locals())
    from warmupd.cli.session import work

    work(config, lambda session: _change(session, given), name="mailbox set")


async def _change(session: "Session", given: Mapping[str, Any]) -> None:
    from warmupd.cli.mailbox_choice import choose, pool_id

    chosen = await choose(
        session.db, given["addresses"], user=given["user"], label=given["label"], domain=given["domain"]
    )
    wanted = {name: given[name] for name in (*SERVER_OPTIONS, *SENDING_OPTIONS)}
    changes = options.changes_of(wanted, given["reset"] or [])
    _secure_ports(changes)
    _check_language(session.config, changes)
    await _check_hours(session, chosen, changes)
    if (pool := await pool_id(session.db, given["pool"], create=given["create_pool"])) is not None:
        changes["pool_id"] = pool
    passwords = _passwords(given, chosen)
    labels = given["add_label"] or given["remove_label"]
    if not (changes or passwords or labels):
        raise UsageError("nothing to change was given", remedy="see `warmupd mailbox set --help`")
    if given["check"] and (passwords or any(column in SERVER_OPTIONS for column in changes)):
        await _check(session, chosen, changes, passwords)
    await _write(session, chosen, changes, passwords)
    if labels:
        await _relabel(session, chosen, add=given["add_label"] or [], remove=given["remove_label"] or [])
    for mailbox in chosen:
        print(f"changed {mailbox.address}")


def _secure_ports(changes: dict[str, Any]) -> None:
    """A usual port says how it is secured, unless the option does. At another, what is stored goes on to hold."""
    for kind in ("smtp", "imap"):
        if secured := options.USUAL.get(changes.get(f"{kind}_port", 0)):
            changes.setdefault(f"{kind}_security", secured)


def _check_language(config: "Config", changes: Mapping[str, Any]) -> None:
    from warmupd.mail.content import Library

    if "language" not in changes:
        return
    there = Library.load(config.content.templates_dir, config.content.language).languages
    if changes["language"] not in there:
        raise UsageError(
            f"there are no templates in the language {changes['language']!r}", remedy=f"one of: {', '.join(there)}"
        )


async def _check_hours(session: "Session", chosen: "Sequence[MailboxReport]", changes: Mapping[str, Any]) -> None:
    """Whether the window opens before it closes, each hour being the mailbox's own, new or old, else the default."""
    from warmupd.store.accounts import own_hours

    if not {"start_hour", "end_hour"} & changes.keys():
        return
    default = session.config.window
    for (start, end), address in (await own_hours(session.db, [mailbox.id for mailbox in chosen])).items():
        hours = {"start_hour": start, "end_hour": end, **changes}
        opens = default.start_hour if hours["start_hour"] is None else hours["start_hour"]
        closes = default.end_hour if hours["end_hour"] is None else hours["end_hour"]
        if opens >= closes:
            raise UsageError(
                f"the window of {address} would open at hour {opens} and close at hour {closes}",
                remedy="give --start-hour and --end-hour so that it opens before it closes",
            )


def _passwords(given: Mapping[str, Any], chosen: "Sequence[MailboxReport]") -> tuple[str, str] | None:
    from warmupd.cli.prompt import known_passwords

    if not (given["password"] or given["password_stdin"]):
        return None
    if len(chosen) > 1:
        raise UsageError(f"a password belongs to one mailbox, and {len(chosen)} were chosen", remedy="name one")
    return known_passwords(f"New password of {chosen[0].address}", stdin=given["password_stdin"])


async def _check(
    session: "Session",
    chosen: "Sequence[MailboxReport]",
    changes: Mapping[str, Any],
    passwords: tuple[str, str] | None,
) -> None:
    """Log in with what is to be written; raises when one mailbox is refused."""
    import asyncio

    from warmupd.cli.mailbox_state import refused
    from warmupd.daemon.login_check import LoginCheck
    from warmupd.daemon.post import open_account
    from warmupd.mail.vault import Vault
    from warmupd.store.accounts import load_accounts

    vault = Vault([key.get_secret_value() for key in session.config.secrets.keys])
    checking = LoginCheck(session.config)
    sealed = await load_accounts(session.db, [mailbox.id for mailbox in chosen])
    accounts = [open_account(_planned(sealed[m.id], changes, passwords, vault), vault) for m in chosen]
    for account, refusals in zip(accounts, await asyncio.gather(*map(checking.check, accounts)), strict=True):
        if refusals:
            raise refused(account.address, refusals)


def _planned(
    sealed: "SealedAccount", changes: Mapping[str, Any], passwords: tuple[str, str] | None, vault: "Vault"
) -> "SealedAccount":
    """The account as it will be."""
    servers = {column: value for column, value in changes.items() if column in SERVER_OPTIONS}
    if passwords:
        for kind, password in zip(("smtp", "imap"), passwords, strict=True):
            servers[f"{kind}_secret"] = vault.seal(password, mailbox_id=sealed.mailbox_id, purpose=kind)
    return replace(sealed, **servers)


async def _write(
    session: "Session",
    chosen: "Sequence[MailboxReport]",
    changes: Mapping[str, Any],
    passwords: tuple[str, str] | None,
) -> None:
    """Columns first: they are what the database may refuse."""
    from warmupd.mail.vault import Vault
    from warmupd.store.accounts import change_mailboxes, seal_secrets
    from warmupd.store.enrolment import end_rest
    from warmupd.store.states import mend_login

    ids = [mailbox.id for mailbox in chosen]
    await change_mailboxes(session.db, ids, changes)
    if passwords:
        vault = Vault([key.get_secret_value() for key in session.config.secrets.keys])
        smtp, imap = (
            vault.seal(password, mailbox_id=ids[0], purpose=kind)
            for kind, password in zip(("smtp", "imap"), passwords, strict=True)
        )
        await seal_secrets(session.db, ids[0], smtp_secret=smtp, imap_secret=imap)
    if not passwords and not any(column in SERVER_OPTIONS for column in changes):
        return
    for mailbox in chosen:
        await mend_login(session.db, mailbox.id, actor="cli", at=session.clock.now())
    await end_rest(session.db, ids)


async def _relabel(
    session: "Session", chosen: "Sequence[MailboxReport]", *, add: Sequence[str], remove: Sequence[str]
) -> None:
    from warmupd.store.accounts import change_mailboxes

    for mailbox in chosen:
        kept = [label for label in mailbox.labels if label not in remove]
        await change_mailboxes(session.db, [mailbox.id], {"labels": list(dict.fromkeys([*kept, *add]))})
