"""What the visitor is told, and where: the form, a test, and what was told of late."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from warmupd.core.notice import Event
from warmupd.daemon.notif_settings import Shown, WebhookWish, Wish, change_settings, send_test, show_settings
from warmupd.errors import UsageError
from warmupd.http.api.notifications import before
from warmupd.http.paging import CursorText, cursor_of
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import site_of
from warmupd.http.wording import sentence
from warmupd.mail.webhook import LONGEST_URL
from warmupd.store.notices import list_notices

SHOWN = 20  # notices of a page
EVENTS = (
    (Event.AUTH_FAILED, "A login is refused", "The mailbox waits for you: a new password, or a new consent."),
    (Event.SUSPENDED, "A mailbox is suspended", "By the daemon, with its reason and until when."),
    (Event.BACK_TO_NORMAL, "It is back to normal", "If you were told that it was not."),
    (Event.QUOTA_MISSED, "Yesterday's quota was missed", "Once a day, with what kept each mailbox from it."),
)
DONE = {"saved": "Saved.", "test": "A test was sent. Below you see what became of it."}
CHANNELS = {"EMAIL": "mail", "WEBHOOK": "webhook"}
TONES = {"delivered": "good", "failed": "bad", "waiting": "warn"}

router = APIRouter(prefix="/notifications", include_in_schema=False)


class Given(BaseModel):
    """The form. What is not ticked is not in it."""

    email: bool = False
    event: list[Event] = []
    digest: bool = False
    daily_hour: Annotated[int, Field(ge=0, le=23)] = 8
    url: Annotated[str, Field(max_length=LONGEST_URL)] = ""
    form: Literal["json", "slack"] = "json"
    hook: Literal["keep", "new_secret", "none"] = "keep"


@router.get("")
async def show(request: Request, visitor: Signed, done: str = "", cursor: CursorText = None) -> Response:
    """All of it."""
    return await _page(request, visitor, done=DONE.get(done, ""), cursor=cursor)


@router.post("")
async def save(request: Request, visitor: Signed, given: Annotated[Given, Form()]) -> Response:
    """Saves the form; a secret that was made is shown on this page alone, which nobody keeps."""
    site, user_id = site_of(request), visitor.identity.user_id
    now = await show_settings(site.db, site.config, user_id)
    chosen: dict[str, Any] = {
        "email": given.email,
        "events": given.event,
        "digest": given.digest,
        "daily_hour": given.daily_hour,
    }
    url, wished = given.url.strip(), None
    if given.hook != "none" and (url or now.webhook):
        wished = WebhookWish(url=url, form=given.form, new_secret=given.hook == "new_secret")
    try:
        shown = await change_settings(site.db, site.config, user_id, Wish(**chosen, webhook=wished))
    except UsageError as error:
        wrong = {"url": sentence(str(error))}
        return await _page(request, visitor, shown=replace(now, **chosen), status=422, wrong=wrong)
    if shown.secret:
        return await _page(request, visitor, shown=shown, status=201)
    return RedirectResponse("/notifications?done=saved", status_code=303)


@router.post("/test")
async def send(request: Request, visitor: Signed) -> Response:
    """Sends a test to wherever the visitor would be told."""
    site = site_of(request)
    try:
        await send_test(site.db, site.config, site.clock, visitor.identity.user_id)
    except UsageError as error:
        return await _page(request, visitor, status=422, wrong={"test": sentence(str(error))})
    return RedirectResponse("/notifications?done=test#recent", status_code=303)


async def _page(
    request: Request,
    visitor: Visitor,
    *,
    shown: Shown | None = None,
    status: int = 200,
    done: str = "",
    cursor: str | None = None,
    wrong: dict[str, str] | None = None,
) -> Response:
    site = site_of(request)
    shown = shown or await show_settings(site.db, site.config, visitor.identity.user_id)
    found = await list_notices(site.db, visitor.identity.owner, limit=SHOWN + 1, before=before(cursor))
    last = found[SHOWN - 1] if len(found) > SHOWN else None
    older = f"/notifications?cursor={cursor_of([last.at.isoformat(), str(last.id)])}#recent" if last else ""
    return page(
        request,
        "notifications.html",
        visitor=visitor,
        status=status,
        done=done,
        shown=shown,
        wrong=wrong or {},
        events=EVENTS,
        hours=[(hour, f"{hour:02}:00") for hour in range(24)],
        notices=found[:SHOWN],
        channels=CHANNELS,
        tones=TONES,
        first="/notifications#recent" if cursor else "",
        older=older,
    )
