"""A line a request, and an id that all its lines bear: of the client's making or of ours, told in the answer."""

import asyncio
import re
from uuid import uuid4

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds: news only when something is wrong

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")  # fits a log line and a header, and is no address

_log = structlog.get_logger()


class Application(FastAPI):
    """An application that logs its requests, those that end in an error included."""

    def build_middleware_stack(self) -> ASGIApp:
        return _RequestLog(super().build_middleware_stack())


class _RequestLog:
    """Around everything else, the answers to what nobody expected too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)
        now = asyncio.get_running_loop().time
        began, status = now(), 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self._app(scope, receive, told)
            except Exception:
                if not status:
                    raise  # nobody has answered; else it is logged, and the answer says that something went wrong
            finally:
                _tell(scope, status, now() - began)


def route_of(scope: Scope) -> str:
    """The route's pattern: a path itself may hold what no log should."""
    route = getattr(scope.get("route"), "path", "")
    if not route and "path_params" in scope and scope.get("root_path"):
        route = f"{scope['root_path']}/..."  # of what is mounted
    return route or "unknown"


def _id_of(scope: Scope) -> str:
    said = Headers(scope=scope).get(HEADER, "")
    return said if _WELL_FORMED.fullmatch(said) else uuid4().hex


def _tell(scope: Scope, status: int, seconds: float) -> None:
    """Status 0: the client went away before there was an answer."""
    method, route, seconds = scope["method"], route_of(scope), round(seconds, 4)
    if route in PROBES and 200 <= status < 300:
        _log.debug("http.answered", method=method, route=route, status=status, seconds=seconds)
    else:
        _log.info("http.answered", method=method, route=route, status=status, seconds=seconds)
