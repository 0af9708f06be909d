"""The site: what every request is answered from."""

import asyncio
from dataclasses import dataclass, field

from fastapi import Request

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.http.problem import Problem
from warmupd.store.database import Database

SECRET_REMEDY = "set auth.secret to 32 random characters or more; `openssl rand -hex 32` makes them"  # noqa: S105  what to do


@dataclass(kw_only=True, slots=True)
class Site:
    """The parts of the worker that pages and API stand on. `config` is what is in force: a reload puts a new one."""

    config: Config
    db: Database
    clock: Clock
    errands: set[asyncio.Task[None]] = field(default_factory=set)  # what goes on after an answer

    def go_by(self, config: Config) -> None:
        """From the next request on."""
        self.config = config


def site_of(request: Request) -> Site:
    """The site that this request is answered from."""
    site: Site = request.app.state.site
    return site


def demand_secret(site: Site) -> None:
    """Raises Problem 503 where there is no `auth.secret`: nobody is let in, and it says why."""
    if not site.config.auth.secret.get_secret_value():
        raise Problem(503, "nobody can be let in: auth.secret is not set", remedy=SECRET_REMEDY)
