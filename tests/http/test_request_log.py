"""Each request has an id, its client's or one of ours, which its lines and its answer bear, and a line of its own."""

import asyncio
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI, HTTPException

from warmupd.http.failures import add_failures
from warmupd.http.request_log import HEADER, Application

SECRET = "the-token-in-the-path"
Log = list[Any]


@pytest.fixture
def app() -> FastAPI:
    app = Application()
    add_failures(app)

    @app.get("/boxes/{name}")
    async def box(name: str) -> dict[str, str]:
        structlog.get_logger().info("test.inside")
        await asyncio.create_task(_later())
        return {"name": name}

    @app.get("/odd/{name}")
    async def odd(name: str) -> None:
        raise RuntimeError("nobody expected this")

    @app.get("/no/{name}")
    async def no(name: str) -> None:
        raise HTTPException(403)

    @app.get("/readyz")
    async def readyz() -> None:
        pass

    return app


async def _later() -> None:
    structlog.get_logger().info("test.later")


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site.test")


@pytest.fixture
def log() -> Any:
    told: Log = []

    def keep(_: Any, level: str, event: Any) -> str:
        told.append({"level": level, **event})
        return ""

    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    yield told
    structlog.configure(**before)


async def test_id_of_the_client_is_borne_by_all_lines_and_the_answer(app: FastAPI, log: Log) -> None:
    async with client(app) as asks:
        answer = await asks.get(f"/boxes/{SECRET}?key={SECRET}", headers={HEADER: "trace-0123.ab_c"})
    assert answer.headers[HEADER] == "trace-0123.ab_c"
    assert [(line["event"], line["request"]) for line in log] == [
        (event, "trace-0123.ab_c") for event in ("test.inside", "test.later", "http.answered")
    ]
    line = log[-1]
    assert (line["method"], line["route"], line["status"], line["level"]) == ("GET", "/boxes/{name}", 200, "info")
    assert 0 <= line["seconds"] < 5
    assert SECRET not in str(log)
    structlog.get_logger().info("test.after")
    assert "request" not in log[-1]


@pytest.mark.parametrize(
    "bad", ["", "short", "a" * 65, "anna@north.test", "two words", 'x"}{"y":1234', "-leading-dash"]
)
async def test_id_that_is_not_well_formed_is_replaced(app: FastAPI, log: Log, bad: str) -> None:
    async with client(app) as asks:
        first, second = [(await asks.get("/readyz", headers={HEADER: bad})).headers[HEADER] for _ in range(2)]
    assert len({first, second, bad}) == 3
    assert [line["request"] for line in log] == [first, second]


async def test_failure_that_nobody_expected_bears_the_id_and_is_told_once(app: FastAPI, log: Log) -> None:
    async with client(app) as asks:
        answer = await asks.get(f"/odd/{SECRET}")
    assert answer.status_code == 500
    assert [(line["event"], line["route"]) for line in log] == [
        ("http.failed", "/odd/{name}"),
        ("http.answered", "/odd/{name}"),
    ]
    assert {line["request"] for line in log} == {answer.headers[HEADER]}


async def test_refusals_unknown_paths_and_probes_have_their_lines(app: FastAPI, log: Log) -> None:
    async with client(app) as asks:
        for path in (f"/no/{SECRET}", f"/{SECRET}", "/readyz"):
            await asks.get(path)
    assert [(line["route"], line["status"], line["level"]) for line in log] == [
        ("/no/{name}", 403, "info"),
        ("unknown", 404, "info"),
        ("/readyz", 200, "debug"),
    ]
