"""The dashboard: one module a page, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.pages import entry, overview


def routers() -> list[APIRouter]:
    """All routers of the dashboard."""
    return [entry.router, overview.router]
