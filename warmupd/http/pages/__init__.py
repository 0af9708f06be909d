"""The dashboard: one module a page, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.pages import (
    account,
    entry,
    fleet,
    links,
    mailbox,
    mailbox_acts,
    mailboxes,
    overview,
    reports,
    settings,
)


def routers() -> list[APIRouter]:
    """All routers of the dashboard."""
    return [
        entry.router,
        account.router,
        links.router,
        mailbox.router,
        overview.router,
        mailboxes.router,
        mailbox_acts.router,
        reports.router,
        settings.router,
        fleet.router,
    ]
