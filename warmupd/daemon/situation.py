"""The rows about a mailbox, put together as what core explains and foretells from."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.config import Config
from warmupd.core.capacity import CapUse
from warmupd.core.forecast import Outlook, Waiting
from warmupd.core.job import JobKind, JobStatus
from warmupd.core.mailbox import DayRow, Mailbox, MailboxState
from warmupd.core.pacing import Spacing
from warmupd.core.situation import Hold, Recipients, Situation
from warmupd.daemon.options import health_of
from warmupd.store.fleet import FleetSettings
from warmupd.store.mailbox_report import MailboxReport, OpenJob


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the rows tell of one mailbox."""

    mailbox: Mailbox
    row: MailboxReport
    last_day: DayRow | None  # the last that was opened
    jobs: Sequence[OpenJob]
    recipients: Recipients
    caps: Sequence[CapUse]
    host_rest: Hold | None
    worker: str | None  # who holds its slot now


def situation_of(
    known: Known, config: Config, settings: FleetSettings, *, at: dt.datetime, veiled: bool = False
) -> Situation:
    """The mailbox's situation at that moment; `veiled` for somebody who may learn nothing of other users."""
    gap = settings.limits["mailbox_gap_seconds"]
    row, recipients = known.row, known.recipients
    return Situation(
        outlook=Outlook(
            mailbox=known.mailbox,
            last_day=known.last_day,
            waiting=_waiting(row.took_part_as, known.jobs),
            spacing=Spacing(mailbox_min=gap, mailbox_max=max(gap, config.spacing.same_mailbox_max_minutes * 60.0)),
            variance=config.quota.variance,
            rules=health_of(config),
            lonely=not recipients.available,
            lonely_until=recipients.spared_until,
        ),
        state_reason=row.state_reason,
        state_until=row.state_until,
        took_part_as=row.took_part_as,
        in_flight=sum(job.status == JobStatus.PROCESSING for job in known.jobs),
        next_ok_at=row.next_ok_at,
        rest=row.rest(at),
        host=known.host_rest,
        recipients=recipients,
        caps=tuple(known.caps),
        fleet_stopped=settings.sending_stopped,
        worker=known.worker,
        last_error=row.last_error,
        last_remedy=row.last_remedy,
        veiled=veiled,
    )


def _waiting(state: MailboxState, jobs: Sequence[OpenJob]) -> tuple[Waiting, ...]:
    """The answers and retries that it may send; who only receives retries no first send."""
    waiting = [job for job in jobs if job.status == JobStatus.PENDING]
    if state is MailboxState.RECEIVE_ONLY:
        waiting = [job for job in waiting if job.kind == JobKind.REPLY]
    return tuple(Waiting(job.scheduled_for, job.ends_at, job.may_go) for job in waiting)
