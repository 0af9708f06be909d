"""`PATCH /api/warmup/mailboxes/{id}`: changing one mailbox; the same rules as `warmupd mailbox set`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from warmupd.core import entries
from warmupd.daemon import changing
from warmupd.daemon.changing import Change
from warmupd.daemon.keyring import keyring_of
from warmupd.errors import NotFound, UsageError, WarmupdError
from warmupd.http.choice import MailboxId, chosen_one, refused
from warmupd.http.identity import Owner
from warmupd.http.listing import TEXT, rankings_of
from warmupd.http.problem import Problem, problems
from warmupd.http.site import Site, site_of
from warmupd.http.trials import trials_of
from warmupd.store.mailbox_report import MailboxReport
from warmupd.store.users import shared_pool

router = APIRouter(prefix="/api/warmup/mailboxes", tags=["mailboxes"])

Line = Annotated[str, Field(max_length=entries.LONGEST, pattern=TEXT)]
Number = Annotated[int, Field(ge=0, le=100_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Secret = Annotated[str, Field(min_length=1, max_length=1024, pattern=TEXT)]
Label = Annotated[str, Field(max_length=entries.LONGEST)]


class MailboxPatch(BaseModel):
    """What is to change; what is left out stays. null, where it is possible, is the user's or the usual value."""

    model_config = ConfigDict(extra="forbid")

    display_name: Line | None = None
    add_labels: Annotated[list[Label], Field(max_length=50)] = []
    remove_labels: Annotated[list[Label], Field(max_length=50)] = []
    provider: Line | None = None
    smtp_host: Line | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    smtp_security: Literal["TLS", "STARTTLS"] | None = None
    smtp_username: Line | None = None
    imap_host: Line | None = None
    imap_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    imap_security: Literal["TLS", "STARTTLS"] | None = None
    imap_username: Line | None = None
    junk_folder: Line | None = None
    language: Line | None = None
    timezone: Line | None = None
    start_hour: Number | None = None
    end_hour: Number | None = None
    weekdays_only: StrictBool | None = None
    ramp_start: Number | None = None
    ramp_step: Number | None = None
    target_daily: Number | None = None
    min_daily: Number | None = None
    already_warm: StrictBool | None = None
    own_mail: Number | None = None
    provider_limit: Annotated[Number | None, Field(description="above the known one: admins only")] = None
    reply_rate: Share | None = None
    star_rate: Share | None = None
    rescue: StrictBool | None = None
    visits_per_day: Annotated[int, Field(ge=1, le=64)] | None = None
    warmup_folder: Line | None = None
    file_after_hours: Annotated[float, Field(ge=0, le=8760)] | None = None
    retention_days: Annotated[float, Field(ge=1, le=3650)] | None = None
    pool: Annotated[Line | None, Field(description="a shared pool's name; null: the private one")] = None
    password: Annotated[Secret | None, Field(repr=False, description="for both servers; ends AUTH_FAILED")] = None
    imap_password: Annotated[Secret | None, Field(repr=False, description="where IMAP has another")] = None
    check: Annotated[
        bool, Field(description="try a new login or server before it is kept; only an admin may do without")
    ] = True


class Changed(BaseModel):
    """What was changed."""

    id: int
    address: str
    changes: list[str]  # in words
    from_next_day: bool  # ramp, quota and window count from the mailbox's next local day


_NOT_COLUMNS = frozenset({"add_labels", "remove_labels", "pool", "password", "imap_password", "check"})


@router.patch("/{mailbox_id:int}", summary="Change", response_model=Changed, responses=problems(404))
async def change(request: Request, identity: Owner, mailbox_id: MailboxId, patch: MailboxPatch) -> Changed:
    """All of it, or nothing. A new password or server is tried first: 422 tells why it was refused."""
    site = site_of(request)
    mailbox = await chosen_one(site.db, mailbox_id, identity)
    try:
        wanted = await _wanted(site, mailbox, patch, by_admin=identity.is_admin)
        if not (wanted.columns or wanted.add_labels or wanted.remove_labels or wanted.passwords):
            raise Problem(422, "nothing to change was given")
        if wanted.concerns_login and not patch.check and not identity.is_admin:
            raise Problem(403, "only an admin changes a login or server without a check", remedy="leave `check` out")
        if wanted.concerns_login and patch.check:
            turn = trials_of(request).turn(request, identity.user_id)
            async with turn, keyring_of(site.config, site.db, site.clock) as keyring:
                await changing.try_logins(site.db, site.config, keyring, [mailbox], wanted)
        await changing.write(site.db, site.config, site.clock, [mailbox], wanted, actor=identity.email)
    except WarmupdError as error:
        raise refused(error) from error
    rankings_of(request).forget()
    return Changed(
        id=mailbox.id,
        address=mailbox.address,
        changes=changing.told(wanted, pool=patch.pool),
        from_next_day=bool(wanted.columns.keys() & changing.FROM_NEXT_DAY),
    )


def _columns(patch: MailboxPatch) -> dict[str, Any]:
    """What was said, looked at field by field. Raises Problem 422 with all the fields that cannot be."""
    columns = patch.model_fields_set - _NOT_COLUMNS
    said = {name: value for name, value in patch.model_dump().items() if name in columns}
    found: dict[str, Any] = {}
    errors = []
    for column, value in said.items():
        if value is None and column not in entries.DEFAULTS:
            errors.append({"field": f"body.{column}", "detail": "it has no default: leave it out to keep it"})
            continue
        usual = entries.DEFAULTS[column] if value is None else value
        try:
            found |= entries.columns({column: usual})
        except UsageError as error:
            errors.append({"field": f"body.{column}", "detail": str(error)})
    for field in ("add_labels", "remove_labels"):
        for word in getattr(patch, field):
            try:
                entries.label(word)
            except UsageError as error:
                errors.append({"field": f"body.{field}", "detail": str(error)})
    if patch.imap_password and not patch.password:
        errors.append({"field": "body.password", "detail": "give the one for SMTP, too"})
    if errors:
        raise Problem(422, "some of it cannot be", errors=errors)
    return found


async def _wanted(site: Site, mailbox: MailboxReport, patch: MailboxPatch, *, by_admin: bool) -> Change:
    complete = await changing.completed(site.db, site.config, [mailbox], _columns(patch), by_admin=by_admin)
    if "pool" in patch.model_fields_set:
        complete["pool_id"] = await _pool(site, patch.pool)
    return Change(
        columns=complete,
        add_labels=patch.add_labels,
        remove_labels=patch.remove_labels,
        passwords=(patch.password, patch.imap_password or patch.password) if patch.password else None,
    )


async def _pool(site: Site, name: str | None) -> int | None:
    """Shared pools are made by admins, and joined on purpose, by their names."""
    if not name:
        return None
    try:
        return await shared_pool(site.db, name)
    except NotFound as error:
        raise UsageError(f"there is no shared pool {name}", remedy="an admin makes shared pools") from error
