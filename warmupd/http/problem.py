"""Errors as `application/problem+json` (RFC 9457): one form for whatever goes wrong, with what to do about it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from warmupd.errors import Conflict, DatabaseUnavailable, NotAllowed, NotFound, UsageError, WarmupdError
from warmupd.http.wording import for_api

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # after which a client may ask again when the database is away


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    detail: str


class ProblemDetail(BaseModel):
    """RFC 9457, with what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""
    errors: list[FieldError] = []


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an API route may answer beside its result, for its `responses`.

    Those that every route has (400, 401, 403, 413, 422, 429, 503) are added in `http/openapi.py`.
    """
    return {status: described(status) for status in statuses}


def described(status: int) -> dict[str, Any]:
    """One such answer, as OpenAPI describes it."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


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
        "detail": for_api(problem.detail),
    }
    if problem.remedy:
        told["remedy"] = for_api(problem.remedy)
    if problem.errors:
        told["errors"] = list(problem.errors)
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    return JSONResponse(told, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def as_problem(error: WarmupdError) -> Problem:
    """What an error of the house is to an HTTP client."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Problem(status, Exception.__str__(error), remedy=error.remedy, headers=headers)


_STATUSES: Sequence[tuple[type[WarmupdError], int]] = (
    (DatabaseUnavailable, 503),
    (NotAllowed, 403),
    (NotFound, 404),
    (Conflict, 409),
    (UsageError, 422),
)
