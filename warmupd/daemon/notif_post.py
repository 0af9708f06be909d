"""Carrying notices out: each claimed delivery by mail or by webhook, and what becomes of it."""

import asyncio
import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from warmupd.config import Config
from warmupd.core.notice import Notice
from warmupd.core.notice_pace import try_again_in
from warmupd.daemon import parts
from warmupd.daemon.ground import Ground
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.relay import relay_of
from warmupd.errors import DatabaseUnavailable, SecretsError, WarmupdError
from warmupd.mail.relay import relay_mail
from warmupd.mail.tls import client_context
from warmupd.mail.vault import Vault
from warmupd.mail.webhook import MOST_BYTES, Webhook, as_json, as_slack, post_webhook
from warmupd.store.notices import Delivery, claim_deliveries, end_delivery

AT_ONCE = 8  # deliveries that one worker has under way
STOP_PATIENCE = 5.0  # real seconds that what is under way may take at the end
LASTS = 180.0  # real seconds for which a delivery is one worker's; longer than any conversation may last
LONGEST_TEXT = 10_000  # characters of a notice that is too long as it is
PURPOSE = "webhook"  # of the sealed address and secret


class NoWay(WarmupdError):
    """There is nowhere to deliver to any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnWebhook:
    """A user's webhook, open."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


