"""The JSON API under /api: one module a noun, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.api import (
    account,
    control,
    enrolment,
    fleet,
    invitations,
    jobs,
    mailbox,
    mailbox_actions,
    mailbox_settings,
    mailboxes,
    metrics,
    notifications,
    placement,
    plans,
    quota,
    reports,
    service_tokens,
    settings,
    state_changes,
    throughput,
    token,
    users,
)


def routers() -> list[APIRouter]:
    """All routers of the API."""
    return [
        token.router,
        service_tokens.router,
        account.router,
        users.router,
        plans.router,
        mailbox.router,
        jobs.router,
        metrics.router,
        placement.router,
        throughput.router,
        quota.router,
        mailboxes.router,
        mailbox_actions.router,
        mailbox_settings.router,
        enrolment.router,
        reports.router,
        settings.router,
        control.router,
        fleet.router,
        state_changes.router,
        invitations.router,
        notifications.router,
    ]
