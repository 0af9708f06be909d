"""What is done to mailboxes that are enrolled: pausing, resuming, removing and its undoing, told mailbox by mailbox."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.mailbox import MailboxState
from warmupd.errors import UsageError
from warmupd.store.database import Database
from warmupd.store.days import load_ramp_days
from warmupd.store.mailbox_report import MailboxReport
from warmupd.store.mended import end_rest
from warmupd.store.removals import Removal, remove_mailboxes, undo_removal
from warmupd.store.resuming import resume_mailboxes
from warmupd.store.states import OWNER, change_states, stop_mailbox

TOO_LATE = "it is too late, its passwords are wiped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """What became of one mailbox."""

    mailbox_id: int
    address: str
    done: bool  # False: nothing had to change, or it could not
    text: str  # such as "ACTIVE -> PAUSED, keeps its ramp of 3 days"
    state: MailboxState  # that it is in now, as far as this knows
    failed: bool = False  # it could not


async def pause(
    db: Database, chosen: Sequence[MailboxReport], *, actor: str, reason: str, at: dt.datetime
) -> list[Deed]:
    """Stop mailboxes from sending and receiving; they keep their ramp."""
    ids, why = [mailbox.id for mailbox in chosen], reason or OWNER
    days = await load_ramp_days(db, ids)
    was = await change_states(db, ids, MailboxState.PAUSED, actor=actor, reason=why, at=at)
    return [
        _deed(
            mailbox,
            MailboxState.PAUSED,
            done=mailbox.id in was,
            text=f"{was[mailbox.id]} -> PAUSED, {_kept(days.get(mailbox.id, 0))}"
            if mailbox.id in was
            else f"PAUSED already, {mailbox.state_reason}",
        )
        for mailbox in chosen
    ]


async def stop(
    db: Database, chosen: Sequence[MailboxReport], *, actor: str, reason: str, at: dt.datetime
) -> list[Deed]:
    """Pause mailboxes and begin their ramp anew when they are resumed."""
    days = await load_ramp_days(db, [mailbox.id for mailbox in chosen])
    deeds = []
    for mailbox in chosen:
        was = await stop_mailbox(db, mailbox.id, actor=actor, reason=reason or OWNER, at=at)
        moved = "PAUSED already" if was == "PAUSED" else f"{was} -> PAUSED"
        text = f"{moved}, {_reset(days.get(mailbox.id, 0))}"
        deeds.append(_deed(mailbox, MailboxState.PAUSED, done=was is not None, text=text))
    return deeds


async def resume(
    db: Database,
    chosen: Sequence[MailboxReport],
    *,
    actor: str,
    at: dt.datetime,
    into: MailboxState | None = None,
) -> list[Deed]:
    """Have mailboxes take part again, `into` that state or as they did before; a rest that is mended ends, too."""
    ids = [mailbox.id for mailbox in chosen]
    days = await load_ramp_days(db, ids)
    resumed = await resume_mailboxes(db, ids, actor=actor, reason="", at=at, into=into)
    await end_rest(db, ids)
    deeds = []
    for mailbox in chosen:
        was, became = resumed.get(mailbox.id, (None, MailboxState.REMOVED))
        next_day = f", its ramp goes on with day {days.get(mailbox.id, 0) + 1}" if became.starts else ""
        text = f"{was} -> {became}{next_day}" if was else f"{became} already"
        deeds.append(_deed(mailbox, became, done=was is not None, text=text))
    return deeds


async def remove(
    db: Database, chosen: Sequence[MailboxReport], *, actor: str, reason: str, clean: bool, at: dt.datetime
) -> list[Deed]:
    """Take mailboxes out at once; `clean`: a worker clears out their warmup folders. Can be undone for 7 days."""
    ids = [mailbox.id for mailbox in chosen]
    gone = set(await remove_mailboxes(db, ids, actor=actor, reason=reason, clean=clean, at=at))
    return [
        _deed(
            mailbox,
            MailboxState.REMOVED,
            done=mailbox.id in gone,
            text=f"{mailbox.state} -> REMOVED" if mailbox.id in gone else "REMOVED already",
        )
        for mailbox in chosen
    ]


async def undo(db: Database, removals: Sequence[Removal], *, actor: str, at: dt.datetime) -> list[Deed]:
    """Bring removed mailboxes back, each by itself: that one cannot come back keeps no other away."""
    deeds = []
    for removal in removals:
        state, why = None, TOO_LATE
        try:
            state = await undo_removal(db, removal.mailbox_id, actor=actor, at=at)
        except UsageError as error:
            why = str(error)
        deeds.append(
            Deed(
                mailbox_id=removal.mailbox_id,
                address=removal.address,
                done=state is not None,
                text=why if state is None else f"REMOVED -> {state}",
                state=state or MailboxState.REMOVED,
                failed=state is None,
            )
        )
    return deeds


def reason_of(mailboxes: Sequence[MailboxReport], said: str, *, by: UUID) -> str:
    """Why, as the history tells it: as was said, else that it was not its owner who did it."""
    others = any(mailbox.user_id != by for mailbox in mailboxes)
    return said.strip() or ("by an administrator" if others else OWNER)


def _deed(mailbox: MailboxReport, state: MailboxState, *, done: bool, text: str) -> Deed:
    return Deed(mailbox_id=mailbox.id, address=mailbox.address, done=done, text=text, state=state)


def _kept(ramp_days: int) -> str:
    return f"keeps its ramp of {_days(ramp_days)}" if ramp_days else "its ramp is at its first day"


def _reset(ramp_days: int) -> str:
    return "its ramp begins anew" + (f" (it had climbed {_days(ramp_days)})" if ramp_days else "")


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"
