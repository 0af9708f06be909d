"""What an outcome means beyond its job: the mailbox rests, its server is left alone, its credentials are doubted."""

import asyncio
import datetime as dt
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from warmupd.core.job import Job
from warmupd.core.mailbox import DayLimit, Mailbox, MailboxState
from warmupd.core.outcome import Action, Outcome, OutcomeKind, backoff
from warmupd.core.situation import Hold
from warmupd.core.veil import Ends
from warmupd.core.window import local_day
from warmupd.daemon.book import Book
from warmupd.daemon.ground import Ground
from warmupd.daemon.holds import Holds
from warmupd.daemon.patience import patiently
from warmupd.store import host_rests, spares, states, visits

DAY = 86_400.0
DOUBTS = 2  # refused logins, apart from each other, that make a mailbox AUTH_FAILED: one alone never does
DOUBT_APART = 300.0  # seconds: refusals closer together are one
DOUBT_REST = 900.0  # seconds until the second try
WRITTEN_WITHIN = 30.0  # real seconds that a rest may take to be written, while Postgres is away
NOT_REACHED = frozenset(  # no server had a say
    {"returned", "removed", "secrets", "not_composed", "bad_address", "forbidden_host"}
    | {"no_files", "grant_revoked", "oauth_client", "token_unavailable"}
)
SPARED = 3600.0  # seconds that a recipient whose server asked for it is spared
SPARING = frozenset({Action.SPARE_RECIPIENT, Action.CHECK_RECIPIENT})
REFUSALS_WITHIN = 7 * DAY  # two senders, told so within this time, are believed
REFUSED_REST = 7 * DAY  # then it takes two anew: a directory that was away for an hour says the same of everybody
REFUSED_TWICE = "its address was refused twice"
REFUSED_REMEDY = "check that the address exists, then `warmupd mailbox resume`"
CHECKED_WITHIN = 60.0  # seconds in which a recipient whose address was refused is visited


