"""`warmupd mailbox pause`, `stop`, `resume` and `check`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import Addresses, AsJson, ConfigPath, OfDomain, OfLabel, OfUser
from warmupd.errors import WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.keyring import Keyring
    from warmupd.daemon.login_check import LoginCheck, Refusal
    from warmupd.store.accounts import SealedAccount
    from warmupd.store.mailbox_report import MailboxReport

CHECK_EXAMPLE = "Example: warmupd mailbox check anna@example.com bert@example.org"
PAUSE_EXAMPLE = "Example: warmupd mailbox pause anna@example.com --reason holidays"
STOP_EXAMPLE = "Example: warmupd mailbox stop --label client-a --reason 'contract ended'"
RESUME_EXAMPLE = "Example: warmupd mailbox resume --label client-a"
BY_OWNER = "by its owner"

Reason = Annotated[
    str,
    typer.Option(
        "--reason", metavar="TEXT", help=f"Shown until it is resumed. (default: {BY_OWNER})", show_default=False
    ),
]
ReceiveOnly = Annotated[
    bool | None,
    typer.Option(
        "--receive-only/--sending",
        help="Have them receive and answer but never start, or start as well. (default: as before)",
        show_default=False,
    ),
]


def pause(
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    reason: Reason = "",
) -> None:
    """Stop mailboxes from sending and receiving; they keep their ramp.

    What is in flight ends. What lies in them goes on being tidied up. When they are resumed their ramp goes on where
    it was.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.session import work
    from warmupd.core.mailbox import MailboxState
    from warmupd.store.states import change_state

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        days = await _ramp_days(session, chosen)
        for mailbox in chosen:
            at, why = session.clock.now(), reason or BY_OWNER
            was = await change_state(session.db, mailbox.id, MailboxState.PAUSED, actor="cli", reason=why, at=at)
            told = f"{was} -> PAUSED, {_kept(days[mailbox.id])}" if was else f"PAUSED already, {mailbox.state_reason}"
            print(f"{mailbox.address}: {told}")

    work(config, task, name="mailbox pause")


def stop(
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    reason: Reason = "",
) -> None:
    """Pause mailboxes and reset their ramp.

    When they are resumed they begin with the first day of the ramp. `warmupd mailbox pause` keeps it.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.session import work
    from warmupd.store.states import stop_mailbox

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        days = await _ramp_days(session, chosen)
        for mailbox in chosen:
            at = session.clock.now()
            was = await stop_mailbox(session.db, mailbox.id, actor="cli", reason=reason or BY_OWNER, at=at)
            moved = "PAUSED already" if was == "PAUSED" else f"{was} -> PAUSED"
            print(f"{mailbox.address}: {moved}, {_reset(days[mailbox.id])}")

    work(config, task, name="mailbox stop")


def resume(
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    receive_only: ReceiveOnly = None,
) -> None:
    """Have mailboxes send and receive again.

    Paused ones, suspended ones, and those whose login was refused. Their ramp goes on where it was, or begins after
    `warmupd mailbox stop`.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.session import work
    from warmupd.core.mailbox import MailboxState
    from warmupd.store.enrolment import end_rest
    from warmupd.store.states import resume_mailbox

    into = {None: None, True: MailboxState.RECEIVE_ONLY, False: MailboxState.ACTIVE}[receive_only]

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        days = await _ramp_days(session, chosen)
        for mailbox in chosen:
            at = session.clock.now()
            was, became = await resume_mailbox(session.db, mailbox.id, actor="cli", reason="", at=at, into=into)
            next_day = f", its ramp goes on with day {days[mailbox.id] + 1}" if became.starts else ""
            print(f"{mailbox.address}: {was} -> {became}{next_day}" if was else f"{mailbox.address}: {became} already")
        await end_rest(session.db, [mailbox.id for mailbox in chosen])

    work(config, task, name="mailbox resume")


