"""The dashboard: one module a page, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.pages import (
    account,
    add,
    consent,
    departures,
    entry,
    fleet,
    importing,
    invitations,
    links,
    mailbox,
    mailbox_acts,
    mailboxes,
    notifications,
    overview,
    plans,
    reports,
    settings,
    users,
)


def routers() -> list[APIRouter]:
    """All routers of the dashboard."""
    return [
        entry.router,
        account.router,
        links.router,
        overview.router,
        mailboxes.router,
        mailbox_acts.router,
        mailbox.router,
        add.router,
        importing.router,
        consent.router,
        reports.router,
        settings.router,
        fleet.router,
        invitations.router,
        users.router,
        departures.router,
        plans.router,
        notifications.router,
    ]
