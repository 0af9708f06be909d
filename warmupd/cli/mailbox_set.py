"""`warmupd mailbox set`: changes one mailbox or many."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli import mailbox_options as options
from warmupd.cli.mailbox_options import SENDING_OPTIONS
from warmupd.cli.options import Addresses, ConfigPath, OfDomain, OfLabel, OfUser, PasswordStdin
from warmupd.core import entries
from warmupd.core.application import SERVER_COLUMNS
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.changing import Change
    from warmupd.store.mailbox_report import MailboxReport

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
    engagement: options.Engagement = None,
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
    from warmupd.daemon import changing
    from warmupd.daemon.keyring import demand_client, keyring_of

    add, remove = ([entries.label(word) for word in given[name] or []] for name in ("add_label", "remove_label"))
    wanted = {name: given[name] for name in (*SERVER_COLUMNS, *SENDING_OPTIONS)}
    wanted |= options.engagement_of(given["engagement"] or [])
    columns = options.changes_of(wanted, given["reset"] or [])
    if given["pool"] is not None and "pool_id" in columns:
        raise UsageError("pool cannot be set and reset at once", remedy="give one of the two")
    if not (
        columns or add or remove or given["pool"] or given["password"] or given["password_stdin"] or given["oauth"]
    ):
        raise UsageError("nothing to change was given", remedy="see `warmupd mailbox set --help`")
    chosen = await choose(
        session.db, given["addresses"], user=given["user"], label=given["label"], domain=given["domain"]
    )
    columns = await changing.completed(session.db, session.config, chosen, columns, by_admin=True)
    if given["oauth"]:
        demand_client(session.config, given["oauth"])
    pool = await pool_id(session.db, given["pool"], create=given["create_pool"])
    passwords = _passwords(given, chosen)
    change = changing.Change(columns=columns, add_labels=add, remove_labels=remove, passwords=passwords)
    logins = bool(given["oauth"]) or change.concerns_login
    if given["oauth"] or (given["check"] and logins):  # what concerns no login needs no key
        async with keyring_of(session.config, session.db, session.clock) as keyring:
            if given["oauth"]:
                change = replace(change, grant=await new_grant(keyring, _one(chosen), given))
            if given["check"]:
                await changing.try_logins(session.db, session.config, keyring, chosen, change)
    if given["pool"] is not None:
        columns["pool_id"] = pool or await make_pool(session.db, given["pool"])
    await changing.write(session.db, session.config, session.clock, chosen, change, actor="cli")
    _tell(chosen, change, given)
    if (passwords or "provider" in columns) and not (given["check"] and logins):
        _tell_untried(chosen, change)


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


def _tell(chosen: "Sequence[MailboxReport]", change: "Change", given: Mapping[str, Any]) -> None:
    """What was changed, mailbox by mailbox, and from when on it counts."""
    from warmupd.cli.output import print_wrapped
    from warmupd.daemon.changing import FROM_NEXT_DAY, FROM_NEXT_DAY_TEXT, told

    words = ", ".join(told(change, pool=given["pool"], oauth=given["oauth"] or ""))
    for mailbox in chosen:
        print(f"changed {mailbox.address}: {words}")
    if change.columns.keys() & FROM_NEXT_DAY:
        print_wrapped(FROM_NEXT_DAY_TEXT)


def _tell_untried(chosen: "Sequence[MailboxReport]", change: "Change") -> None:
    from warmupd.cli.advice import tell_advice
    from warmupd.daemon.changing import advice_on

    for mailbox in chosen:
        if advice := advice_on(mailbox, change):
            tell_advice(mailbox.address, advice)
