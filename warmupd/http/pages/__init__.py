"""The dashboard: one module a page, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.pages import add, consent, entry, importing


def routers() -> list[APIRouter]:
    """All routers of the dashboard."""
    return [entry.router, add.router, importing.router, consent.router]
