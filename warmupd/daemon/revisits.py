"""When a mailbox is visited again: after a good visit, a failed one, or a login that was refused."""

import datetime as dt

from warmupd.core.engagement import next_visit_at
from warmupd.core.mailbox import Mailbox, MailboxState
from warmupd.core.provider_match import provider_of
from warmupd.core.window import local_day, next_opening, window_of
from warmupd.daemon.aftermath import DOUBT_APART, Aftermath
from warmupd.daemon.ground import Ground
from warmupd.errors import DatabaseUnavailable, LeaseLost, WarmupdError
from warmupd.mail.imap import ImapRefusedLogin, ImapThrottled
from warmupd.mail.imap_errors import ImapStarved
from warmupd.mail.oauth import GrantRevoked, OAuthError, TokensUnavailable
from warmupd.mail.visit import Look
from warmupd.store import visits
from warmupd.store.states import note_error
from warmupd.store.visits import DueVisit, VisitEnd

FAILED_AGAIN = 900.0  # seconds after a failed visit; doubled with each failure in a row
FAILED_MOST = 6 * 3600.0
NO_FILES_AGAIN = 120.0  # seconds after a visit for which this machine had no connection left
NO_TOKEN_AGAIN = 300.0  # seconds after a visit for which no access token was to be had
GO_ON = 60.0  # seconds until what was cut short is read on
REFUSALS = (ImapRefusedLogin, GrantRevoked)  # what a second one, apart from the first, makes AUTH_FAILED
EXCUSES = (TokensUnavailable, ImapStarved)  # that a token endpoint is away, or files are short, is our own trouble


class Revisits:
    """Ends visits and plans the next ones. Which logins were refused in a row is kept in memory only."""

    def __init__(self, ground: Ground, aftermath: Aftermath, *, per_day: int) -> None:
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._rng = ground.rng
        self._aftermath = aftermath
        self._per_day = per_day
        self._refusals: dict[int, list[dt.datetime]] = {}  # when logins were refused in a row: those that are apart

    def planned(self, mailbox: Mailbox) -> dt.datetime:
        """The next visit in the mailbox's waking hours."""
        now = self._clock.now()
        today = local_day(now, mailbox.zone)
        _, following = next_opening(today, mailbox.zone, mailbox.hours)
        per_day = mailbox.habits.visits_per_day or self._per_day
        return next_visit_at(now, window_of(today, mailbox.zone, mailbox.hours), following, per_day, self._rng)

    async def after(
        self,
        mailbox: Mailbox,
        due: DueVisit,
        look: Look,
        began: dt.datetime,
        *,
        follow_up: dt.datetime | None,
        epoch: int,
    ) -> None:
        """The visit that began then was good; `follow_up` is when there is something to do that cannot wait.

        What was cut short is read on soon; what the server would not show, or what broke the look off behind the INBOX,
        is tried again by the next planned visit. Raises LeaseLost when `epoch` is over: another worker's word counts.
        """
        self._refusals.pop(mailbox.id, None)
        moments = [self.planned(mailbox)]
        if follow_up is not None:
            moments.append(follow_up)
        if look.more:
            moments.append(self._clock.now() + dt.timedelta(seconds=GO_ON * self._rng.uniform(1.0, 1.5)))
        next_at = max(min(moments), began + dt.timedelta(minutes=provider_of(mailbox.provider).poll_minutes))
        await visits.end_visit(
            self._db,
            mailbox.id,
            epoch=epoch,
            next_visit_at=next_at,
            began=began,
            marks=[mark for mark in look.marks if mark.looked or mark not in due.marks],
            saw_all=look.complete and due.everywhere,
        )
        if look.trouble is not None:
            if isinstance(look.trouble, ImapThrottled):
                wait = (look.trouble.retry_after or FAILED_AGAIN) * self._rng.uniform(1.0, 1.5)
                until = self._clock.now() + dt.timedelta(seconds=wait)
                await visits.put_off_visits(self._db, mailbox.id, until=until)
            await self._failed(mailbox, look.trouble)

    async def after_failure(
        self, mailbox: Mailbox, due: DueVisit, error: Exception, began: dt.datetime, *, epoch: int
    ) -> bool:
        """The visit that began then failed: tell it, and try again the later, the more have failed in a row.

        False, and nothing is told, when `epoch` is over: another worker visits it.
        """
        wait = self._wait_after(mailbox.id, error, failures=due.failures)
        try:
            next_at = self._clock.now() + dt.timedelta(seconds=wait * self._rng.uniform(1.0, 1.5))
            await visits.end_visit(
                self._db,
                mailbox.id,
                epoch=epoch,
                next_visit_at=next_at,
                began=began,
                end=VisitEnd.EXCUSED if isinstance(error, EXCUSES) else VisitEnd.FAILED,
            )
            if isinstance(error, ImapThrottled):
                await visits.put_off_visits(self._db, mailbox.id, until=next_at)
            await self._tell(mailbox, error)
        except LeaseLost:
            return False
        except DatabaseUnavailable as away:
            self._events.database_unavailable("visit", str(away))
        return True

    def _wait_after(self, mailbox_id: int, error: Exception, *, failures: int) -> float:
        """Seconds until the next try. What is no failure of the mailbox's is not counted."""
        if isinstance(error, TokensUnavailable):
            return max(error.retry_after or 0.0, NO_TOKEN_AGAIN)
        if isinstance(error, ImapStarved):
            return NO_FILES_AGAIN
        asked = error.retry_after if isinstance(error, ImapThrottled) else None
        wait: float = min(FAILED_MOST, (asked or FAILED_AGAIN) * 2 ** min(failures, 10))
        if isinstance(error, REFUSALS) and mailbox_id not in self._refusals:
            wait = FAILED_AGAIN  # soon, to be sure of it: the second time it is told to the owner
        return wait

    async def _tell(self, mailbox: Mailbox, error: Exception) -> None:
        if isinstance(error, REFUSALS):
            await self._refused(mailbox, error)
        elif isinstance(error, ImapStarved):
            self._events.files_exhausted(part="visit", remedy=error.remedy)
        elif isinstance(error, WarmupdError):
            await self._failed(mailbox, error)
        else:
            self._events.part_failed("visit", error)

    async def _refused(self, mailbox: Mailbox, error: ImapRefusedLogin | GrantRevoked) -> None:
        now, refusals = self._clock.now(), self._refusals.setdefault(mailbox.id, [])
        if not refusals or (now - refusals[-1]).total_seconds() >= DOUBT_APART:
            refusals.append(now)
        self._events.visit_failed(mailbox=mailbox.id, why=f"{type(error).__name__}: {error}")
        await self._aftermath.doubt_credentials(mailbox, _said(error), error.remedy, visits=len(refusals))
        if mailbox.state is MailboxState.AUTH_FAILED:
            del self._refusals[mailbox.id]  # once its owner has mended it, it takes two anew

    async def _failed(self, mailbox: Mailbox, error: WarmupdError) -> None:
        self._events.visit_failed(mailbox=mailbox.id, why=f"{type(error).__name__}: {error}")
        await note_error(self._db, mailbox.id, message=_said(error), remedy=error.remedy, at=self._clock.now())


def _said(error: WarmupdError) -> str:
    """For the owner: no mail server had a say in what concerns tokens."""
    return Exception.__str__(error) if isinstance(error, OAuthError) else f"IMAP: {error}"
