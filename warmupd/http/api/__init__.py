"""The JSON API under /api: one module a noun, put together by `routers`."""

from fastapi import APIRouter

from warmupd.http.api import enrolment, token


def routers() -> list[APIRouter]:
    """All routers of the API."""
    return [token.router, enrolment.router]
