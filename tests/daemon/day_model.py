"""What a mailbox's days must come to, told slowly and without the daemon's own rules: nothing here asks a row."""

import datetime as dt
from dataclasses import dataclass, field
from itertools import pairwise
from zoneinfo import ZoneInfo

from tests.daemon.day_post import HELD, RETURNED, SENT, Said

LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
GAP = dt.timedelta(minutes=2)
SLACK = dt.timedelta(seconds=5)
LEAST_SHARE = 0.125  # of its window that a shortened day has, at least
FIRST_DAY_GAP = 240.0  # seconds a send that the day of enrolling has room for
UPSET = dt.timedelta(minutes=105)  # the longest back-off, and the longest that a mail server is left alone
CATCH_UP = dt.timedelta(seconds=606)  # the widest spacing of a mailbox that is behind


@dataclass(kw_only=True)
class Settings:
    """What a mailbox's owner, plan and provider say."""

    zone: str = "UTC"
    start: int = 6
    end: int = 22
    weekdays_only: bool = False
    ramp_start: int = 3
    ramp_step: int = 1
    target: int = 6
    plan: int | None = None
    learnt: tuple[int, dt.datetime] | None = None

    def window(self, day: dt.date) -> tuple[dt.datetime, dt.datetime] | None:
        """The window of the local `day` in UTC."""
        if self.weekdays_only and day.isoweekday() > 5:
            return None
        midnight = dt.datetime.combine(day, dt.time(), ZoneInfo(self.zone))
        opens_at, closes_at = ((midnight + dt.timedelta(hours=hour)) for hour in (self.start, self.end))
        return opens_at.astimezone(dt.UTC), closes_at.astimezone(dt.UTC)

    def local_day(self, now: dt.datetime) -> dt.date:
        return now.astimezone(ZoneInfo(self.zone)).date()

    def quota(self, ramp_day: int, day: dt.date) -> int:
        """Of a whole day."""
        quota = min(self.target, self.ramp_start + self.ramp_step * (ramp_day - 1))
        if self.plan is not None:
            quota = min(quota, self.plan)
        if self.learnt is not None:
            sends, learnt_at = self.learnt
            weeks_over = max(0, (day - self.local_day(learnt_at)).days - 7)
            quota = min(quota, sends + weeks_over * max(1, sends // 10))
        return quota


@dataclass(kw_only=True)
class Row:
    """A day row: its budget as it was opened, and its counts as they stand."""

    day: dt.date
    opens_at: dt.datetime
    closes_at: dt.datetime
    quota: int
    ramp_day: int
    taken: int
    attempts: int
    sent: int

    @property
    def budget(self) -> tuple[object, ...]:
        return self.day, self.opens_at, self.closes_at, self.quota, self.ramp_day

    @property
    def most_attempts(self) -> int:
        return self.quota + max(3, -(-self.quota // 5))

    def holds(self, moment: dt.datetime) -> bool:
        return self.opens_at <= moment < self.closes_at


@dataclass(kw_only=True)
class MailboxModel:
    """One mailbox: its settings, its days so far, and all that was said to its sends."""

    settings: Settings
    ramp_days: int = 0
    starts: bool = True
    state: str = "ACTIVE"
    doubts: int = 0
    doubted_at: dt.datetime | None = None
    unsure: bool = False  # whether an accepted login was written down, which forgives refused ones
    days: list[Row] = field(default_factory=list)
    said: list[Said] = field(default_factory=list, repr=False)
    heard: list[Said] = field(default_factory=list, repr=False)
    quiet_since: dt.datetime = LONG_AGO
    silent_since: dt.datetime | None = None  # paused, stopped, or not let in
    half: set[dt.date] = field(default_factory=set)  # days of which half was sent
    nudged: set[dt.date] = field(default_factory=set)  # days with sends that were asked for out of turn

    def upset(self, moment: dt.datetime) -> None:
        """Something is in the way of sends until then."""
        self.quiet_since = max(self.quiet_since, moment)

    # -- what is heard ------------------------------------------------------------------------------------------

    def hear(self, said: Said, *, deaf: bool) -> None:
        """The reply to a send; `deaf` is when Postgres was away, and nothing but the outcome itself is kept."""
        assert said.heard_at is not None
        if said.outcome == SENT:
            self.unsure = self.doubts > 0 and (deaf or said.word == "taken late")
            self.doubts = self.doubts if self.unsure else 0
            return
        self.upset(said.heard_at + (DAY + UPSET if said.limits else UPSET))
        if said.limits and not deaf:
            self.settings.learnt = self._taken_in_24_hours(said.heard_at), said.heard_at
        if said.doubts and not deaf:
            far = self.doubted_at is None or said.heard_at - self.doubted_at >= dt.timedelta(seconds=300)
            if not self.doubts or far:
                self.doubts, self.doubted_at = self.doubts + 1, said.heard_at
            if self.doubts >= 2 and self.state == "ACTIVE":
                self.state, self.silent_since = "AUTH_FAILED", said.heard_at

    # -- days ---------------------------------------------------------------------------------------------------

    def open(self, row: Row, since: dt.datetime, now: dt.datetime) -> None:
        """A day was opened after `since` and by `now`: is it the one that was to be, with the budget it was to have?"""
        settings, last = self.settings, self.days[-1] if self.days else None
        whole = settings.window(row.day)
        assert whole is not None, f"{row.day} has no window"
        opens_at, share = self._from(whole, last)
        if row.opens_at != opens_at:
            assert self.ramp_days == 0, f"opens at {row.opens_at}, not at {opens_at}"
            assert max(opens_at, since) <= row.opens_at <= now
            first = min(settings.target, settings.ramp_start)
            assert (whole[1] - row.opens_at).total_seconds() >= first * FIRST_DAY_GAP
        assert row.closes_at == whole[1]
        assert row.opens_at <= now
        assert share >= LEAST_SHARE
        if last is not None:
            assert row.day > last.day, f"a second {row.day}"
            assert row.opens_at >= last.closes_at
        quota = settings.quota(self.ramp_days + 1, row.day)
        assert row.ramp_day == self.ramp_days + 1
        assert row.quota == (quota if share >= 1 else int(quota * share)), f"{row.quota} of {quota}"
        self.days.append(row)

    def climb(self, rows: list[Row]) -> None:
        """A day counts for the ramp once half of its quota was sent."""
        for row in rows:
            if 2 * row.sent >= row.quota > 0 and row.day not in self.half:
                self.half.add(row.day)
                self.ramp_days += self.state == "ACTIVE" and row.ramp_day == self.ramp_days + 1

    def _taken_in_24_hours(self, now: dt.datetime) -> int:
        """At least half of the day's quota, and 1."""
        taken = 0.0
        for row in self.days[-2:]:
            part = (row.closes_at - (now - DAY)) / (row.closes_at - row.opens_at)
            taken += self._row_counts(row)[2] * min(1.0, max(0.0, part))
        return max(1, -(-self.days[-1].quota // 2), int(taken))

    def owes_a_day(self, now: dt.datetime) -> bool:
        """Whether a day must be open by now, that is not."""
        day, last = self.settings.local_day(now), self.days[-1] if self.days else None
        whole = self.settings.window(day)
        if whole is None or self.ramp_days == 0 or (last is not None and (day <= last.day or now < last.closes_at)):
            return False
        opens_at, share = self._from(whole, last)
        return share >= LEAST_SHARE and opens_at <= now < whole[1]

    def _from(self, whole: tuple[dt.datetime, dt.datetime], last: Row | None) -> tuple[dt.datetime, float]:
        """When a day opens after the night that follows `last`, and which share of it is left."""
        if last is None:
            return whole[0], 1.0
        night = dt.timedelta(hours=max(0, 23 - (self.settings.end - self.settings.start)))  # an hour for clock changes
        opens_at = max(whole[0], last.closes_at + night)
        return opens_at, (whole[1] - opens_at) / (whole[1] - whole[0])

    # -- what must hold -----------------------------------------------------------------------------------------

    def check(self, rows: list[Row], ramp_days: int, state: str) -> None:
        """The rows as they are now say what the mail server saw; what was opened once has stayed as it was."""
        assert [row.budget for row in rows] == [row.budget for row in self.days], "a day's budget has changed"
        assert ramp_days == self.ramp_days
        if self.unsure and {state, self.state} == {"ACTIVE", "AUTH_FAILED"}:
            self.state = state
        assert state == self.state
        if self.silent_since is not None and self.state not in {"ACTIVE", "RECEIVE_ONLY"}:
            assert all(said.at <= self.silent_since for said in self.said), "it sent though it was stopped"
        for row in rows:
            taken, attempts, sent = self._row_counts(row)
            assert (row.taken, row.attempts, row.sent) == (taken, attempts, sent), f"places, attempts, sent of {row}"
            assert taken <= row.quota
            assert attempts <= row.most_attempts
            assert sum(said.accepted for said in self.said if row.holds(said.at)) <= row.quota
        self._check_pace(rows)

    def _check_pace(self, rows: list[Row]) -> None:
        assert all(later.at - earlier.at >= GAP + SLACK for earlier, later in pairwise(self.said)), "spacing"
        mails = [said.mail_at for said in self.said if said.mail_at is not None]
        assert all(later - earlier >= GAP for earlier, later in pairwise(mails)), "spacing of MAIL FROM"
        for said in self.said[-20:]:
            row = next((row for row in rows if row.holds(said.at)), None)
            assert row is not None, f"{said} is outside every window"
            if row.day not in self.nudged and said.is_first:
                before = sum(one.at < said.at and one.outcome in {SENT, HELD} for one in self.said if row.holds(one.at))
                usable = 0.97 * (row.closes_at - row.opens_at)
                assert before <= row.quota * ((said.at - row.opens_at) / usable) + 0.61, (
                    f"{said} is ahead of its moment"
                )

    def check_shortfall(self, now: dt.datetime) -> None:
        """A day that was left in peace for long enough has used its whole quota, or all its attempts."""
        for row in self.days[-2:]:
            begins = max(row.opens_at, self.quiet_since)
            room = row.closes_at - begins - dt.timedelta(minutes=30)
            if row.closes_at > now or self.state != "ACTIVE" or room < row.quota * CATCH_UP:
                continue
            taken, attempts, _ = self._row_counts(row)
            assert taken == row.quota or attempts == row.most_attempts, f"{taken} of {row}, quiet since {begins}"

    def _row_counts(self, row: Row) -> tuple[int, int, int]:
        """Places, attempts and sent, as they follow from what was said in the row's window."""
        its = [said for said in self.said if row.holds(said.at)]
        return (
            sum(said.outcome in {SENT, HELD} for said in its),
            sum(said.outcome != RETURNED for said in its),
            sum(said.outcome == SENT or said.sighted for said in its),
        )
