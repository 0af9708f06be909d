"""What goes wrong, told to who asked: as a problem document on the API, as a page to a browser."""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from warmupd.errors import WarmupdError
from warmupd.http.problem import Problem, as_problem, problem_response
from warmupd.http.render import page
from warmupd.http.request_log import route_of

_log = structlog.get_logger()


def add_failures(app: FastAPI) -> None:
    """Whatever is raised is answered; an oddity of our own is logged, and tells nothing."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return _told(request, problem)

    @app.exception_handler(WarmupdError)
    async def on_error(request: Request, error: WarmupdError) -> Response:
        problem = as_problem(error)
        if problem.status >= 500:
            _log.warning("http.failed", route=route_of(request.scope), error=type(error).__name__, why=problem.detail)
        return _told(request, problem)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        return _told(request, Problem(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        fields = [{"field": ".".join(map(str, one["loc"])), "detail": str(one["msg"])} for one in error.errors()]
        return _told(request, Problem(422, "the request cannot be used as it is", errors=fields))

    @app.exception_handler(Exception)
    async def on_oddity(request: Request, error: Exception) -> Response:
        _log.error("http.failed", route=route_of(request.scope), error=type(error).__name__, exc_info=error)
        return _told(request, Problem(500, "something went wrong here; the log tells more"))


def _told(request: Request, problem: Problem) -> Response:
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if not wants_page:
        return problem_response(problem)
    answer = page(request, "problem.html", status=problem.status, problem=problem)
    answer.headers.update(problem.headers or {})
    return answer
