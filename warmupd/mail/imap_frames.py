"""Cuts what an IMAP server sends into responses, within bounds."""

import re
from collections.abc import Iterator

from warmupd.mail.imap_syntax import Parts, kind

MAX_LINE = 1 << 20  # a SEARCH answer with 100,000 UIDs has 700 kB
MAX_LITERAL = 16 << 20  # larger than any header that a mail server accepts
KEPT_LITERAL = 16 << 10  # ours are within; the rest of somebody's monstrous header is read past
MAX_KEPT = 8 << 20  # of all that answers one command

_LITERAL = re.compile(rb"\{(\d{1,10})\}$")


class WireLost(Exception):
    """The connection cannot be used any more. The text may be the server's: `said` then is True."""

    def __init__(self, text: str, *, said: bool = False) -> None:
        super().__init__(text)
        self.said = said


class Framer:
    """Cuts what comes in into responses: a line, with the literals in it and the text behind them."""

    def __init__(self) -> None:
        self.kept = 0  # octets kept since somebody last set this to 0
        self._buffer = bytearray()
        self._searched = 0
        self._parts: list[bytes | bytearray] = []
        self._literal = bytearray()  # the last of `_parts`, while something is missing of it
        self._missing = 0  # octets

    @property
    def is_amid(self) -> bool:
        """Whether something was begun and not ended."""
        return bool(self._buffer or self._parts)

    def feed(self, data: bytes) -> Iterator[Parts]:
        self._buffer += data
        while self._take_literal():
            line = self._cut_line()
            if line is None:
                return
            size = None
            if line.endswith(b"}") and (self._parts or _may_hold_literals(line)):
                size = _LITERAL.search(line)
            if size is not None:
                self._begin_literal(line[: size.start()], int(size[1]))
                continue
            parts, self._parts = [*self._parts, line], []
            yield parts

    def _cut_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", self._searched)
        if (len(self._buffer) if end < 0 else end) > MAX_LINE:
            raise WireLost("the server sends a line without end")
        if end < 0:
            self._searched = max(0, len(self._buffer) - 1)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._searched = 0
        self._keep(len(line))
        return line

    def _begin_literal(self, text: bytes, size: int) -> None:
        if size > MAX_LITERAL:
            raise WireLost("the server sends too much at once")
        self._literal, self._missing = bytearray(), size
        self._parts += [text, self._literal]

    def _take_literal(self) -> bool:
        """Whether the literal that was begun, if any, is complete."""
        if self._missing:
            taken = min(self._missing, len(self._buffer))
            keep = min(taken, KEPT_LITERAL - len(self._literal))
            self._literal += self._buffer[:keep]
            self._keep(keep)
            del self._buffer[:taken]
            self._missing -= taken
        return not self._missing

    def _keep(self, octets: int) -> None:
        self.kept += octets + 64  # what an object costs beside its octets
        if self.kept > MAX_KEPT:
            raise WireLost("the server answers without end")


def _may_hold_literals(line: bytes) -> bool:
    """Not so status lines, tagged ones and `+`: their text is for people, braces and all."""
    return line.startswith(b"* ") and kind([line[2:]]) not in {"OK", "NO", "BAD", "BYE", "PREAUTH"}
