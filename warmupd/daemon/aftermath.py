"""What an outcome means beyond its job: the mailbox rests, its server is left alone, its credentials are doubted."""

import datetime as dt

from warmupd.clock import Clock
from warmupd.core.job import Job
from warmupd.core.mailbox import Mailbox, MailboxState
from warmupd.core.outcome import Action, Outcome, OutcomeKind
from warmupd.daemon.book import Book
from warmupd.daemon.events import Events
from warmupd.daemon.holds import Holds
from warmupd.errors import DatabaseUnavailable
from warmupd.store import mailboxes, visits
from warmupd.store.database import Database

DAY = 86_400.0
DOUBTS = 2  # refused logins, apart from each other, that make a mailbox AUTH_FAILED: one alone never does
DOUBT_APART = 300.0  # seconds: refusals closer together are one
DOUBT_REST = 900.0  # seconds until the second try
SPARED = 3600.0  # seconds that a recipient whose server asked for it is spared
SUSPENDED = DAY


class Aftermath:
    """Carries out an outcome's action. What it writes is advice for later; when Postgres is away it is let go."""

    def __init__(self, db: Database, clock: Clock, events: Events, book: Book, holds: Holds) -> None:
        self._db = db
        self._clock = clock
        self._events = events
        self._book = book
        self._holds = holds

    async def follow(self, mailbox: Mailbox, job: Job, outcome: Outcome) -> None:
        """Do what the outcome asks for, beyond settling its job."""
        self._tell(mailbox, job, outcome)
        try:
            await self._act(mailbox, job, outcome)
        except DatabaseUnavailable as error:
            self._events.database_unavailable("aftermath", str(error))

    async def doubt_credentials(self, mailbox: Mailbox, message: str, remedy: str) -> None:
        """A login was refused. The first time the mailbox rests; a second one later makes it AUTH_FAILED."""
        now = self._clock.now()
        mailbox.auth_doubts = await mailboxes.doubt_credentials(self._db, mailbox.id, apart=DOUBT_APART, at=now)
        await self._rest(mailbox, DOUBT_REST, "credentials", message, remedy)
        if mailbox.auth_doubts >= DOUBTS:
            await self._change_state(mailbox, MailboxState.AUTH_FAILED, message)

    def _tell(self, mailbox: Mailbox, job: Job, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.UNKNOWN:
            self._events.unknown(job=job.id, mailbox=mailbox.id, message=outcome.message)
        elif outcome.kind is not OutcomeKind.SENT:
            self._events.not_sent(
                job=job.id, mailbox=mailbox.id, outcome=outcome.kind, reason=outcome.reason, message=outcome.message
            )

    async def _act(self, mailbox: Mailbox, job: Job, outcome: Outcome) -> None:
        now = self._clock.now()
        if outcome.action is not Action.BACK_OFF_HOST and outcome.kind is not OutcomeKind.RETURNED:
            self._holds.host_answered(mailbox.smtp_host)
        match outcome.action:
            case Action.BACK_OFF_HOST:
                if wait := self._holds.host_failed(mailbox.smtp_host, outcome.retry_after):
                    self._events.host_shut(host=mailbox.smtp_host, seconds=wait)
                await mailboxes.note_error(self._db, mailbox.id, message=outcome.message, remedy=outcome.remedy, at=now)
            case Action.BACK_OFF_MAILBOX:
                await self._rest(mailbox, outcome.retry_after or 60.0, outcome.reason, outcome.message, outcome.remedy)
            case Action.REST_UNTIL_NEXT_DAY:
                wait = (self._book.next_opening(mailbox, now) - now).total_seconds()
                await self._rest(mailbox, wait, outcome.reason, outcome.message, outcome.remedy)
            case Action.REST_A_DAY:
                await self._rest(mailbox, DAY, outcome.reason, outcome.message, outcome.remedy)
            case Action.DOUBT_CREDENTIALS:
                await self.doubt_credentials(mailbox, outcome.message, outcome.remedy)
            case Action.OWNER_MUST_ACT:
                await self._rest(mailbox, DOUBT_REST, outcome.reason, outcome.message, outcome.remedy)
                await self._change_state(mailbox, MailboxState.AUTH_FAILED, outcome.message)
            case Action.SUSPEND:
                await self._rest(mailbox, SUSPENDED, outcome.reason, outcome.message, outcome.remedy)
                until = now + dt.timedelta(seconds=SUSPENDED)
                await self._change_state(mailbox, MailboxState.SUSPENDED, outcome.message, until)
            case Action.SPARE_RECIPIENT:
                self._book.spare(job.recipient_id, now + dt.timedelta(seconds=outcome.retry_after or SPARED))
            case Action.CHECK_RECIPIENT:
                self._book.spare(job.recipient_id, now + dt.timedelta(seconds=SPARED))
                await visits.hasten_visit(self._db, job.recipient_id, before=now + dt.timedelta(seconds=60))
            case Action.NONE:
                await self._note(mailbox, outcome, now)

    async def _note(self, mailbox: Mailbox, outcome: Outcome, now: dt.datetime) -> None:
        if outcome.kind is OutcomeKind.SENT:
            if mailbox.auth_doubts:
                mailbox.auth_doubts = 0
                await mailboxes.trust_credentials(self._db, mailbox.id)
        elif outcome.kind is not OutcomeKind.RETURNED:
            await mailboxes.note_error(self._db, mailbox.id, message=outcome.message, remedy=outcome.remedy, at=now)

    async def _rest(self, mailbox: Mailbox, seconds: float, reason: str, message: str, remedy: str) -> None:
        now = self._clock.now()
        until = now + dt.timedelta(seconds=seconds)
        self._events.resting(mailbox=mailbox.id, seconds=seconds, reason=reason)
        await mailboxes.rest_mailbox(
            self._db, mailbox.id, until=until, reason=reason, message=message, remedy=remedy, at=now
        )

    async def _change_state(
        self, mailbox: Mailbox, state: MailboxState, reason: str, until: dt.datetime | None = None
    ) -> None:
        now = self._clock.now()
        was = await mailboxes.change_state(
            self._db, mailbox.id, state, actor="daemon", reason=reason, until=until, at=now
        )
        mailbox.state = state
        if was is not None:
            self._events.state_changed(mailbox=mailbox.id, state=state, reason=reason)
