"""`warmupd mailbox pause`, `stop` and `resume`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import Addresses, ConfigPath, OfDomain, OfLabel, OfUser

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.mailbox_report import MailboxReport

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
