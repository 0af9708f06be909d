"""The sections that say how much mail goes when: quota, window, spacing, limits, engagement, health."""

from itertools import pairwise
from math import ceil
from typing import Self

from pydantic import Field, model_validator

from warmupd.config.section import Section, conflict
from warmupd.config.values import Number, Positive, Share, TimeZone, Whole


class QuotaSection(Section):
    """How many sends a mailbox owes on its day."""

    min_daily: Whole = Field(30, ge=0, le=2000, description="sends a day once ramped")
    target_daily: Positive = Field(40, le=2000, description="sends a day at the top of the ramp")
    ramp_start: Positive = Field(5, le=2000, description="sends on the first day")
    ramp_step: Positive = Field(3, le=2000, description="more sends each day")
    variance: Number = Field(0.1, ge=0, le=0.5, description="share by which days differ")
    own_mail_per_day: Whole = Field(0, ge=0, le=100_000, description="kept free under the provider's limit")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("min_daily", "ramp_start"):
            if getattr(self, key) > self.target_daily:
                raise conflict(f"must be at most quota.target_daily ({self.target_daily})", key, "target_daily")
        return self


class WindowSection(Section):
    """When mailboxes send, on their local clocks."""

    start_hour: Whole = Field(6, ge=0, le=23, description="local hour")
    end_hour: Whole = Field(22, ge=1, le=24, description="local hour, 24 for midnight")
    timezone: TimeZone = Field("UTC", description="IANA name")
    weekdays_only: bool = Field(False, description="no sends on Saturdays and Sundays")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_hour <= self.start_hour:
            raise conflict(f"must be later than window.start_hour ({self.start_hour})", "end_hour", "start_hour")
        return self


class SpacingSection(Section):
    """What lies between sends."""

    same_mailbox_min_minutes: Number = Field(2, gt=0, le=1440, description="minutes")
    same_mailbox_max_minutes: Number = Field(10, gt=0, le=1440, description="minutes, when catching up")
    same_user_min_seconds: Number = Field(1, ge=0, le=3600, description="seconds")
    same_user_max_seconds: Number = Field(5, ge=0, le=3600, description="seconds")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (
            ("same_mailbox_min_minutes", "same_mailbox_max_minutes"),
            ("same_user_min_seconds", "same_user_max_seconds"),
        ):
            most = getattr(self, high)
            if getattr(self, low) > most:
                raise conflict(f"must be at most spacing.{high} ({most:g})", low, high)
        return self


def per_minute_of(per_hour: int, *, at_least: int = 1) -> int:
    """The minute cap that belongs to an hour cap unless one is set: a fortieth, so that bursts of half again pass."""
    return max(at_least, ceil(per_hour / 40))


USER_PER_MINUTE_LEAST = 5  # a user with few sends an hour may still open five messages in one minute


class LimitsSection(Section):
    """Caps over sliding windows, for the whole fleet and for one user."""

    global_per_hour: Positive = Field(10_000, description="sends an hour")
    global_per_minute: Positive = Field(
        default_factory=lambda given: per_minute_of(given.get("global_per_hour", 10_000)),
        description="sends a minute; a fortieth of the hour",
    )
    user_per_hour: Positive = Field(300, description="sends an hour")
    user_per_minute: Positive = Field(
        default_factory=lambda given: per_minute_of(given.get("user_per_hour", 300), at_least=USER_PER_MINUTE_LEAST),
        description="sends a minute; a fortieth of the hour, at least 5",
    )
    lower_above: Share = Field(0.1, description="failure rate above which the global caps are lowered")
    restore_below: Number = Field(0.05, gt=0, le=1, description="failure rate below which they are restored")
    lower_step: Number = Field(0.5, gt=0, le=0.9, description="share of them that each step takes away")
    least_share: Number = Field(0.1, gt=0, le=1, description="share of them that is always left")
    watch_minutes: Positive = Field(10, le=1440, description="minutes of attempts that are judged")
    smallest_sample: Positive = Field(50, description="attempts below which nothing is lowered")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.restore_below > self.lower_above:
            raise conflict(f"must be at most limits.lower_above ({self.lower_above:g})", "restore_below", "lower_above")
        return self

    @staticmethod
    def per_minute_of(user_per_hour: int) -> int:
        """A user's minute cap when their plan sets the hour alone."""
        return per_minute_of(user_per_hour, at_least=USER_PER_MINUTE_LEAST)


class EngagementSection(Section):
    """What recipients do."""

    visits_per_day: Positive = Field(6, le=64, description="IMAP visits a mailbox")
    reply_rate: Share = Field(0.3, description="share of messages answered")
    star_rate: Share = Field(0.1, description="share of messages starred")
    rescue: bool = Field(True, description="move messages from spam to the inbox")
    max_thread_length: Positive = Field(4, le=50, description="messages in a thread")
    reply_after_min_minutes: Number = Field(45, ge=0, le=10_080, description="minutes")
    reply_after_max_minutes: Number = Field(360, ge=0, le=10_080, description="minutes")
    folder: str = Field("Warmup", min_length=1, max_length=100, description="where messages are filed")
    file_after_hours: Number = Field(24, ge=0, le=8760, description="hours")
    retention_days: Number = Field(14, gt=0, le=3650, description="days until a filed message is deleted")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        most = self.reply_after_max_minutes
        if self.reply_after_min_minutes > most:
            raise conflict(
                f"must be at most engagement.reply_after_max_minutes ({most:g})",
                "reply_after_min_minutes",
                "reply_after_max_minutes",
            )
        return self


class HealthSection(Section):
    """From which share of spam placements on a mailbox sends less, or rests."""

    smallest_sample: Positive = Field(20, description="placements below which nothing is judged")
    window_days: Positive = Field(7, le=90, description="days looked back")
    restore_spam_rate: Share = Field(0.15, description="at most this: back to full volume")
    watch_spam_rate: Share = Field(0.2, description="from this: watch_factor")
    throttle_spam_rate: Share = Field(0.4, description="from this: throttle_factor")
    suspend_spam_rate: Share = Field(0.8, description="from this: suspended")
    watch_factor: Share = Field(0.7, description="share of the quota")
    throttle_factor: Share = Field(0.5, description="share of the quota")
    suspend_hours: Number = Field(48, gt=0, le=8760, description="hours")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        rates = ("restore_spam_rate", "watch_spam_rate", "throttle_spam_rate", "suspend_spam_rate")
        for low, high in (*pairwise(rates), ("throttle_factor", "watch_factor")):
            most = getattr(self, high)
            if getattr(self, low) > most:
                raise conflict(f"must be at most health.{high} ({most:g})", low, high)
        return self