class Aftermath:
    """Carries out an outcome's action. What it writes is advice for later; when Postgres stays away it is let go."""

    def __init__(self, ground: Ground, book: Book, holds: Holds, *, worker_id: UUID) -> None:
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._rng = ground.rng
        self._events = ground.events
        self._book = book
        self._holds = holds
        self._worker_id = worker_id
        self._put_off: Counter[int] = Counter()  # how often in a row a mailbox was told to slow down; a send ends it

    async def follow(self, mailbox: Mailbox, job: Job, outcome: Outcome, ends: Ends) -> None:
        """Do what the outcome asks for, beyond settling its job.

        What the server said is written down as each reader may have it. The log alone, for operators, has all of it.
        """
        self._tell(mailbox, job, outcome)
        reached = outcome.action is not Action.BACK_OFF_HOST and outcome.reason not in NOT_REACHED
        was_left_alone = reached and self._holds.host_answered(mailbox.smtp_server)
        if _is_plain(outcome) and not was_left_alone and not mailbox.auth_doubts:
            self._put_off.pop(mailbox.id, None)
            return  # nothing is written but the job itself
        for_sender = replace(outcome, message=ends.for_sender(outcome.message))
        for_recipient = replace(outcome, message=ends.for_recipient(outcome.message))
        for_others = replace(outcome, message=ends.for_others(outcome.message, host=mailbox.smtp_host))
        # What is counted in memory is counted once, however often it takes to write what follows from it.
        host_rest = self._leave_host_alone(mailbox, for_others) if outcome.action is Action.BACK_OFF_HOST else None
        if outcome.action is Action.BACK_OFF_MAILBOX:
            self._put_off[mailbox.id] += 1

        async def act() -> None:
            if was_left_alone:
                await host_rests.end_host_rest(self._db, self._worker_id, mailbox.smtp_server, at=self._clock.now())
            if host_rest is not None:
                await host_rests.note_host_rest(self._db, self._worker_id, mailbox.smtp_server, host_rest)
            if outcome.action in SPARING:
                await self._spare(mailbox, job.recipient_id, for_recipient)
            await self._act(mailbox, job, for_sender)

        with suppress(TimeoutError):  # then it is learnt anew, by asking the server once more
            async with asyncio.timeout(WRITTEN_WITHIN):
                await patiently(self._ground, "aftermath", act)

    async def doubt_credentials(self, mailbox: Mailbox, message: str, remedy: str, *, visits: int = 0) -> None:
        """A login was refused, or the token for one. The first time it rests; a second one later makes it AUTH_FAILED.

        `visits` is how many visits in a row were refused, when it was one: an SMTP login that works meanwhile says
        nothing about the IMAP login, and a mailbox that cannot be visited goes on sending until it is sure.
        """
        now = self._clock.now()
        if visits:
            await states.note_error(self._db, mailbox.id, message=message, remedy=remedy, at=now)
        else:
            mailbox.auth_doubts = await states.doubt_credentials(self._db, mailbox.id, apart=DOUBT_APART, at=now)
            await self._rest(mailbox, DOUBT_REST, "credentials", message, remedy)
        if (visits or mailbox.auth_doubts) >= DOUBTS:
            await self._change_state(mailbox, MailboxState.AUTH_FAILED, message)

    async def check_recipient(self, mailbox: Mailbox, recipient_id: int, outcome: Outcome) -> None:
        """A message of `mailbox` came back: its recipient is visited, and spared as for a refusal at RCPT.

        The outcome's message is as the recipient's owner may read it.
        """
        if outcome.action in SPARING:
            await self._spare(mailbox, recipient_id, outcome)
        if outcome.action is not Action.CHECK_RECIPIENT:
            soon = self._clock.now() + dt.timedelta(seconds=CHECKED_WITHIN)
            await visits.hasten_visit(self._db, recipient_id, before=soon)

    def _tell(self, mailbox: Mailbox, job: Job, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.UNKNOWN:
            self._events.unknown(job=job.id, mailbox=mailbox.id, message=outcome.message)
        elif outcome.reason == "no_files":
            self._events.files_exhausted(part="send", remedy=outcome.remedy)
        elif outcome.kind is not OutcomeKind.SENT:
            self._events.not_sent(
                job=job.id, mailbox=mailbox.id, outcome=outcome.kind, reason=outcome.reason, message=outcome.message
            )

    def _leave_host_alone(self, mailbox: Mailbox, outcome: Outcome) -> Hold | None:
        """The mail server was not reached. The rest that begins with that; None when none does."""
        wait = self._holds.host_failed(mailbox.smtp_server, outcome.retry_after)
        if wait is None:
            return None
        self._events.host_shut(host=mailbox.smtp_server, seconds=wait)
        now = self._clock.now()
        return Hold(
            since=now,
            until=now + dt.timedelta(seconds=wait),
            reason=outcome.reason,
            message=outcome.message,
            remedy=outcome.remedy,
        )

    async def _learn_limit(self, mailbox: Mailbox, message: str) -> None:
        """A daily limit was hit: from tomorrow on the budget knows of it."""
        now = self._clock.now()
        limit = await states.learn_limit(self._db, mailbox.id, reason=message, at=now)
        self._events.limit_learnt(mailbox=mailbox.id, limit=limit)
        learnt = DayLimit("learnt", limit, local_day(now, mailbox.zone))
        for known in (mailbox, self._book.mailboxes.get(mailbox.id)):
            if known is not None:
                known.day_limits = (*(limit for limit in known.day_limits if limit.word != learnt.word), learnt)

    async def _act(self, mailbox: Mailbox, job: Job, outcome: Outcome) -> None:
        if outcome.logged_in and mailbox.auth_doubts and outcome.action is not Action.DOUBT_CREDENTIALS:
            mailbox.auth_doubts = 0
            await states.trust_credentials(self._db, mailbox.id)
        if outcome.reason == "daily_limit":
            await self._learn_limit(mailbox, outcome.message)
        match outcome.action:
            case Action.NONE:
                await self._note(mailbox, outcome)
            case Action.BACK_OFF_HOST:
                await self._note_error(mailbox, outcome)
            case Action.DOUBT_CREDENTIALS:
                await self.doubt_credentials(mailbox, outcome.message, outcome.remedy)
            case Action.SUSPEND:
                await self._suspend(mailbox, outcome)
            case Action.BACK_OFF_MAILBOX | Action.REST_UNTIL_NEXT_DAY | Action.REST_A_DAY:
                wait = self._rest_seconds(mailbox, job, outcome)
                await self._rest(mailbox, wait, outcome.reason, outcome.message, outcome.remedy)

    async def _note(self, mailbox: Mailbox, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.SENT:
            self._put_off.pop(mailbox.id, None)
        elif outcome.kind is not OutcomeKind.RETURNED:
            await self._note_error(mailbox, outcome)

    async def _note_error(self, mailbox: Mailbox, outcome: Outcome) -> None:
        await states.note_error(
            self._db, mailbox.id, message=outcome.message, remedy=outcome.remedy, at=self._clock.now()
        )

    async def _spare(self, mailbox: Mailbox, recipient_id: int, outcome: Outcome) -> None:
        now = self._clock.now()
        until = now + dt.timedelta(seconds=outcome.retry_after or SPARED)
        self._book.spare(recipient_id, until)
        await spares.spare_recipient(self._db, recipient_id, until=until)
        if outcome.action is Action.CHECK_RECIPIENT:
            await visits.hasten_visit(self._db, recipient_id, before=now + dt.timedelta(seconds=CHECKED_WITHIN))
            recipient = self._book.mailboxes.get(recipient_id)
            twice = await states.count_refusal(self._db, recipient_id, mailbox.id, within=REFUSALS_WITHIN, at=now)
            if twice and recipient is not None and recipient.state.receives:
                await states.note_error(self._db, recipient_id, message=outcome.message, remedy=REFUSED_REMEDY, at=now)
                until = now + dt.timedelta(seconds=REFUSED_REST)
                await self._change_state(recipient, MailboxState.SUSPENDED, REFUSED_TWICE, until)

    def _rest_seconds(self, mailbox: Mailbox, job: Job, outcome: Outcome) -> float:
        if outcome.action is Action.REST_A_DAY:
            return DAY
        if outcome.action is Action.REST_UNTIL_NEXT_DAY:
            now = self._clock.now()
            return (self._book.next_opening(mailbox, now) - now).total_seconds()
        return outcome.retry_after or backoff(max(job.retry_count, self._put_off[mailbox.id] - 1), self._rng)

    async def _rest(self, mailbox: Mailbox, seconds: float, reason: str, message: str, remedy: str) -> None:
        now = self._clock.now()
        until = now + dt.timedelta(seconds=seconds)
        self._events.resting(mailbox=mailbox.id, seconds=seconds, reason=reason)
        await states.rest_mailbox(
            self._db, mailbox.id, until=until, reason=reason, message=message, remedy=remedy, at=now
        )

    async def _suspend(self, mailbox: Mailbox, outcome: Outcome) -> None:
        now = self._clock.now()
        until = now + dt.timedelta(seconds=DAY)
        await self._note_error(mailbox, outcome)
        await self._change_state(mailbox, MailboxState.SUSPENDED, outcome.message, until)

    async def _change_state(
        self, mailbox: Mailbox, state: MailboxState, reason: str, until: dt.datetime | None = None
    ) -> None:
        was = await states.change_state(
            self._db, mailbox.id, state, actor="daemon", reason=reason, until=until, at=self._clock.now()
        )
        if was is None:
            return
        for known in (mailbox, self._book.mailboxes.get(mailbox.id)):  # it may have been read anew since
            if known is not None:
                known.state = state
        self._events.state_changed(mailbox=mailbox.id, state=state, reason=reason)


def _is_plain(outcome: Outcome) -> bool:
    """Whether the message was sent, and that is all there is to it."""
    return outcome.kind is OutcomeKind.SENT and outcome.action is Action.NONE and outcome.reason != "daily_limit"
