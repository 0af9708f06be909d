"""`/api/users`: the people who own mailboxes; for admins."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from warmupd.errors import UsageError
from warmupd.http.fields import Address, Name, PlanWord, Zone, printable
from warmupd.http.identity import Admin, AdminInPerson, need_person
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.passwords import new_hash
from warmupd.http.problem import Problem, problems
from warmupd.http.site import Site, site_of
from warmupd.store.database import Database
from warmupd.store.user_changes import LastAdmin, change_user
from warmupd.store.user_removals import remove_user, restore_user
from warmupd.store.users import Role, User, add_user, list_users, sends_today, user_by_id

router = APIRouter(prefix="/api/users", tags=["users"])


class UserOut(BaseModel):
    """A user."""

    id: UUID
    email: str
    name: str
    role: Role
    plan: str
    timezone: str | None
    can_log_in: bool  # has a password
    mailboxes: int
    mailbox_limit: int | None  # null: no limit
    sent_today: int  # of all their mailboxes, each on its local day
    quota_today: int
    created_at: dt.datetime
    seen_at: dt.datetime | None  # signed in, or a token used, to the minute


class Users(BaseModel):
    """A page of them, by address."""

    users: list[UserOut]
    next_cursor: str | None


class NewUser(BaseModel):
    """Without a password they cannot log in until they are invited, or given one."""

    model_config = ConfigDict(extra="forbid")

    email: Address
    name: Name = ""
    role: Role = Role.USER
    plan: PlanWord = "default"
    timezone: Zone = None
    password: Annotated[str | None, Field(max_length=1024, repr=False)] = None


class UserChanges(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    role: Role = Role.USER
    plan: PlanWord = ""
    timezone: Zone = None


class RestoredOut(UserOut):
    """Who is back, and how many mailboxes stayed out: enrolled again since, or beyond the plan's limit."""

    mailboxes_left_out: int


class Leaving(BaseModel):
    """What becomes of a user who was removed."""

    mailboxes_removed: int
    erasing: bool  # what is theirs is being wiped by the workers


@router.get("", summary="Users")
async def list_all(
    request: Request,
    _: Admin,
    limit: Limit = LIMIT,
    cursor: CursorText = None,
    search: Annotated[str, Query(max_length=100, description="in address or name; or a plan")] = "",
) -> Users:
    """By address."""
    site, key = site_of(request), key_of(cursor, (str,))
    found = await list_users(site.db, search=printable(search), after=(key[0] or "") if key else "", limit=limit + 1)
    shown = found[:limit]
    more = cursor_of([shown[-1].email.lower()]) if len(found) > limit else None
    return Users(users=await users_out(site.db, shown, at=site.clock.now()), next_cursor=more)


@router.post("", summary="Add a user", status_code=201, responses=problems(409))
async def add(new: NewUser, request: Request, admin: Admin) -> UserOut:
    """With a private pool for their mailboxes. A service token adds nobody with a password, and no admin."""
    if new.password is not None or new.role is not Role.USER:
        need_person(admin)
    site = site_of(request)
    if await list_users(site.db, new.email):
        raise Problem(409, "there is a user with this address already")
    password_hash = None if new.password is None else await new_hash(new.password, email=new.email)
    user_id = await add_user(
        site.db,
        email=new.email,
        role=new.role,
        actor=admin.email,
        at=site.clock.now(),
        name=new.name,
        timezone=new.timezone,
        password_hash=password_hash,
        plan=new.plan,
    )
    return await one_user(site, user_id)


@router.get("/{user_id}", summary="One user", responses=problems(404))
async def show(user_id: UUID, request: Request, _: Admin) -> UserOut:
    """With what their mailboxes did today."""
    return await one_user(site_of(request), user_id)


@router.patch("/{user_id}", summary="Change a user", responses=problems(404, 409))
async def change(user_id: UUID, changes: UserChanges, request: Request, admin: Admin) -> UserOut:
    """Name, role, plan, time zone. Caps of a plan hold at once; zone and most sends a day from the next day on.

    A service token changes no role.
    """
    site = site_of(request)
    given = changes.model_dump(exclude_unset=True, mode="json")
    if "role" in given:
        need_person(admin)
    with last_admin_stays():
        await change_user(site.db, user_id, given, actor=admin.email, at=site.clock.now())
    return await one_user(site, user_id)


@router.delete("/{user_id}", summary="Remove a user", responses=problems(404, 409))
async def remove(
    user_id: UUID,
    request: Request,
    admin: Admin,
    erase: Annotated[bool, Query(description="wipe everything of theirs, for good")] = False,
    reason: Annotated[str, Query(max_length=200)] = "",
) -> Leaving:
    """At once nothing of theirs sends, and nobody of theirs comes in. For 7 days it can be undone, unless `erase`.

    A service token erases nobody, and removes no admin.
    """
    site = site_of(request)
    if erase or (await user_by_id(site.db, user_id)).role is not Role.USER:
        need_person(admin)
    with last_admin_stays():
        left = await remove_user(
            site.db, user_id, actor=admin.email, at=site.clock.now(), reason=printable(reason), erase=erase
        )
    return Leaving(mailboxes_removed=left.mailboxes, erasing=left.erasing)


@router.post("/{user_id}/restore", summary="Bring a removed user back", responses=problems(404, 409))
async def restore(user_id: UUID, request: Request, admin: AdminInPerson) -> RestoredOut:
    """With the mailboxes that were removed along, for 7 days. Not after an erasure has begun.

    Not with a service token: whoever is brought back may log in, and may be an admin.
    """
    site = site_of(request)
    try:
        back = await restore_user(site.db, user_id, actor=admin.email, at=site.clock.now())
    except UsageError as error:
        raise Problem(409, Exception.__str__(error), remedy=error.remedy) from error
    user = await one_user(site, user_id)
    return RestoredOut(**user.model_dump(), mailboxes_left_out=back.left_out)


async def one_user(site: Site, user_id: UUID) -> UserOut:
    """As it is answered; NotFound when there is none."""
    (user,) = await users_out(site.db, [await user_by_id(site.db, user_id)], at=site.clock.now())
    return user


async def users_out(db: Database, users: Sequence[User], *, at: dt.datetime) -> list[UserOut]:
    """The users with what their mailboxes do today."""
    today = await sends_today(db, [user.id for user in users], at=at)
    told = [name for name in UserOut.model_fields if name not in {"sent_today", "quota_today"}]
    answers = []
    for user in users:
        sent, quota = today.get(user.id, (0, 0))
        fields = {name: getattr(user, name) for name in told}
        answers.append(UserOut(**fields, sent_today=sent, quota_today=quota))
    return answers


@contextmanager
def last_admin_stays() -> Iterator[None]:
    """Answers 409 where no admin would be left."""
    try:
        yield
    except LastAdmin as error:
        raise Problem(409, Exception.__str__(error), remedy=error.remedy) from error
