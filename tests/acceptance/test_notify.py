"""`warmupd notify test`: whether notices arrive, and where they do not, why."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  a fixture

pytestmark = pytest.mark.acceptance


class Hook(BaseHTTPRequestHandler):
    """Takes what is posted."""

    came: list[bytes]

    def do_POST(self) -> None:
        self.came.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing of it is printed."""


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    Hook.came = []
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def post_to(console: Console, port: int) -> None:
    with console.file.open("a") as file:
        file.write(f'[notifications]\nwebhook_url = "http://127.0.0.1:{port}/hush"\n')


def test_operators_without_a_way_to_be_told_are_told_what_to_set(console: Console) -> None:
    told = console.refused("notify", "test")
    assert told.startswith("there is nowhere to send a test to; set notifications.operator_emails")
    assert console.refused("notify", "test", "--user", OWNER).endswith("confirm your address, or set a webhook")


def test_a_test_arrives(console: Console, hook: HTTPServer) -> None:
    post_to(console, hook.server_port)
    assert console.did("notify", "test") == "webhook: delivered\n"
    assert json.loads(Hook.came[0])["type"] == "test"


def test_a_test_that_does_not_arrive_ends_1_and_says_why(console: Console, free_port: int) -> None:
    post_to(console, free_port)
    done = console("notify", "test", "--json")
    assert done.returncode == 1
    (told,) = json.loads(done.stdout)
    assert (told["state"], told["error"]) == ("failed", "it cannot be reached: no connection")
    assert "hush" not in done.stdout + done.stderr
