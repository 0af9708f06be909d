"""The API answers as its description says, whatever it is asked: schemathesis asks."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.conftest import ADMIN, OWNER, House, Worker, known_token
from warmupd.http.server import HttpServer

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)
EXAMPLES = os.environ.get("WARMUP_TEST_EXAMPLES", "5")  # of each operation; a search that takes its time asks for more
PHASES = os.environ.get("WARMUP_TEST_PHASES", "examples,coverage,fuzzing")


@pytest.fixture
async def served(house: House) -> AsyncIterator[str]:
    async with HttpServer(Worker(), host="127.0.0.1", port=0, site=house.site) as server:
        yield server.url


@pytest.mark.parametrize("email", [ADMIN, OWNER])
async def test_no_request_finds_an_answer_that_is_not_described(
    house: House, served: str, tmp_path: Path, email: str
) -> None:
    token = await known_token(house, email)
    asking = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("st"), "run", f"{served}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
        *("--max-examples", EXAMPLES, "--phases", PHASES, "--seed", "1", "--no-shrink", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "20"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    told, _ = await asking.communicate()
    assert asking.returncode == 0, told.decode()[-8000:]
