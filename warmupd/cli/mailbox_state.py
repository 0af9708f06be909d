"""`warmupd mailbox pause`, `stop`, `resume` and `check`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import Addresses, AsJson, ConfigPath, OfDomain, OfLabel, OfUser
from warmupd.errors import WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.core.mailbox import MailboxState
    from warmupd.daemon.login_check import Refusal
    from warmupd.store.mailbox_report import MailboxReport

CHECK_EXAMPLE = "Example: warmupd mailbox check anna@example.com"
PAUSE_EXAMPLE = "Example: warmupd mailbox pause anna@example.com --reason holidays"
STOP_EXAMPLE = "Example: warmupd mailbox stop anna@example.com"
RESUME_EXAMPLE = "Example: warmupd mailbox resume --label client-a"

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown until it is resumed.", show_default=False)]


def pause(
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    reason: Reason = "",
) -> None:
    """Stop mailboxes from sending and receiving.

    They keep their ramp. What lies in them goes on being tidied up.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.session import work
    from warmupd.core.mailbox import MailboxState

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        await _set_state(session, chosen, MailboxState.PAUSED, reason or "by its owner")

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

    When they are resumed they begin with the first day of the ramp. `pause` keeps it.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.session import work
    from warmupd.store.states import stop_mailbox

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        for mailbox in chosen:
            at = session.clock.now()
            was = await stop_mailbox(session.db, mailbox.id, actor="cli", reason=reason or "by its owner", at=at)
            print(f"{mailbox.address}: {was} -> PAUSED, its ramp begins anew")

    work(config, task, name="mailbox stop")


def resume(
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
) -> None:
    """Have mailboxes send and receive again.

    Paused ones, suspended ones, and those whose login was refused.
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.session import work
    from warmupd.core.mailbox import MailboxState
    from warmupd.store.enrolment import end_rest

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        await _set_state(session, chosen, MailboxState.ACTIVE, "")
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
    """Try the logins of mailboxes; ends 1 if one is refused."""
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
                _tell(mailbox.address, bad)
        return int(any(bad for _, bad in results))

    raise typer.Exit(work(config, task, name="mailbox check"))


def refused(address: str, refusals: "Sequence[Refusal]") -> WarmupdError:
    """The error that says why and by whom; nothing in it is secret."""
    told = "; ".join(f"{one.protocol} ({one.host}:{one.port}): {one.message}" for one in refusals)
    remedies = dict.fromkeys(one.remedy for one in refusals if one.remedy)
    return WarmupdError(f"{address} was not let in by {told}", remedy="; ".join(remedies))


async def _set_state(session: "Session", chosen: "Sequence[MailboxReport]", state: "MailboxState", reason: str) -> None:
    from warmupd.store.states import change_state

    for mailbox in chosen:
        was = await change_state(session.db, mailbox.id, state, actor="cli", reason=reason, at=session.clock.now())
        print(f"{mailbox.address}: {was} -> {state}" if was else f"{mailbox.address}: {state} already")


async def _check_all(
    session: "Session", chosen: "Sequence[MailboxReport]"
) -> "list[tuple[MailboxReport, list[Refusal]]]":
    import asyncio

    from warmupd.daemon.login_check import LoginCheck
    from warmupd.daemon.post import open_account
    from warmupd.mail.vault import Vault
    from warmupd.store.accounts import load_accounts

    vault = Vault([key.get_secret_value() for key in session.config.secrets.keys])
    checking = LoginCheck(session.config)
    sealed = await load_accounts(session.db, [mailbox.id for mailbox in chosen])
    accounts = [open_account(sealed[mailbox.id], vault) for mailbox in chosen]
    answers = await asyncio.gather(*(checking.check(account) for account in accounts))
    return list(zip(chosen, answers, strict=True))


def _tell(address: str, refusals: "Sequence[Refusal]") -> None:
    from warmupd.cli.output import print_wrapped

    if not refusals:
        print(f"ok    {address}: SMTP and IMAP let us in")
    for one in refusals:
        print_wrapped(f"{address}: {one.protocol} ({one.host}:{one.port}): {one.message}", first="fail  ")
        if one.remedy:
            print_wrapped(one.remedy, first="      ")
