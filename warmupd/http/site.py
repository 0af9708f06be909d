"""The site: what every request is answered from."""

from dataclasses import dataclass

from fastapi import Request

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.store.database import Database


@dataclass(kw_only=True, slots=True)
class Site:
    """The parts of the worker that pages and API stand on. `config` is what is in force: a reload puts a new one."""

    config: Config
    db: Database
    clock: Clock


def site_of(request: Request) -> Site:
    """The site that this request is answered from."""
    site: Site = request.app.state.site
    return site