class Postman:
    """Any worker may deliver anything: who claims it first. A delivery may be made twice, and is never left out."""

    def __init__(self, ground: Ground, config: Callable[[], Config], vault: Callable[[], Vault]) -> None:
        self._ground = ground
        self._db = ground.db
        self._config = config
        self._vault = vault

    async def round(self) -> bool:
        """Deliver some of what is due; whether there was anything."""
        return bool(await self._deliver_all(None))

    async def deliver_now(self, notice_id: UUID) -> None:
        """One notice at once, and once: for who waits for the answer."""
        await self._deliver_all(notice_id)

    async def deliver_directly(self, notice: Notice, to: Sequence[tuple[str, str]]) -> None:
        """To operators without the outbox, and with one try each: for what is told of the database itself."""
        notice_id, at = uuid4(), self._ground.clock.now()
        tasks = [
            asyncio.create_task(self._try_directly(_unwritten(notice, notice_id, channel, recipient, at=at)))
            for channel, recipient in to
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            await parts.end(tasks)

    async def _try_directly(self, one: Delivery) -> None:
        try:
            await (self._mail(one) if one.channel == "EMAIL" else self._post(one))
        except Exception as error:  # noqa: BLE001  one recipient's oddity must not keep all others from being told
            why = str(error) if isinstance(error, WarmupdError) else type(error).__name__
            self._ground.events.notice_failed(
                notice=one.notice_id, channel=one.channel, why=why, tries=one.tries, again_seconds=None
            )
            return
        self._ground.events.notice_delivered(notice=one.notice_id, kind=one.kind, channel=one.channel, tries=one.tries)

    async def _deliver_all(self, notice_id: UUID | None) -> list[Delivery]:
        claimed = await claim_deliveries(
            self._db,
            limit=AT_ONCE,
            lasts=LASTS * self._ground.clock.speed,
            at=self._ground.clock.stamp(),
            notice_id=notice_id,
        )
        tasks = [asyncio.create_task(self._deliver(one, once=notice_id is not None)) for one in claimed]
        try:
            await asyncio.wait(tasks) if tasks else None
        except asyncio.CancelledError:  # a stop: what is said already should be written down, or it is said again
            await asyncio.wait(tasks, timeout=STOP_PATIENCE)
            raise
        finally:
            await parts.end(tasks)
        for task in tasks:
            task.result()
        return claimed

    async def _deliver(self, one: Delivery, *, once: bool) -> None:
        try:
            await (self._mail(one) if one.channel == "EMAIL" else self._post(one))
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  one recipient's oddity must not keep all others from being told
            await self._put_off(one, error, once=once)
            return
        await end_delivery(self._db, one, at=self._ground.clock.stamp())
        self._ground.events.notice_delivered(notice=one.notice_id, kind=one.kind, channel=one.channel, tries=one.tries)

    async def _put_off(self, one: Delivery, error: Exception, *, once: bool) -> None:
        asked = getattr(error, "retry_after", None)
        wait = try_again_in(one.tries, self._ground.rng, asked=asked)
        if once or getattr(error, "for_good", False) or isinstance(error, NoWay):
            wait = None
        why = str(error) if isinstance(error, WarmupdError) else type(error).__name__
        await end_delivery(self._db, one, at=self._ground.clock.stamp(), error=why, again_in=wait)
        self._ground.events.notice_failed(
            notice=one.notice_id, channel=one.channel, why=why, tries=one.tries, again_seconds=wait
        )

    async def _mail(self, one: Delivery) -> None:
        config = self._config()
        relay = relay_of(config)
        to = one.address if one.user_id is not None else one.recipient
        if relay is None:
            raise NoWay("this installation has no relay for mail", remedy="an operator can set notifications.smtp_host")
        if not to:
            raise NoWay("mail is switched off, or the address is not confirmed")
        page = f"{config.http.public_url}/notifications" if config.http.public_url else ""
        foot = f"\n\n-- \nWhat you are told, and where, is set at {page}\n" if page and one.user_id else "\n"
        await relay_mail(
            relay,
            self._ground.clock,
            to=to,
            subject=one.subject,
            text=one.body + foot,
            headers={"List-Unsubscribe": f"<{page}>"} if page and one.user_id else {},
            message_id=str(one.notice_id),
        )

    async def _post(self, one: Delivery) -> None:
        config = self._config()
        hook, slack = self._webhook_of(one, config)
        if not hook.url:
            raise NoWay("there is no webhook any more")
        ca_file = config.security.ca_file
        await post_webhook(
            hook,
            as_slack(one.subject, one.body) if slack else body_of(one),
            notice_id=str(one.notice_id),
            at=self._ground.clock.now(),
            policy=policy_of(config) if one.user_id is not None else None,
            context=client_context(str(ca_file) if ca_file else None),
        )

    def _webhook_of(self, one: Delivery, config: Config) -> tuple[Webhook, bool]:
        """Where to, and whether in Slack's form."""
        if one.user_id is None:
            section = config.notifications
            url, secret = section.webhook_url.get_secret_value(), section.webhook_secret.get_secret_value()
            return Webhook(url=url, secret=secret), section.webhook_form == "slack"
        if one.webhook is None or one.settings_id is None:
            return Webhook(url=""), False
        own = open_webhook(self._vault(), one.webhook, one.settings_id)
        return Webhook(url=own.url, secret=own.secret), one.webhook_form == "SLACK"


def _unwritten(notice: Notice, notice_id: UUID, channel: str, recipient: str, *, at: dt.datetime) -> Delivery:
    return Delivery(
        notice_id=notice_id,
        channel=channel,
        recipient=recipient,
        claim=notice_id,
        tries=1,
        user_id=None,
        kind=notice.kind.value,
        at=at,
        subject=notice.subject,
        body=notice.body,
        facts=dict(notice.facts),
        address=None,
        settings_id=None,
        webhook=None,
        webhook_form=None,
    )


def body_of(one: Delivery) -> bytes:
    """For programs. One that would be too long to be taken has its beginning alone."""
    document = document_of(one)
    body = as_json(document)
    if len(body) <= MOST_BYTES:
        return body
    kept = {name: document[name] for name in ("id", "type", "at", "subject")}
    return as_json({**kept, "text": one.body[:LONGEST_TEXT], "shortened": True})


def document_of(one: Delivery) -> dict[str, Any]:
    """A notice as programs get it. The `id` is the same however often it is delivered."""
    return {
        "id": str(one.notice_id),
        "type": one.kind.lower(),
        "at": one.at.isoformat(),
        "subject": one.subject,
        "text": one.body,
        **one.facts,
    }


def seal_webhook(vault: Vault, hook: OwnWebhook, settings_id: int) -> bytes:
    """Address and secret together, for this user's settings alone."""
    return vault.seal(json.dumps([hook.url, hook.secret]), mailbox_id=settings_id, purpose=PURPOSE)


def open_webhook(vault: Vault, sealed: bytes, settings_id: int) -> OwnWebhook:
    """Raises SecretsError."""
    try:
        url, secret = json.loads(vault.unseal(sealed, mailbox_id=settings_id, purpose=PURPOSE))
    except SecretsError:
        raise SecretsError("the webhook does not open with any of secrets.keys", remedy="enter it again") from None
    return OwnWebhook(url=url, secret=secret)
