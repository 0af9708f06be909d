"""The API answers as its description says, whatever it is asked: schemathesis asks."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.belongings import settle_in
from tests.http.conftest import ADMIN, OWNER, House, Worker, known_token
from warmupd.http.server import HttpServer

CONFORMANCE = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
REFUSALS = ("negative_data_rejection", "unsupported_method")
# Of each operation: as many as every change can wait for. `make described` asks for 20, and nothing runs it by itself.
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "2")


@pytest.fixture
async def served(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The made-up hosts of made-up mailboxes are looked up nowhere."""
    whole = socket.getaddrinfo

    def on_this_machine(host: str | None, *rest: Any, **more: Any) -> Any:
        if host not in {None, "localhost", "127.0.0.1", "::1"}:
            raise socket.gaierror(socket.EAI_NONAME, "nobody has that name")
        return whole(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", on_this_machine)
    async with HttpServer(Worker(), host="127.0.0.1", port=0, site=house.site) as server:
        yield server.url


@pytest.mark.long
async def test_admin_finds_no_answer_that_is_not_described_and_nothing_odd_taken(
    house: House, served: str, tmp_path: Path
) -> None:
    await found_nothing(house, served, tmp_path, ADMIN, checks=(*CONFORMANCE, *REFUSALS), phases="coverage,fuzzing")


async def test_owner_finds_no_answer_about_their_own_things_that_is_not_described(
    house: House, served: str, tmp_path: Path
) -> None:
    belongings = await settle_in(house)
    names = "".join(f'"path.{name}" = "{value}"\n' for name, value in belongings.ids.items())
    (tmp_path / "schemathesis.toml").write_text(f"[parameters]\n{names}")
    await found_nothing(house, served, tmp_path, OWNER, checks=CONFORMANCE, phases="examples,fuzzing")


async def found_nothing(
    house: House, served: str, folder: Path, email: str, *, checks: tuple[str, ...], phases: str
) -> None:
    token = await known_token(house, email)
    asking = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("st"), "run", f"{served}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(checks)),
        *("--max-examples", EXAMPLES, "--phases", phases, "--seed", "1", "--no-shrink", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "20"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    told, _ = await asking.communicate()
    assert asking.returncode == 0, told.decode()[-8000:]
