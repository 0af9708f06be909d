"""From the configuration to the options of the parts: the one place where both vocabularies meet."""

import datetime as dt
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.engagement import EngagementPolicy
from warmupd.core.health import HealthRules
from warmupd.core.mailbox import Defaults, Hours, Ramp
from warmupd.core.pacing import Spacing
from warmupd.core.retention import Retention
from warmupd.core.throttling import ThrottleRules
from warmupd.daemon.pace import Pace

if TYPE_CHECKING:  # imported where it is made: commands that only report need some of this, and no mail libraries
    from warmupd.daemon.visiting import Visiting
    from warmupd.mail.hosts import HostPolicy
    from warmupd.mail.smtp import Timeouts
    from warmupd.mail.vault import Vault

SEND_WITHIN = 5.0  # real seconds from a reservation to MAIL FROM
STOP_MARGIN = 45.0  # seconds of a stop beside its longest conversation: begin that, settle, give back, close
SLACK = 5.0  # seconds by which spacing and cap windows are lengthened, so that mail servers see them kept


def defaults_of(config: Config) -> Defaults:
    """What holds for mailboxes that say nothing themselves."""
    return Defaults(
        zone=config.window.timezone,
        hours=Hours(
            start=config.window.start_hour, end=config.window.end_hour, weekdays_only=config.window.weekdays_only
        ),
        ramp=Ramp(
            start=config.quota.ramp_start,
            step=config.quota.ramp_step,
            target=config.quota.target_daily,
            floor=config.quota.min_daily,
        ),
        own_mail=config.quota.own_mail_per_day,
    )


def health_of(config: Config) -> HealthRules:
    """From which share of spam on a mailbox sends less."""
    health = config.health
    return HealthRules(
        smallest_sample=health.smallest_sample,
        restore=health.restore_spam_rate,
        watch=health.watch_spam_rate,
        throttle=health.throttle_spam_rate,
        suspend=health.suspend_spam_rate,
        watch_factor=health.watch_factor,
        throttle_factor=health.throttle_factor,
        window_days=health.window_days,
        suspend_hours=health.suspend_hours,
    )


def limits_of(config: Config, clock: Clock) -> dict[str, float]:
    """What this worker writes into the settings row. Until MAIL FROM real time passes: a fast clock stretches it."""
    return {
        "global_per_hour": config.limits.global_per_hour,
        "global_per_minute": config.limits.global_per_minute,
        "user_per_hour": config.limits.user_per_hour,
        "user_per_minute": config.limits.user_per_minute,
        "mailbox_gap_seconds": config.spacing.same_mailbox_min_minutes * 60.0,
        "send_within_seconds": SEND_WITHIN * clock.speed,
        "slack_seconds": SLACK,
    }


def told_by(config: Config, clock: Clock, vault: "Vault") -> dict[str, Any]:
    """What a worker writes into its own row: the limits it wants, and which keys it holds (by id, newest first)."""
    return {**limits_of(config, clock), "key_ids": list(vault.key_ids)}


def throttling_of(config: Config) -> ThrottleRules:
    """When the global caps are lowered and restored."""
    limits = config.limits
    return ThrottleRules(
        lower_above=limits.lower_above,
        restore_below=limits.restore_below,
        lower_step=limits.lower_step,
        least_share=limits.least_share,
        smallest_sample=limits.smallest_sample,
        watch=dt.timedelta(minutes=limits.watch_minutes),
    )


def pace_of(config: Config) -> Pace:
    """How much at once, and how far apart."""
    spacing = config.spacing
    return Pace(
        spacing=Spacing(
            mailbox_min=spacing.same_mailbox_min_minutes * 60.0,
            mailbox_max=spacing.same_mailbox_max_minutes * 60.0,
            user_min=spacing.same_user_min_seconds,
            user_max=spacing.same_user_max_seconds,
        ),
        batch_size=config.sending.batch_size,
        max_concurrent=config.sending.max_concurrent,
        per_host_concurrent=config.sending.per_host_concurrent,
    )


def timeouts_of(config: Config) -> "Timeouts":
    """How long each phase of an SMTP conversation may last."""
    from warmupd.mail.smtp import Timeouts

    sending = config.sending
    connect, command = sending.connect_timeout_seconds, sending.command_timeout_seconds
    body = sending.body_timeout_seconds + sending.reply_timeout_seconds
    return Timeouts(
        connect=connect,
        ehlo=connect,
        tls=connect,
        auth=command,
        mail=command,
        rcpt=command,
        data=command,
        body=body,
        total=3 * connect + 4 * command + body,
    )


def stop_within(config: Config) -> float:
    """Real seconds after which a stop is hurried that has not ended by itself: no mail server may take longer.

    `TimeoutStopSec` of the unit is this and ten seconds more for what a hurried stop may take.
    """
    return timeouts_of(config).total + STOP_MARGIN


def visiting_of(config: Config, hosts: "HostPolicy", context: SSLContext) -> "Visiting":
    """How visits are made."""
    from warmupd.daemon.visiting import Visiting

    return Visiting(
        per_day=config.engagement.visits_per_day,
        concurrent=config.sending.max_concurrent,
        per_host_concurrent=config.sending.per_host_concurrent,
        hosts=hosts,
        context=context,
        source_address=config.sending.source_address,
        warmup_folder=config.engagement.folder,
    )


def retention_of(config: Config) -> Retention:
    """How long what is kept."""
    return Retention(
        jobs=dt.timedelta(days=config.housekeeping.job_retention_days),
        messages=dt.timedelta(days=config.engagement.retention_days),
    )


def engagement_of(config: Config) -> EngagementPolicy:
    """What recipients do."""
    engagement = config.engagement
    return EngagementPolicy(
        reply_rate=engagement.reply_rate,
        star_rate=engagement.star_rate,
        rescue=engagement.rescue,
        max_thread_length=engagement.max_thread_length,
        file_after_hours=engagement.file_after_hours,
        retention_days=engagement.retention_days,
        reply_after_minutes=(engagement.reply_after_min_minutes, engagement.reply_after_max_minutes),
    )
