"""The HTTP face of a worker: who may see what, and where it listens."""

import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from warmupd.errors import DatabaseUnavailable, WarmupdError
from warmupd.http.server import HttpServer, address_of, create_app, listen

TOKEN = "a scrape token"


class Worker:
    """What the server asks of a worker, as the test wants it."""

    trusted = True
    slots = 64
    standing_by = ""
    away = False
    told: tuple[tuple[str, str], ...] = ()  # route and status of each answer

    async def check_database(self) -> None:
        if self.away:
            raise DatabaseUnavailable("Postgres cannot be reached")

    def render_metrics(self) -> bytes:
        return b"warmup_queue_depth 0.0\n"

    def answered(self, route: str, status: str) -> None:
        self.told = (*self.told, (route, status))


@pytest.fixture
def worker() -> Worker:
    return Worker()


def asking(worker: Worker, *, client: str = "127.0.0.1", token: str = TOKEN) -> httpx.AsyncClient:
    """A client that seems to come from the address `client`."""
    transport = httpx.ASGITransport(create_app(worker, scrape_token=token), client=(client, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://worker")


@pytest.fixture
async def here(worker: Worker) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(worker) as client:
        yield client


async def test_healthz_answers_while_the_database_is_away(worker: Worker, here: httpx.AsyncClient) -> None:
    worker.away = True
    assert (await here.get("/healthz")).status_code == 200


async def test_worker_with_slots_and_a_database_is_ready(here: httpx.AsyncClient) -> None:
    answer = await here.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "reasons": []}


async def test_readyz_says_why_not(worker: Worker, here: httpx.AsyncClient) -> None:
    worker.away, worker.trusted = True, False
    answer = await here.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        "Postgres cannot be reached",
        "the lease on its slots could not be renewed in time",
    ]


async def test_worker_without_a_slot_is_not_ready(worker: Worker, here: httpx.AsyncClient) -> None:
    worker.slots, worker.standing_by = 0, "slot 3 is held by another worker"
    answer = await here.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["it stands by: slot 3 is held by another worker"]


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_metrics_are_open_on_this_machine(worker: Worker, client: str) -> None:
    async with asking(worker, client=client, token="") as local:
        answer = await local.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "warmup_queue_depth" in answer.text


async def test_answers_are_counted_by_route_and_class_of_status(worker: Worker, here: httpx.AsyncClient) -> None:
    worker.trusted = False
    for path in ("/healthz", "/readyz", "/mailboxes/anna@example.com", "/wp-login.php?user=anna"):
        await here.get(path)
    assert worker.told == (("/healthz", "2xx"), ("/readyz", "5xx"), ("unknown", "4xx"), ("unknown", "4xx"))


async def test_metrics_from_elsewhere_need_the_token(worker: Worker) -> None:
    async with asking(worker, client="192.0.2.1") as remote:
        without = await remote.get("/metrics")
        wrong = await remote.get("/metrics", headers={"Authorization": "Bearer something else"})
        right = await remote.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (without.status_code, wrong.status_code, right.status_code) == (401, 401, 200)
    assert without.headers["content-type"] == "application/problem+json"
    assert without.headers["www-authenticate"].startswith("Bearer")


async def test_metrics_stay_shut_elsewhere_when_there_is_no_token(worker: Worker) -> None:
    async with asking(worker, client="192.0.2.1", token="") as remote:
        assert (await remote.get("/metrics", headers={"Authorization": "Bearer "})).status_code == 401


async def test_proxy_on_this_machine_does_not_open_the_metrics(worker: Worker) -> None:
    async with asking(worker, client="127.0.0.1") as proxy:
        answer = await proxy.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    assert answer.status_code == 401


async def test_server_is_there_while_entered_and_gone_afterwards(worker: Worker) -> None:
    async with HttpServer(worker, host="127.0.0.1", port=0) as server, httpx.AsyncClient() as client:
        assert (await client.get(f"{server.url}/healthz")).json() == {"status": "ok"}
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{server.url}/healthz")


def test_auto_worker_takes_the_next_free_port(free_port: int) -> None:
    with listen("127.0.0.1", free_port) as first, listen("127.0.0.1", free_port) as second:
        assert address_of(first) == f"127.0.0.1:{free_port}"
        assert second.getsockname()[1] > free_port


def test_numbered_worker_has_its_own_port_or_none(free_port: int) -> None:
    with listen("127.0.0.1", free_port - 3, worker_id=3) as taken:
        assert taken.getsockname()[1] == free_port
        with pytest.raises(WarmupdError, match=rf"127\.0\.0\.1:{free_port}: Address already in use"):
            listen("127.0.0.1", free_port - 3, worker_id=3)


def test_address_of_all_interfaces_names_this_machine() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert address_of(listener) == f"{socket.gethostname()}:{listener.getsockname()[1]}"
