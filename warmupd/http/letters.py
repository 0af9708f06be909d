"""Letters with a link that works once: invitations, new passwords, and the proof that an address is read."""

import asyncio
import datetime as dt
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from warmupd.daemon.relay import relay_of
from warmupd.errors import WarmupdError
from warmupd.http.bearer import new_token, token_hash
from warmupd.http.site import Site
from warmupd.mail.relay import Relay, RelayFailed, relay_mail
from warmupd.store.access import Access, access_by_email
from warmupd.store.links import Draft, LinkKind, drop_link, put_link
from warmupd.store.users import Role

GOOD_FOR = {
    LinkKind.INVITATION: dt.timedelta(days=7),
    LinkKind.PASSWORD_RESET: dt.timedelta(hours=1),
    LinkKind.CONFIRMATION: dt.timedelta(days=2),
}
PATHS = {LinkKind.INVITATION: "invite", LinkKind.PASSWORD_RESET: "reset", LinkKind.CONFIRMATION: "confirm"}
GAP = dt.timedelta(minutes=5)  # between two letters of a kind that somebody asks for
MOST_ERRANDS = 100  # under way: a relay that hangs holds each for half a minute
NO_RELAY = "no relay is set"

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """On its way by mail; else a link, for whoever made it to hand over, and why it was not mailed."""

    mailed: bool
    expires_at: dt.datetime
    link: str = field(default="", repr=False)
    why: str = ""


async def invite(site: Site, *, email: str, role: Role, plan: str, actor: str, by_mail: bool = True) -> Letter:
    """Somebody who is no user yet; an older invitation of theirs ends. Raises UsageError as `put_link` does."""
    draft = Draft(kind=LinkKind.INVITATION, email=email, role=role, plan=plan, created_by=actor)
    return await _post(site, draft, by_mail=by_mail)


async def reset_link(site: Site, access: Access, *, actor: str, by_mail: bool = True) -> Letter:
    """For a user who cannot log in, as an admin does it."""
    draft = Draft(kind=LinkKind.PASSWORD_RESET, email=access.email, user_id=access.user_id, created_by=actor)
    return await _post(site, draft, by_mail=by_mail)


def forgotten(site: Site, email: str) -> None:
    """Somebody says that it is their address and they cannot log in: mailed if there is such a user, after the answer.

    So the answer takes as long for whoever asks, and says nothing.
    """

    async def look() -> None:
        if access := await access_by_email(site.db, email):
            await _mail_after_gap(site, access, LinkKind.PASSWORD_RESET)

    if email.isprintable():
        _begin(site, look())


def ask_to_confirm(site: Site, access: Access) -> None:
    """Mail a link that proves that the user reads their address."""
    _begin(site, _mail_after_gap(site, access, LinkKind.CONFIRMATION))


async def _post(site: Site, draft: Draft, *, by_mail: bool) -> Letter:
    relay = relay_of(site.config) if by_mail else None
    expires_at, why = site.clock.now() + GOOD_FOR[draft.kind], "" if relay or not by_mail else NO_RELAY
    if relay:
        link = await _put(site, draft, mailed=True)
        try:
            await _mail(site, relay, draft, link or "")
        except RelayFailed as error:
            why = str(error)
        else:
            return Letter(mailed=True, expires_at=expires_at)
    link = await _put(site, draft, mailed=False)  # a new one: what may have been mailed after all proves nothing now
    return Letter(mailed=False, expires_at=expires_at, link=link or "", why=why)


async def _mail_after_gap(site: Site, access: Access, kind: LinkKind) -> None:
    if relay := relay_of(site.config):
        draft = Draft(kind=kind, email=access.email, user_id=access.user_id, created_by=access.email)
        if link := await _put(site, draft, mailed=True, gap=GAP):
            try:
                await _mail(site, relay, draft, link)
            except RelayFailed:
                await drop_link(site.db, token_hash(link.rpartition("/")[2]))
                raise


async def _put(site: Site, draft: Draft, *, mailed: bool, gap: dt.timedelta | None = None) -> str | None:
    """The link's address; None: one of a moment ago stays, or one that was handed over."""
    token, now = new_token(), site.clock.now()
    put = await put_link(
        site.db,
        draft,
        token_hash=token_hash(token),
        mailed=mailed,
        at=now,
        expires_at=now + GOOD_FOR[draft.kind],
        gap=gap,
    )
    return f"{address_of(site)}/{PATHS[draft.kind]}/{token}" if put else None


def address_of(site: Site) -> str:
    """Of the dashboard, by the configuration alone: what a request says of it could lead a link elsewhere."""
    return site.config.http.public_url or f"http://{site.config.http.listen}"


async def _mail(site: Site, relay: Relay, draft: Draft, link: str) -> None:
    subject, before, after = _WORDS[draft.kind]
    who = draft.created_by if "@" in draft.created_by else "An administrator"
    text = f"{before.format(who=who, email=draft.email)}\n\n{link}\n\nThe link works once. {after}\n"
    await relay_mail(relay, site.clock, to=draft.email, subject=subject, text=text)


_WORDS = {
    LinkKind.INVITATION: (
        "Your invitation to warmupd",
        "{who} invites you to warmupd, which warms up mailboxes. Within seven days, choose a password here:",
        "If you did not expect this, do nothing, and nothing happens.",
    ),
    LinkKind.PASSWORD_RESET: (
        "A new password for warmupd",
        "Within an hour, choose a new password for {email} here:",
        "It signs you out everywhere. If you did not ask for it, do nothing: your password stays as it is.",
    ),
    LinkKind.CONFIRMATION: (
        "Confirm your address for warmupd",
        "Within two days, confirm here that you read {email}, so that notices about your mailboxes may go there:",
        "If you have no account with warmupd, do nothing.",
    ),
}


def _begin(site: Site, errand: Coroutine[Any, Any, None]) -> None:
    if len(site.errands) >= MOST_ERRANDS:
        errand.close()
        _log.warning("letter.dropped", why=f"{MOST_ERRANDS} wait for the relay")
        return
    task = asyncio.create_task(_told(errand), name="letter")
    site.errands.add(task)
    task.add_done_callback(site.errands.discard)


async def _told(errand: Coroutine[Any, Any, None]) -> None:
    try:
        await errand
    except WarmupdError as error:
        _log.warning("letter.failed", why=str(error))
