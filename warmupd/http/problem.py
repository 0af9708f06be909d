"""Errors as `application/problem+json` (RFC 9457): one form for whatever goes wrong, with what to do about it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from warmupd.errors import Conflict, DatabaseUnavailable, NotFound, UsageError, WarmupdError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # after which a client may ask again when the database is away

_log = structlog.get_logger()


class Problem(Exception):
    """An answer that says what went wrong. `errors` names single fields; `headers` go along."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        remedy: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.remedy = remedy
        self.errors = errors
        self.headers = headers


def problem_response(problem: Problem) -> JSONResponse:
    """The answer."""
    told: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.remedy:
        told["remedy"] = problem.remedy
    if problem.errors:
        told["errors"] = list(problem.errors)
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    return JSONResponse(told, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def as_problem(error: WarmupdError) -> Problem:
    """What an error of the house is to an HTTP client."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Problem(status, Exception.__str__(error), remedy=error.remedy, headers=headers)


def add_problems(app: FastAPI) -> None:
    """Whatever is raised is answered as a problem; an oddity of our own is logged, and tells nothing."""

    @app.exception_handler(Problem)
    async def on_problem(_: Request, problem: Problem) -> JSONResponse:
        return problem_response(problem)

    @app.exception_handler(WarmupdError)
    async def on_error(_: Request, error: WarmupdError) -> JSONResponse:
        return problem_response(as_problem(error))

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        return problem_response(Problem(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = [{"field": ".".join(map(str, one["loc"])), "detail": str(one["msg"])} for one in error.errors()]
        return problem_response(Problem(422, "the request cannot be used as it is", errors=fields))

    @app.exception_handler(Exception)
    async def on_oddity(request: Request, error: Exception) -> JSONResponse:
        _log.error("http.failed", path=request.url.path, error=type(error).__name__, exc_info=error)
        return problem_response(Problem(500, "something went wrong here; the log tells more"))


_STATUSES: Sequence[tuple[type[WarmupdError], int]] = (
    (DatabaseUnavailable, 503),
    (NotFound, 404),
    (Conflict, 409),
    (UsageError, 422),
)
