"""Who or what changed a mailbox, a user, a plan or the fleet, when and why: the history, newest first."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from warmupd.store.database import Database
from warmupd.store.second_wall import behind_wall

ADMIN = "an admin"  # as other people's addresses are told to a user


class Subject(StrEnum):
    """What was changed."""

    MAILBOX = "mailbox"
    USER = "user"
    PLAN = "plan"
    FLEET = "fleet"


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChange:
    """One change. `was` is "" where there was nothing before."""

    id: int
    at: dt.datetime
    actor: str  # "daemon", "cli", the address of a user, or ADMIN
    subject: Subject
    subject_id: str  # of the fleet: sending, slots, plans or throttle
    name: str  # the mailbox's or the user's address, if there is one
    what: str  # state, health, ramp, learnt_limit, secrets or settings
    was: str
    became: str
    reason: str


async def state_changes(
    db: Database,
    *,
    owner: UUID | None,
    limit: int,
    before: int | None = None,
    subjects: Sequence[Subject] = (),
    mailbox_id: int | None = None,
) -> list[StateChange]:
    """The latest, or those `before` the one with this id; of `owner` and their mailboxes, or with None of everything.

    An owner is told that an admin did it, not who: another user's address is none of theirs.
    """
    arguments: list[object] = [limit, owner]
    conditions = ["c.owner_id = $2"] if owner is not None else ["$2::uuid IS NULL"]
    if before is not None:
        arguments.append(before)
        conditions.append(f"c.id < ${len(arguments)}")
    if mailbox_id is not None:
        arguments.append(str(mailbox_id))
        conditions.append(f"c.subject = 'mailbox' AND c.subject_id = ${len(arguments)}")
    if subjects:
        arguments.append([subject.value for subject in subjects])
        conditions.append(f"c.subject = ANY (${len(arguments)})")
    rows = await db.fetch(
        f"""
        SELECT c.id, c.at, c.subject, c.subject_id, c.what, c.was, c.became, c.reason,
               coalesce(m.address, u.email, '') AS name,
               CASE WHEN $2::uuid IS NULL OR strpos(c.actor, '@') = 0 OR lower(c.actor) = lower(o.email)
                    THEN c.actor ELSE '{ADMIN}' END AS actor
        FROM state_changes c
        LEFT JOIN mailboxes m ON m.id = CASE WHEN c.subject = 'mailbox' THEN c.subject_id::bigint END
        LEFT JOIN users u ON c.subject = 'user' AND u.id = c.owner_id
        LEFT JOIN users o ON o.id = $2
        WHERE {" AND ".join(conditions)} ORDER BY c.id DESC LIMIT $1
        """,  # noqa: S608  made of constants
        *arguments,
    )
    told = await behind_wall(db, rows, ("reason",), owner=owner)
    return [StateChange(**{**row, "subject": Subject(row["subject"])}) for row in told]
