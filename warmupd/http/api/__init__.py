"""The JSON API under /api: one module a noun, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.api import mailbox_actions, mailbox_settings, mailboxes, quota, token


def routers() -> list[APIRouter]:
    """All routers of the API."""
    return [
        token.router,
        quota.router,
        mailboxes.router,
        mailbox_actions.router,
        mailbox_settings.router,
    ]
