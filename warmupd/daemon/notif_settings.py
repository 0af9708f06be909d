"""What a user wants to be told, and where: as it is shown, as it is changed, and to try whether it arrives."""

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal
from uuid import UUID

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.notice import Event
from warmupd.core.notice_words import trial_notice
from warmupd.daemon.events import Events
from warmupd.daemon.ground import Ground
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.notif_fleet import operators_of
from warmupd.daemon.notif_post import OwnWebhook, Postman, open_webhook, seal_webhook
from warmupd.errors import SecretsError, UsageError
from warmupd.mail.vault import Vault
from warmupd.mail.webhook import check_reachable, check_url, host_of
from warmupd.store.database import Database
from warmupd.store.notice_settings import NoticeSettings, SaidWebhook, load_notice_settings, save_notice_settings
from warmupd.store.notices import Delivered, add_notice, count_notices, list_notices

SECRET_PREFIX = "wus_"  # noqa: S105  so that scanners of leaked secrets can know them
TESTS_A_MINUTE = 3


class TooManyTests(UsageError):
    """Somebody asks for test after test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookShown:
    """A webhook without what is secret about it: its host is shown, its path is not."""

    host: str
    form: Literal["json", "slack"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a user has chosen, and whether it leads anywhere."""

    address: str
    confirmed: bool
    mail: bool  # whether this installation has a relay
    email: bool
    webhook: WebhookShown | None
    events: Sequence[Event]
    digest: bool
    daily_hour: int
    timezone: str
    secret: str = field(default="", repr=False)  # of the webhook; "" but when it was made just now


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookWish:
    """Another webhook, or the same one otherwise."""

    url: str = field(repr=False)  # "": as it is
    form: Literal["json", "slack"]
    new_secret: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """All that a user chooses."""

    email: bool
    events: Sequence[Event]
    digest: bool
    daily_hour: int
    webhook: WebhookWish | None  # None: none


async def show_settings(db: Database, config: Config, user_id: UUID) -> Shown:
    """Raises NotFound."""
    return _shown(await load_notice_settings(db, user_id), config)


async def change_settings(db: Database, config: Config, user_id: UUID, wish: Wish) -> Shown:
    """Do as they wish. Raises UsageError for an address that may not be used; nothing is changed then."""
    now = await load_notice_settings(db, user_id)
    hook, secret = await _hook(now, config, wish.webhook)
    sealed = None if hook is None else seal_webhook(_vault(config), hook, now.id)
    form = wish.webhook.form.upper() if wish.webhook else "JSON"
    await save_notice_settings(
        db,
        user_id,
        email=wish.email,
        events=[event.value for event in dict.fromkeys(wish.events)],
        digest=wish.digest,
        daily_hour=wish.daily_hour,
        webhook=SaidWebhook(sealed=sealed, form=form),
    )
    return _shown(await load_notice_settings(db, user_id), config, secret)


async def send_test(db: Database, config: Config, clock: Clock, user_id: UUID | None) -> Sequence[Delivered]:
    """Send a test to wherever the user (None: the operators) would be told, and say how it went.

    Raises UsageError when that is nowhere, and TooManyTests.
    """
    now = clock.now()
    if await count_notices(db, user_id, kind="TEST", since=now - dt.timedelta(minutes=1)) >= TESTS_A_MINUTE:
        raise TooManyTests(f"{TESTS_A_MINUTE} tests were sent within a minute", remedy="wait a minute")
    if user_id is None:
        to = operators_of(config)
    else:
        settings = await load_notice_settings(db, user_id)
        to = [(channel, "") for channel in settings.channels(mail=bool(config.notifications.smtp_host))]
    if not to:
        raise UsageError("there is nowhere to send a test to", remedy=_nowhere(operators=user_id is None))
    notice_id = await add_notice(db, trial_notice(), user_id=user_id, to=to, at=now)
    ground = Ground(db=db, clock=clock, events=Events(Metrics(clock)), rng=Random())
    await Postman(ground, lambda: config, lambda: _vault(config)).deliver_now(notice_id)
    (told,) = await list_notices(db, None, limit=1, notice_id=notice_id)
    return told.deliveries


async def _hook(now: NoticeSettings, config: Config, wish: WebhookWish | None) -> tuple[OwnWebhook | None, str]:
    """What is to be sealed, and the secret if it was made just now. Another address gets another secret."""
    if wish is None:
        return None, ""
    before = _opened(now, config)
    url = wish.url or (before.url if before else "")
    if not url:
        raise UsageError("the webhook has no address", remedy="give it as https://host/path")
    if before is None or url != before.url:
        check_url(url, policy_of(config))
        await check_reachable(url, policy_of(config))
    if before is not None and url == before.url and not wish.new_secret:
        return before, ""
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    return OwnWebhook(url=url, secret=secret), secret


def _shown(settings: NoticeSettings, config: Config, secret: str = "") -> Shown:
    hook = _opened(settings, config)
    form: Literal["json", "slack"] = "slack" if settings.webhook_form == "SLACK" else "json"
    shown = None
    if settings.webhook is not None:
        shown = WebhookShown(host=host_of(hook.url) if hook else "", form=form)
    return Shown(
        address=settings.address,
        confirmed=settings.confirmed,
        mail=bool(config.notifications.smtp_host),
        email=settings.email,
        webhook=shown,
        events=[event for event in Event if event in settings.events],
        digest=settings.digest,
        daily_hour=settings.daily_hour,
        timezone=settings.zone or config.window.timezone,
        secret=secret,
    )


def _opened(settings: NoticeSettings, config: Config) -> OwnWebhook | None:
    """None: there is none, or no key opens it any more."""
    if settings.webhook is None:
        return None
    try:
        return open_webhook(_vault(config), settings.webhook, settings.id)
    except SecretsError:
        return None


def _nowhere(*, operators: bool) -> str:
    if operators:
        return "set notifications.operator_emails and a relay, or notifications.webhook_url"
    return "confirm your address, or set a webhook"


def _vault(config: Config) -> Vault:
    return Vault([key.get_secret_value() for key in config.secrets.keys])
