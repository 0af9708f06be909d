"""Whether the worker lives and may be relied on, and its metrics: /healthz, /readyz and /metrics."""

import asyncio
import hmac
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from warmupd.daemon.app import Worker
from warmupd.errors import DatabaseUnavailable, WarmupdError
from warmupd.store.database import Database
from warmupd.store.migrate import check

PATIENCE = 1.0  # seconds that the database may take to answer before this worker does not count as ready
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus text format
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # who speaks for others does not count as loopback


class Health(Protocol):
    """What is asked of a worker."""

    @property
    def trusted(self) -> bool:
        """Whether its leases may be relied on."""
        ...

    @property
    def slots(self) -> int:
        """How many slots it holds, trusted or not."""
        ...

    @property
    def standing_by(self) -> str:
        """Why it holds none, as far as it is known."""
        ...

    async def check_database(self) -> None:
        """Raise WarmupdError unless the database answers, its schema is this program's, and no part waits for it."""
        ...

    def render_metrics(self) -> bytes:
        """The Prometheus exposition text."""
        ...

    def answered(self, route: str, status: str) -> None:
        """A request to this route was answered with a status of this class, such as "2xx"."""
        ...


class WorkerHealth:
    """A worker and its database, as `Health` asks of them."""

    def __init__(self, worker: Worker, db: Database) -> None:
        self._worker = worker
        self._db = db

    @property
    def trusted(self) -> bool:
        return self._worker.leases.trusted

    @property
    def slots(self) -> int:
        return len(self._worker.leases.held)

    @property
    def standing_by(self) -> str:
        return self._worker.leases.standing_by

    async def check_database(self) -> None:
        (await check(self._db)).demand()
        for why in self._worker.events.waits.values():  # it may answer and refuse to write
            raise DatabaseUnavailable(why)

    def render_metrics(self) -> bytes:
        return self._worker.metrics.render()

    def answered(self, route: str, status: str) -> None:
        self._worker.metrics.http_requests.labels(route=route, status=status).inc()


def health_of(request: Request) -> Health:
    """The worker that answers this request."""
    health: Health = request.app.state.health
    return health


def may_scrape(request: Request) -> bool:
    """Whether metrics are shown without more: on loopback, or with `auth.scrape_token` as bearer."""
    return _is_local(request) or _shows(request, request.app.state.scrape_token())


def add_health(app: FastAPI, health: Health) -> None:
    """`/healthz`: the loop turns. `/readyz`: sends can be reserved, or 503 with the reasons why not."""

    @app.get("/healthz", tags=["probes"], summary="Whether the loop turns")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        tags=["probes"],
        summary="Whether sends can be reserved",
        responses={503: {"description": "Not ready"}},
    )
    async def readyz() -> JSONResponse:
        reasons = await _reasons(health)
        return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)


def add_metrics(app: FastAPI, health: Health, *, scrape_token: Callable[[], str]) -> None:
    """`/metrics`: open on loopback, elsewhere with what `scrape_token` says by then as bearer."""
    app.state.health, app.state.scrape_token = health, scrape_token

    @app.get(
        "/metrics",
        tags=["probes"],
        summary="Prometheus metrics of this worker",
        response_class=PlainTextResponse,
        responses={401: {"description": "Off loopback without auth.scrape_token"}},
    )
    async def metrics(request: Request) -> Response:
        if not may_scrape(request):
            return _refusal(scrape_token())
        return Response(health.render_metrics(), media_type=EXPOSITION)


async def _reasons(health: Health) -> list[str]:
    reasons = []
    try:
        async with asyncio.timeout(PATIENCE):
            await health.check_database()
    except TimeoutError:
        reasons.append(f"the database did not answer within {PATIENCE:g} s")
    except WarmupdError as error:
        reasons.append(Exception.__str__(error))
    if not health.slots:
        why = health.standing_by
        reasons.append(f"it stands by: {why}" if why else "no slot is held: it has just started, or is about to end")
    elif not health.trusted:
        reasons.append("the lease on its slots could not be renewed in time")
    return reasons


def _is_local(request: Request) -> bool:
    """Whether the request comes from this machine, and not through a proxy on it."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _shows(request: Request, token: str) -> bool:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def _refusal(token: str) -> JSONResponse:
    """RFC 9457, RFC 6750."""
    detail = (
        "show auth.scrape_token as bearer token" if token else "only from this machine, unless auth.scrape_token is set"
    )
    problem = {"title": "Unauthorized", "status": 401, "detail": detail}
    headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
    return JSONResponse(problem, status_code=401, headers=headers, media_type="application/problem+json")