def check(
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    as_json: AsJson = False,
) -> None:
    """Try the logins of mailboxes; ends 1 if one is refused.

    SMTP and IMAP, each once. Changes nothing: a refusal is shown with what to do, and once that is done
    `warmupd mailbox resume` brings the mailbox back.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work

    async def task(session: "Session") -> int:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        results = await _check_all(session, chosen)
        if as_json:
            print_json([{"address": m.address, "ok": not bad, "refusals": bad} for m, bad in results])
        else:
            for mailbox, bad in results:
                _tell(mailbox, bad)
        return int(any(bad for _, bad in results))

    raise typer.Exit(work(config, task, name="mailbox check"))


def refused(address: str, refusals: "Sequence[Refusal]") -> WarmupdError:
    """The error that says why and by whom; nothing in it is secret."""
    told = "; ".join(f"{one.protocol} ({one.host}:{one.port}): {one.message}" for one in refusals)
    remedies = dict.fromkeys(one.remedy for one in refusals if one.remedy)
    return WarmupdError(f"{address} was not let in by {told}", remedy="; ".join(remedies))


async def _ramp_days(session: "Session", chosen: "Sequence[MailboxReport]") -> Mapping[int, int]:
    """How far each mailbox's ramp has come, in days."""
    from warmupd.daemon.options import defaults_of
    from warmupd.store.mailboxes import load_mailboxes

    ids = [mailbox.id for mailbox in chosen]
    return {m.id: m.ramp_days for m in await load_mailboxes(session.db, defaults_of(session.config), ids)}


def _kept(ramp_days: int) -> str:
    from warmupd.cli.output import count

    return f"keeps its ramp of {count(ramp_days, 'day')}" if ramp_days else "its ramp is at its first day"


def _reset(ramp_days: int) -> str:
    from warmupd.cli.output import count

    return "its ramp begins anew" + (f" (it had climbed {count(ramp_days, 'day')})" if ramp_days else "")


async def _check_all(
    session: "Session", chosen: "Sequence[MailboxReport]"
) -> "list[tuple[MailboxReport, list[Refusal]]]":
    import asyncio

    from warmupd.daemon.keyring import keyring_of
    from warmupd.daemon.login_check import LoginCheck
    from warmupd.store.accounts import load_accounts

    checking = LoginCheck(session.config)
    sealed = await load_accounts(session.db, [mailbox.id for mailbox in chosen])
    async with keyring_of(session.config, session.db, session.clock) as keyring:
        answers = await asyncio.gather(*(_check_one(checking, sealed[mailbox.id], keyring) for mailbox in chosen))
    return list(zip(chosen, answers, strict=True))


async def _check_one(checking: "LoginCheck", sealed: "SealedAccount", keyring: "Keyring") -> "list[Refusal]":
    """What cannot be opened, or has no token to be had, is refused: the others are tried all the same."""
    from warmupd.daemon.login_check import Refusal
    from warmupd.errors import SecretsError
    from warmupd.mail.oauth import OAuthError

    try:
        account = await keyring.open(sealed)
    except (SecretsError, OAuthError) as error:
        told, remedy = Exception.__str__(error), error.remedy
        return [Refusal(protocol="SMTP", host=sealed.smtp_host, port=sealed.smtp_port, message=told, remedy=remedy)]
    return await checking.check(account)


def _tell(mailbox: "MailboxReport", refusals: "Sequence[Refusal]") -> None:
    from warmupd.cli.output import print_wrapped

    if not refusals:
        print(f"ok    {mailbox.address}: SMTP and IMAP let us in")
        if mailbox.state in {"AUTH_FAILED", "SUSPENDED", "PAUSED"}:
            print_wrapped(f"it is {mailbox.state} still; `warmupd mailbox resume` ends that", first="      ")
    for one in refusals:
        print_wrapped(f"{mailbox.address}: {one.protocol} ({one.host}:{one.port}): {one.message}", first="fail  ")
        if one.remedy:
            print_wrapped(one.remedy, first="      ")
