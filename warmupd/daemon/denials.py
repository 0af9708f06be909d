"""What follows when reserve denies a request: each reason has its own next step, and none asks again at once."""

import datetime as dt
from dataclasses import replace

from warmupd.daemon.ground import Ground
from warmupd.daemon.holds import GLOBAL_CAPS, USER_CAPS
from warmupd.daemon.schedule import Schedule
from warmupd.store.jobs import Denied

SPARED = 600.0  # seconds that a recipient who cannot take more is left out
SOON = 5.0  # seconds until a mailbox whose copy in memory was wrong looks again
AHEAD = 2.0  # real seconds by which this machine's clock is ahead of the database's, without doubt
NO_RECIPIENT = frozenset({"recipient", "unproven"})  # it cannot receive, or has had its messages without proof
STALE = frozenset({"quota", "attempts", "no_day", "mailbox_state", "mailbox_gone"})  # our copy of the rows was wrong


class Denials:
    """Puts denied mailboxes where they belong."""

    def __init__(self, ground: Ground, schedule: Schedule) -> None:
        self._clock = ground.clock
        self._events = ground.events
        self._rng = ground.rng
        self._schedule = schedule

    async def heed(self, denied: Denied) -> None:
        """Plan what was denied. Raises DatabaseUnavailable when rows must be read anew and cannot; safe to repeat."""
        request, why, now = denied.request, denied.why, self._clock.now()
        mailbox = self._schedule.book.mailboxes.get(request.mailbox_id)
        self._events.denied(why)
        if mailbox is None:
            return
        again = self._again(denied, now)
        if why in USER_CAPS:
            self._schedule.holds.shut_for_user(
                mailbox, again, now, since=self._schedule.book.owed_since(mailbox.id, now)
            )
            return
        self._schedule.holds.answered(mailbox, granted=False)
        if why in GLOBAL_CAPS:
            self._schedule.holds.shut_for_everybody(again, by_order=why == "fleet_stopped")
            self._schedule.push(mailbox.id, now)
        elif why in STALE:
            await self._schedule.book.reload([mailbox.id], now)
            self._schedule.plan(mailbox.id, not_before=now + dt.timedelta(seconds=SOON))
        elif why == "job_gone" and request.waiting:
            self._schedule.book.forget_waiting(request.waiting.id, mailbox.id)
            self._schedule.plan(mailbox.id)
        elif why in NO_RECIPIENT:
            await self._other_recipient(denied, now)
        elif why == "spared":
            self._put_off(denied, again, now)
        else:  # spacing, resting, scheduled, window, not_owner: a matter of time
            # A rest that outlasts the day must not keep the next one from being opened.
            self._schedule.push(mailbox.id, min(again, self._schedule.book.next_opening(mailbox, now)))

    async def _other_recipient(self, denied: Denied, now: dt.datetime) -> None:
        """Spare the recipient for a while. A job that waits for it holds up no other."""
        request, book = denied.request, self._schedule.book
        book.spare(request.recipient_id, now + dt.timedelta(seconds=SPARED), or_proof=True)
        if denied.why == "recipient":
            await book.reload([request.recipient_id], now)
        soon = now + dt.timedelta(seconds=SOON * self._rng.uniform(0.5, 1.5))
        if request.waiting:  # that its turn had come says nothing about the next first send
            book.set_aside(request.waiting)
            self._schedule.plan(request.mailbox_id, not_before=soon)
        else:
            self._schedule.push(request.mailbox_id, soon)

    def _put_off(self, denied: Denied, again: dt.datetime, now: dt.datetime) -> None:
        """The recipient is spared for a while: its answer or retry waits until then, a first send goes to another."""
        request, book = denied.request, self._schedule.book
        book.spare(request.recipient_id, again)
        if request.waiting:
            book.keep_waiting(replace(request.waiting, scheduled_for=again))
        soon = now + dt.timedelta(seconds=SOON * self._rng.uniform(0.5, 1.5))
        self._schedule.plan(request.mailbox_id, not_before=soon)

    def _again(self, denied: Denied, now: dt.datetime) -> dt.datetime:
        """When to ask again: as the answer says, and a little later, each a little differently."""
        moment = denied.ask_again_at or now + dt.timedelta(seconds=SOON)
        if now - moment > dt.timedelta(seconds=AHEAD * self._clock.speed):  # by the database's clock it is yet to come
            moment = now + dt.timedelta(seconds=SOON * self._rng.uniform(1.0, 3.0))
        return max(moment, now) + dt.timedelta(seconds=self._rng.uniform(0.1, 1.5))
