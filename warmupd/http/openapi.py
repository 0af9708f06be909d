"""The description of the API (OpenAPI), and the page that shows it: all of it from this machine."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles

from warmupd.http.problem import ProblemDetail, described
from warmupd.http.render import page

TEMPLATE = "#/components/schemas/{model}"
ABOUT = """The API of a warmupd installation: everything that the dashboard shows and does.

Log in with `POST /api/auth/token`, or make a service token, and send it as `Authorization: Bearer ...`. You see what
is yours; an admin sees everything. Lists come in pages: hand `next_cursor` back as `cursor`. What goes wrong is
answered as `application/problem+json` (RFC 9457), with a remedy where there is one. Times are UTC.
"""


def add_description(app: FastAPI) -> None:
    """`/openapi.json` describes the API, and `/docs` shows it."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI documents this way of extending it
    app.mount("/docs/swagger", StaticFiles(packages=[("fastapi_swagger", "resources")]), name="swagger")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return page(request, "docs.html")


def _described(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
    models = schema["components"]["schemas"]
    own = ProblemDetail.model_json_schema(ref_template=TEMPLATE)
    models.update(own.pop("$defs", {}))
    models["ProblemDetail"] = own
    for path, methods in schema["paths"].items():
        for operation in methods.values() if path.startswith("/api/") else ():
            _add_problems(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        models.pop(unused, None)
    return schema


def _add_problems(operation: dict[str, Any]) -> None:
    """What every route may answer; what FastAPI says of requests that do not fit is not what we answer."""
    answers = operation["responses"]
    answers.pop("422", None)
    for status in (400, 401, 403, 413, 422, 429, 503):
        answers.setdefault(str(status), described(status))
