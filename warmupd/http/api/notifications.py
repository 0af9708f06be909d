"""What a user is told, and where: their settings, a test, and what they were told of late."""

import datetime as dt
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from warmupd.core.notice import Event, Kind
from warmupd.daemon.notif_settings import (
    Shown,
    TooManyTests,
    WebhookWish,
    Wish,
    change_settings,
    send_test,
    show_settings,
)
from warmupd.http.identity import Owner, Reader
from warmupd.http.limiter import retry_after
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import Problem
from warmupd.http.site import site_of
from warmupd.mail.webhook import LONGEST_URL
from warmupd.store.notices import Delivered, Told, list_notices

router = APIRouter(prefix="/api/warmup", tags=["notifications"])

FORM = '`json`: a document, signed; `slack`: `{"text": ...}`, for Slack and what understands the same'
URL = "https; empty: the address stays. It is never shown again: it often holds a token"


class WebhookOut(BaseModel):
    """A webhook. Of its address only the host is shown."""

    host: str
    form: Literal["json", "slack"]


class Settings(BaseModel):
    """What you are told, and where."""

    address: str
    address_confirmed: bool  # nothing is mailed before it is
    mail_available: bool  # whether this installation has a relay for mail
    email: bool
    webhook: WebhookOut | None
    events: list[Event]
    digest: bool  # one message a day, instead of single ones
    daily_hour: int  # of the digest, and of what is told about the day before
    timezone: str  # in which that hour is
    webhook_secret: Annotated[
        str | None,
        Field(description='shown this once: `X-Warmupd-Signature: t=<unix>,v1=<hex HMAC-SHA256 of "t.body">`'),
    ] = None


class WebhookIn(BaseModel):
    """Where to post. With another address a new secret is made, and shown once."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(max_length=LONGEST_URL, description=URL, repr=False)] = ""
    form: Annotated[Literal["json", "slack"], Field(description=FORM)] = "json"
    new_secret: bool = False


class SettingsIn(BaseModel):
    """All of it; without `webhook` there is none afterwards."""

    model_config = ConfigDict(extra="forbid")

    email: StrictBool = True
    webhook: WebhookIn | None = None
    events: Annotated[list[Event], Field(max_length=20)] = list(Event)
    digest: StrictBool = False
    daily_hour: Annotated[StrictInt, Field(ge=0, le=23)] = 8


class DeliveryOut(BaseModel):
    """How far a delivery is."""

    channel: Literal["email", "webhook"]
    recipient: str  # an operator's address; empty: your own
    state: Literal["waiting", "delivered", "failed"]
    tries: int
    at: dt.datetime  # when it ended, or is tried next
    error: str  # why the last try failed


class NoticeOut(BaseModel):
    """What was told."""

    id: UUID
    user: str | None  # null: the operators
    kind: Literal["trouble", "quota_missed", "digest", "fleet", "test"]
    at: dt.datetime
    subject: str
    text: str
    deliveries: list[DeliveryOut]


class Notices(BaseModel):
    """A page of them, newest first."""

    items: list[NoticeOut]
    next_cursor: str | None


class TestOut(BaseModel):
    """How a test went, a line for each way."""

    deliveries: list[DeliveryOut]


@router.get("/notifications", summary="What you are told, and where")
async def show(request: Request, response: Response, identity: Reader) -> Settings:
    """Your own settings."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    return _settings(await show_settings(site.db, site.config, identity.user_id))


@router.put("/notifications", summary="Choose what you are told, and where")
async def change(wish: SettingsIn, request: Request, response: Response, identity: Owner) -> Settings:
    """Your own settings. `webhook_secret` is in the answer when it was made just now, and never again."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    return _settings(await change_settings(site.db, site.config, identity.user_id, _wish(wish)))


@router.post("/notifications/test", summary="Send yourself a test")
async def send(request: Request, response: Response, identity: Owner) -> TestOut:
    """To wherever you would be told, at once; the answer says what became of it."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    try:
        told = await send_test(site.db, site.config, site.clock, identity.user_id)
    except TooManyTests as error:
        raise Problem(429, Exception.__str__(error), remedy=error.remedy, headers=retry_after(60)) from None
    return TestOut(deliveries=[_delivery(one) for one in told])


@router.get("/notices", summary="What was told of late")
async def notices(
    request: Request, response: Response, identity: Reader, limit: Limit = LIMIT, cursor: CursorText = None
) -> Notices:
    """Newest first, for a month. Yours; an admin sees everybody's, and the operators'."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    found = await list_notices(site.db, identity.owner, limit=limit + 1, before=before(cursor))
    shown = found[:limit]
    more = cursor_of([shown[-1].at.isoformat(), str(shown[-1].id)]) if len(found) > limit else None
    return Notices(items=[_notice(one) for one in shown], next_cursor=more)


def before(cursor: str | None) -> tuple[dt.datetime, UUID] | None:
    """The last of the page before. Raises Problem 422."""
    key = key_of(cursor, (str, str))
    if key is None:
        return None
    try:
        at, last = dt.datetime.fromisoformat(key[0] or ""), UUID(key[1] or "")
        return at.astimezone(dt.UTC), last
    except (ValueError, OverflowError):
        raise Problem(422, "the cursor is not one of this list", remedy="begin without a cursor") from None


def _wish(given: SettingsIn) -> Wish:
    hook = given.webhook
    return Wish(
        email=given.email,
        events=given.events,
        digest=given.digest,
        daily_hour=given.daily_hour,
        webhook=None if hook is None else WebhookWish(url=hook.url.strip(), form=hook.form, new_secret=hook.new_secret),
    )


def _settings(shown: Shown) -> Settings:
    return Settings(
        address=shown.address,
        address_confirmed=shown.confirmed,
        mail_available=shown.mail,
        email=shown.email,
        webhook=WebhookOut(host=shown.webhook.host, form=shown.webhook.form) if shown.webhook else None,
        events=list(shown.events),
        digest=shown.digest,
        daily_hour=shown.daily_hour,
        timezone=shown.timezone,
        webhook_secret=shown.secret or None,
    )


def _delivery(one: Delivered) -> DeliveryOut:
    return DeliveryOut.model_validate(
        {
            "channel": one.channel.lower(),
            "recipient": one.recipient,
            "state": one.state,
            "tries": one.tries,
            "at": one.at,
            "error": one.error,
        }
    )


def _notice(one: Told) -> NoticeOut:
    return NoticeOut.model_validate(
        {
            "id": one.id,
            "user": one.user,
            "kind": Kind(one.kind).lower(),
            "at": one.at,
            "subject": one.subject,
            "text": one.body,
            "deliveries": [_delivery(delivery) for delivery in one.deliveries],
        }
    )
