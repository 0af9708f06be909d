"""The dashboard: one module a page, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.pages import account, entry, links, mailbox, notifications


def routers() -> list[APIRouter]:
    """All routers of the dashboard."""
    return [
        entry.router,
        account.router,
        links.router,
        mailbox.router,
        notifications.router,
    ]
