"""What is done to one mailbox: check, pause, resume, remove, bring back."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from warmupd.core.mailbox import MailboxState
from warmupd.daemon import acting
from warmupd.daemon.acting import Deed
from warmupd.daemon.checking import check_logins
from warmupd.errors import WarmupdError
from warmupd.http.choice import MailboxId, chosen_one, refused
from warmupd.http.identity import Owner, Reader
from warmupd.http.listing import TEXT, rankings_of
from warmupd.http.paging import LIMIT, CursorText, Limit
from warmupd.http.problem import Problem, problems
from warmupd.http.removed import removed_page
from warmupd.http.site import site_of
from warmupd.http.trials import trials_of
from warmupd.http.wording import ForApi
from warmupd.store.removals import UNDO_FOR, Removal, find_removals

router = APIRouter(prefix="/api/warmup", tags=["mailboxes"])
ONE = "/mailboxes/{mailbox_id:int}"

LONGEST_REASON = 200
_AS = {None: None, True: MailboxState.RECEIVE_ONLY, False: MailboxState.ACTIVE}


class Pausing(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=LONGEST_REASON, pattern=TEXT, description="kept until it is resumed")] = ""


class Resuming(BaseModel):
    """As what."""

    model_config = ConfigDict(extra="forbid")
    receive_only: Annotated[
        bool | None, Field(description="receive and answer but never start, or start as well; null: as before")
    ] = None


class Done(BaseModel):
    """What became of the mailbox."""

    id: int
    address: str
    state: MailboxState  # that it is in now
    changed: bool  # false: it was in that state already
    text: str  # such as "ACTIVE -> PAUSED, keeps its ramp of 3 days"
    undo_until: dt.datetime | None = None  # of a removal


class Refusal(BaseModel):
    """A server that did not let us in."""

    protocol: str
    host: str
    port: int
    message: ForApi
    remedy: ForApi


class CheckResult(BaseModel):
    """Whether both servers let us in."""

    id: int
    address: str
    ok: bool
    refusals: list[Refusal]
    state: MailboxState  # nothing is changed by a check; `resume` ends a pause, a suspension, a refused login


class Removed(BaseModel):
    """A mailbox that was removed and can come back."""

    id: int
    address: str
    user: str
    removed_at: dt.datetime
    undo_until: dt.datetime
    state: MailboxState  # that it comes back in
    address_in_use: bool  # it is enrolled again, and cannot come back as long as that is so


class RemovedList(BaseModel):
    """Some of them, those that go for good the soonest first; `next_cursor` leads to more."""

    items: list[Removed]
    next_cursor: str | None


@router.get("/removed-mailboxes", summary="Removed mailboxes that can come back", response_model=RemovedList)
async def removed(request: Request, identity: Reader, limit: Limit = LIMIT, cursor: CursorText = None) -> RemovedList:
    """For 7 days after its removal a mailbox can be brought back as it was."""
    found, after = await removed_page(site_of(request).db, identity.owner, limit=limit, cursor=cursor)
    return RemovedList(items=[_removed(one) for one in found], next_cursor=after)


@router.post(f"{ONE}/check", summary="Try its logins", response_model=CheckResult, responses=problems(404))
async def check(request: Request, identity: Owner, mailbox_id: MailboxId) -> CheckResult:
    """Log in to SMTP and IMAP, once each, now. Changes nothing."""
    site = site_of(request)
    mailbox = await chosen_one(site.db, mailbox_id, identity)
    try:
        async with trials_of(request).turn(request, identity.user_id):
            checked = await check_logins(site.db, site.config, site.clock, [mailbox])
    except WarmupdError as error:
        raise refused(error) from error
    if not checked:
        raise Problem(404, "there is no such mailbox")
    bad = checked[0].refusals
    return CheckResult(
        id=mailbox.id,
        address=mailbox.address,
        ok=not bad,
        refusals=[Refusal(**{name: getattr(one, name) for name in Refusal.model_fields}) for one in bad],
        state=MailboxState(mailbox.state),
    )


@router.post(f"{ONE}/pause", summary="Pause", response_model=Done, responses=problems(404))
async def pause(request: Request, identity: Owner, mailbox_id: MailboxId, said: Pausing | None = None) -> Done:
    """It sends and receives nothing until it is resumed, and keeps its ramp."""
    site = site_of(request)
    mailbox = await chosen_one(site.db, mailbox_id, identity)
    reason = acting.reason_of([mailbox], said.reason if said else "", by=identity.user_id)
    deeds = await acting.pause(site.db, [mailbox], actor=identity.email, reason=reason, at=site.clock.now())
    return _done(request, deeds)


@router.post(f"{ONE}/resume", summary="Resume", response_model=Done, responses=problems(404))
async def resume(request: Request, identity: Owner, mailbox_id: MailboxId, said: Resuming | None = None) -> Done:
    """End a pause, a suspension, or a refused login; its ramp goes on where it was."""
    site = site_of(request)
    mailbox = await chosen_one(site.db, mailbox_id, identity)
    into = _AS[said.receive_only if said else None]
    deeds = await acting.resume(site.db, [mailbox], actor=identity.email, at=site.clock.now(), into=into)
    return _done(request, deeds)


@router.delete(ONE, summary="Remove", response_model=Done, responses=problems(404))
async def remove(
    request: Request,
    identity: Owner,
    mailbox_id: MailboxId,
    clean: Annotated[bool, Query(description="clear out its warmup folder, too")] = False,
    reason: Annotated[str, Query(max_length=LONGEST_REASON, pattern=TEXT)] = "",
) -> Done:
    """Nothing is sent from it or to it any more. For 7 days `undo-removal` brings it back as it was."""
    site, at = site_of(request), site_of(request).clock.now()
    mailbox = await chosen_one(site.db, mailbox_id, identity)
    why = acting.reason_of([mailbox], reason, by=identity.user_id)
    deeds = await acting.remove(site.db, [mailbox], actor=identity.email, reason=why, clean=clean, at=at)
    done = _done(request, deeds)
    return done.model_copy(update={"undo_until": at + UNDO_FOR})


@router.post(f"{ONE}/undo-removal", summary="Bring it back", response_model=Done, responses=problems(404, 409))
async def undo_removal(request: Request, identity: Owner, mailbox_id: MailboxId) -> Done:
    """As it was, with ramp, labels, passwords and state. 409: its address was enrolled anew, or the plan is full."""
    site = site_of(request)
    found = await find_removals(site.db, address=str(mailbox_id), owner=identity.owner)
    if not found:
        raise Problem(404, "there is no such mailbox")
    deeds = await acting.undo(site.db, found[:1], actor=identity.email, at=site.clock.now())
    if deeds[0].failed:
        raise Problem(409, deeds[0].text)
    return _done(request, deeds)


def _done(request: Request, deeds: Sequence[Deed]) -> Done:
    rankings_of(request).forget()
    (deed,) = deeds
    return Done(id=deed.mailbox_id, address=deed.address, state=deed.state, changed=deed.done, text=deed.text)


def _removed(one: Removal) -> Removed:
    return Removed(
        id=one.mailbox_id,
        address=one.address,
        user=one.user,
        removed_at=one.removed_at,
        undo_until=one.undo_until,
        state=one.state,
        address_in_use=one.in_use,
    )
