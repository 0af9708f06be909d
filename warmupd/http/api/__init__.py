"""The JSON API under /api: one module a noun, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.api import account, jobs, mailbox, notifications, plans, service_tokens, token, users


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
        notifications.router,
    ]
