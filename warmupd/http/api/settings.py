"""`/api/warmup/settings`: what an owner sets for all mailboxes that have no word of their own."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from warmupd.daemon.owner_settings import DEFAULTS, default_of, set_for_user
from warmupd.http.fields import Name, Zone
from warmupd.http.identity import Identity, Owner, Reader
from warmupd.http.problem import problems
from warmupd.http.site import Site, site_of
from warmupd.store.user_settings import user_settings

router = APIRouter(prefix="/api/warmup/settings", tags=["settings"])

Hour = Annotated[int | None, Field(ge=0, le=24)]
Daily = Annotated[int | None, Field(ge=0, le=2000)]
Share = Annotated[float | None, Field(ge=0, le=1)]


class Settings(BaseModel):
    """null: the configured default holds."""

    timezone: Zone = None
    start_hour: Hour = None
    end_hour: Hour = None
    weekdays_only: bool | None = None
    ramp_start: Daily = None
    ramp_step: Daily = None
    target_daily: Daily = None
    min_daily: Daily = None
    reply_rate: Share = None
    star_rate: Share = None
    rescue: bool | None = None
    visits_per_day: Annotated[int | None, Field(ge=1, le=64)] = None
    warmup_folder: Annotated[str | None, Field(max_length=100)] = None
    file_after_hours: Annotated[float | None, Field(ge=0, le=8760)] = None
    retention_days: Annotated[float | None, Field(ge=1, le=3650)] = None


class Changes(Settings):
    """What is left out stays as it is; null goes back to the default."""

    model_config = ConfigDict(extra="forbid")
    name: Name | None = None


class SettingsOut(BaseModel):
    """What was set, and what holds where nothing was."""

    name: str
    settings: Settings
    defaults: dict[str, Any]


@router.get("", summary="Your settings", response_model=SettingsOut, responses=problems(404))
async def show(identity: Reader, request: Request, response: Response) -> SettingsOut:
    """Of whoever asks, an admin too. A mailbox's own word comes before these."""
    response.headers["Cache-Control"] = "no-store"
    return await _told(site_of(request), identity)


@router.patch("", summary="Change your settings", response_model=SettingsOut, responses=problems(404))
async def change(changes: Changes, identity: Owner, request: Request, response: Response) -> SettingsOut:
    """Ramp, quota, window and zone count from each mailbox's next local day; the rest from the next visit on."""
    site = site_of(request)
    given = changes.model_dump(exclude_unset=True)
    if given.get("name", "") is None:
        given["name"] = ""
    now = site.clock.now()
    await set_for_user(site.db, site.config, identity.user_id, given, actor=identity.email, at=now)
    response.headers["Cache-Control"] = "no-store"
    return await _told(site, identity)


async def _told(site: Site, identity: Identity) -> SettingsOut:
    found = await user_settings(site.db, identity.user_id)
    name = found.pop("name")
    defaults = {column: default_of(site.config, column) for column in DEFAULTS}
    return SettingsOut(name=name, settings=Settings(**found), defaults=defaults)
