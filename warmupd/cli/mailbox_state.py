"""`warmupd mailbox pause`, `stop` and `resume`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import Addresses, ConfigPath, OfDomain, OfLabel, OfUser

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.acting import Deed

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
    from warmupd.daemon import acting

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        _tell(await acting.pause(session.db, chosen, actor="cli", reason=reason, at=session.clock.now()))

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
    from warmupd.daemon import acting

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        _tell(await acting.stop(session.db, chosen, actor="cli", reason=reason, at=session.clock.now()))

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
    from warmupd.daemon import acting

    into = {None: None, True: MailboxState.RECEIVE_ONLY, False: MailboxState.ACTIVE}[receive_only]

    async def task(session: "Session") -> None:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        _tell(await acting.resume(session.db, chosen, actor="cli", at=session.clock.now(), into=into))

    work(config, task, name="mailbox resume")


def _tell(deeds: "Sequence[Deed]") -> None:
    for deed in deeds:
        print(f"{deed.address}: {deed.text}")
