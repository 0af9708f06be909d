"""`warmupd user remove`, its undoing, and erasure."""

import datetime as dt
import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from warmupd.cli.options import ConfigPath
from warmupd.cli.user_set import UserEmail
from warmupd.errors import NotFound, UsageError, WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.users import User

EXAMPLE = "Example: warmupd user remove owner@example.com --erase"

Erase = Annotated[bool, typer.Option("--erase", help="Wipe everything of theirs, for good.")]
Undo = Annotated[bool, typer.Option("--undo", help="Bring a removed user back with their mailboxes, within 7 days.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the history.", show_default=False)]


def remove(
    email: UserEmail,
    config: ConfigPath = None,
    erase: Erase = False,
    undo: Undo = False,
    yes: Yes = False,
    reason: Reason = "",
) -> None:
    """Remove a user and their mailboxes. Sessions and tokens end at once, and nothing is sent any more.

    For 7 days --undo brings them back. --erase cannot be undone: it wipes credentials, mailboxes, days, jobs,
    sightings, history, tokens and settings, also of a user who was removed before. Broken off, it is begun anew by the
    same command, or by a worker. What belongs to others stays: the counts of their days, and their jobs without any
    address.
    """
    from warmupd.cli.session import work

    if undo and erase:
        raise UsageError("--undo and --erase do not go together", remedy="give one of the two")

    async def task(session: "Session") -> None:
        if undo:
            await _undo(session, email)
        else:
            await _remove(session, email, erase=erase, yes=yes, reason=reason)

    work(config, task, name="user remove")


async def _remove(session: "Session", email: str, *, erase: bool, yes: bool, reason: str) -> None:
    from warmupd.cli.output import count, print_wrapped
    from warmupd.store.removals import UNDO_FOR
    from warmupd.store.user_removals import remove_user, removed_users
    from warmupd.store.users import find_user

    before = await removed_users(session.db, email) if erase else []
    try:
        user = await find_user(session.db, email)
    except NotFound:
        if not before:
            raise
        user = None
    if not yes and erase and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at, and it cannot be undone", remedy="give --yes")
    if not yes and sys.stdin.isatty():
        _confirm(email, user, erase=erase)
    at = session.clock.now()
    left = await remove_user(session.db, user.id if user else before[0], actor="cli", at=at, reason=reason, erase=erase)
    if user is not None:
        print_wrapped(f"{email} was removed, and {count(left.mailboxes, 'mailbox')} with them.")
    if erase:
        for user_id in dict.fromkeys([*([user.id] if user else []), *before]):
            await _erase(session, user_id)
        print_wrapped(f"Everything of {email} was wiped.")
        return
    print_wrapped(f"`warmupd user remove --undo {email}` brings them back until {_day(at + UNDO_FOR)}.")


async def _erase(session: "Session", user_id: UUID) -> None:
    """Here and now; workers that are at it as well do no harm."""
    from warmupd.store.erasure import wipe_user

    async def pause() -> None:
        await session.clock.pause(0.1)

    async for _ in wipe_user(session.db, user_id, pause=pause, at=session.clock.now()):
        pass


def _confirm(email: str, user: "User | None", *, erase: bool) -> None:
    from warmupd.cli.output import count

    told = f", and {count(user.mailboxes, 'mailbox')} with them" if user and user.mailboxes else ""
    if not erase:
        if input(f"Remove {email}{told}? [y/N] ").strip().lower() in {"y", "yes"}:
            return
    elif input(f"Erase {email}{told}, for good? Type the address: ").strip().lower() == email.lower():
        return
    raise WarmupdError("nothing was removed", remedy="answer the question, or give --yes")


async def _undo(session: "Session", email: str) -> None:
    from warmupd.cli.output import count, print_wrapped
    from warmupd.store.user_removals import removed_users, restore_user

    removed = await removed_users(session.db, email)
    if not removed:
        raise NotFound(f"no user {email} was removed", remedy="`warmupd user list` shows those there are")
    back = await restore_user(session.db, removed[0], actor="cli", at=session.clock.now())
    print_wrapped(f"{email} is back, with {count(back.mailboxes, 'mailbox')}; their tokens stay revoked.")
    if back.left_out:
        print_wrapped(f"{count(back.left_out, 'mailbox')} stayed out: enrolled again since, or no room in the plan.")


def _day(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
