"""The HTTP server of a worker: served in the daemon's own loop, on a socket that listens before anybody is told."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Self
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from warmupd import __version__
from warmupd.daemon.fleet_demand import FleetDemand
from warmupd.daemon.import_run import Imports
from warmupd.daemon.ranking import Rankings
from warmupd.errors import WarmupdError
from warmupd.http import api, pages
from warmupd.http.failures import add_failures
from warmupd.http.guard import Guard
from warmupd.http.health import Health, add_health, add_metrics
from warmupd.http.login import Logins
from warmupd.http.openapi import add_description
from warmupd.http.rates import Rates
from warmupd.http.render import Assets
from warmupd.http.request_log import Application
from warmupd.http.session import SignInFirst
from warmupd.http.site import Site
from warmupd.http.traffic import Traffic
from warmupd.http.trials import Trials

MOST_PORTS = 100  # tried by an "auto" worker, from http.listen on
STOP_SECONDS = 5  # that requests under way may take at the end


def create_app(health: Health, *, site: Site | None = None, scrape_token: str = "") -> FastAPI:
    """The application: probes and metrics, and with a `site` the API and the dashboard.

    Prometheus shows `auth.scrape_token` of the site, or `scrape_token`, from anywhere but loopback; "" allows loopback
    only.
    """
    app = Application(title="warmupd", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    add_health(app, health)
    add_metrics(app, health, scrape_token=lambda: _scrape_token(app) or scrape_token)
    add_failures(app)
    app.add_middleware(Traffic, count=health.answered)
    if site is not None:
        add_site(app, site)
    return app


def add_site(app: FastAPI, site: Site) -> None:
    """The API, its description, and the dashboard."""
    begin(app, site)
    app.openapi_url = "/openapi.json"
    app.setup()
    for router in (*api.routers(), *pages.routers()):
        app.include_router(router)
    add_description(app)
    app.mount("/static", Assets(), name="static")
    app.add_middleware(Guard)

    @app.exception_handler(SignInFirst)
    async def on_stranger(_: Request, first: SignInFirst) -> Response:
        return RedirectResponse(f"/sign-in?then={quote(first.then)}", status_code=303)


def begin(app: FastAPI, site: Site) -> None:
    """Answer from this site, and remember nothing of one before."""
    app.state.site = site
    app.state.logins, app.state.rates = Logins(), Rates()
    app.state.trials = Trials()
    app.state.imports = Imports(site.db, site.clock)
    app.state.fleet_demand = FleetDemand()
    app.state.rankings = Rankings(site.db, site.clock)


def _scrape_token(app: FastAPI) -> str:
    site: Site | None = getattr(app.state, "site", None)
    return site.config.auth.scrape_token.get_secret_value() if site else ""


def listen(host: str, port: int, *, worker_id: int | None = None) -> socket.socket:
    """A listening socket: worker N on `port` + N, an "auto" one (None) on the first free port from there, 0 on any.

    It listens at once, so that of two processes that start together only one gets the port. Raises WarmupdError.
    """
    first = port + (worker_id or 0) if port else 0
    last = first if worker_id is not None or not port else min(first + MOST_PORTS - 1, 65535)
    for candidate in range(first, last + 1):
        try:
            return _bound(host, candidate)
        except OSError as error:
            reason = error.strerror or str(error)
    where = f"{host}:{first}" if first == last else f"{host}:{first} to {last}"
    raise WarmupdError(
        f"cannot listen on {where}: {reason}",
        remedy="set http.listen to another address, or stop what listens there",
    )


def address_of(listener: socket.socket) -> str:
    """`host:port` as others reach it; for a socket on all addresses the name of this machine."""
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HttpServer:
    """Serves a worker's HTTP face while it is entered; at the end requests under way may finish.

    `worker_id` and `port` as `listen` takes them. `address` and `url` are there at once, the socket listens already;
    raises WarmupdError when it cannot.
    """

    def __init__(
        self,
        health: Health,
        *,
        host: str,
        port: int,
        worker_id: int | None = None,
        site: Site | None = None,
        scrape_token: str = "",
    ) -> None:
        self._listener = listen(host, port, worker_id=worker_id)
        self.address = address_of(self._listener)
        self._app = create_app(health, site=site, scrape_token=scrape_token)
        self._server = _Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self.serving: asyncio.Task[None]  # ends early only when something is wrong

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def __aenter__(self) -> Self:
        self.serving = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="http")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await asyncio.gather(self.serving, return_exceptions=True)
        self._listener.close()
        imports: Imports | None = getattr(self._app.state, "imports", None)
        if imports is not None:
            await imports.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's business."""
        yield


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
