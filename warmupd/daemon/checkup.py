"""The checkup: when a mailbox's day begins, where its messages of the last days landed decides how much it may send."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.health import Band, HealthRules, Placements, judges, next_band
from warmupd.core.mailbox import MailboxState
from warmupd.daemon.book import Book
from warmupd.daemon.ground import Ground
from warmupd.store.bands import BandChange, Record, change_bands, confirm_bands, recent_placements


class Checkup:
    """Judges mailboxes before their day is opened, so that the day's budget knows of it."""

    def __init__(self, ground: Ground, book: Book) -> None:
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._book = book

    async def judge(self, mailbox_ids: Sequence[int]) -> None:
        """Give each of these mailboxes the band that it has earned; one that does worst is suspended."""
        now, rules = self._clock.now(), self._book.rules
        found = await recent_placements(self._db, mailbox_ids, since=now - rules.span)
        changes, confirmed = [], []
        for mailbox_id, record in found.items():
            if (change := self._change(mailbox_id, record, now)) is not None:
                changes.append(change)
            elif judges(record.placements, rules) and self._book.mailboxes[mailbox_id].health is not Band.HEALTHY:
                confirmed.append(mailbox_id)
        if confirmed:
            await confirm_bands(self._db, confirmed, at=now)
        if changes:
            await change_bands(self._db, changes, at=now)
        for change in changes:
            mailbox = self._book.mailboxes[change.mailbox_id]
            mailbox.health = change.became
            self._events.health_changed(mailbox=mailbox.id, band=change.became, reason=change.reason)
            if change.until is not None and mailbox.state.sends:
                mailbox.state = MailboxState.SUSPENDED
                self._events.state_changed(mailbox=mailbox.id, state=mailbox.state, reason=change.reason)

    def _change(self, mailbox_id: int, record: Record, now: dt.datetime) -> BandChange | None:
        was = self._book.mailboxes[mailbox_id].health
        rules = self._book.rules
        unjudged = rules.span if record.judged_at is None else now - record.judged_at
        became = next_band(was, record.placements, rules, unjudged=unjudged)
        if became is was:
            return None
        rests = dt.timedelta(hours=rules.suspend_hours) if became is Band.SUSPENDED else None
        return BandChange(
            mailbox_id=mailbox_id,
            was=was,
            became=became,
            reason=_told(record.placements, rules),
            until=None if rests is None else now + rests,
        )


def _told(placements: Placements, rules: HealthRules) -> str:
    if not judges(placements, rules):
        found = "1 message was" if placements.seen == 1 else f"{placements.seen or 'no'} messages were"
        return f"{found} found in {rules.window_days} days: too few to judge by"
    return f"{100 * placements.spam / placements.seen:.0f} % of {placements.seen} messages in spam"
