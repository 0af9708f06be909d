"""The dashboard: one module a page, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.pages import account, entry, fleet, links, mailbox, reports, settings


def routers() -> list[APIRouter]:
    """All routers of the dashboard."""
    return [
        entry.router,
        account.router,
        links.router,
        mailbox.router,
        reports.router,
        settings.router,
        fleet.router,
    ]
