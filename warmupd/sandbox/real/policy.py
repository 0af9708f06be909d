"""Postfix's policy service: hears of every MAIL, RCPT and final dot at its moment, and answers what it is told to."""

import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from warmupd.clock import SystemClock

Answer = Callable[["Request"], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What Postfix asked, and when it did (CLOCK_BOOTTIME seconds)."""

    at: float
    attributes: Mapping[str, str]  # as in Postfix's SMTPD_POLICY_README
    answer: str = "DUNNO"

    @property
    def state(self) -> str:
        """MAIL, RCPT or END-OF-MESSAGE."""
        return self.attributes.get("protocol_state", "")

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name, "")


class PolicyService:
    """Listens on a free port of 127.0.0.1 from the beginning, in threads of its own, until `close`.

    `replies` maps (state, recipient) to what is answered there, such as `451 4.7.1 Greylisted`; `decide` is asked for
    the rest. `requests` are in the order in which they came.
    """

    def __init__(self, decide: Answer | None = None) -> None:
        self.requests: list[Request] = []
        self.replies: dict[tuple[str, str], str] = {}
        self._decide = decide
        self._clock = SystemClock()
        self._server = _Server(("127.0.0.1", 0), _Conversation)
        self._server.service = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="policy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; conversations end with Postfix."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, attributes: Mapping[str, str]) -> str:
        """Note a request, and decide it."""
        request = Request(at=self._clock.boottime(), attributes=attributes)
        told = self.replies.get((request.state, request["recipient"]))
        answer = told or (self._decide(request) if self._decide else "DUNNO")
        self.requests.append(Request(at=request.at, attributes=attributes, answer=answer))
        return answer


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    service: PolicyService


class _Conversation(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        attributes: dict[str, str] = {}
        for line in self.rfile:
            name, _, value = line.decode(errors="replace").rstrip("\n").partition("=")
            if name:
                attributes[name] = value
            else:
                self.wfile.write(f"action={self.server.service.answer(attributes)}\n\n".encode())
                attributes = {}
