"""The owner's own mail program: imaplib, which sees and does what any client can."""

import imaplib
import re
import ssl
from contextlib import suppress

from warmupd.mail.imap_syntax import from_modified_utf7, to_modified_utf7
from warmupd.sandbox.real.box import Box

Message = tuple[int, frozenset[str], bytes]  # UID, flags but \Recent, octets


class Owner:
    """Logged in until `leave`."""

    def __init__(self, port: int, context: ssl.SSLContext, box: Box) -> None:
        self._client = imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
        password = box.password.replace("\\", "\\\\").replace('"', '\\"')
        self._client._simple_command("LOGIN", box.address, f'"{password}"')  # `login` does not escape
        self._client.state = "AUTH"

    def leave(self) -> None:
        with suppress(imaplib.IMAP4.error, OSError):
            self._client.logout()

    def folders(self) -> list[str]:
        """As people read them."""
        return sorted(from_modified_utf7(name) for name in self._names())

    def contents(self) -> dict[str, tuple[int, list[Message]]]:
        """Each folder's UIDVALIDITY and messages."""
        return {from_modified_utf7(name): self._folder(name) for name in self._names()}

    def messages(self, folder: str) -> list[Message]:
        return self.contents()[folder][1] if folder in self.folders() else []

    def put(self, folder: str, content: bytes, flags: str = "") -> None:
        wire = to_modified_utf7(folder).decode()
        self._done(self._client.append(f'"{wire}"', flags or None, None, content))

    def create(self, folder: str) -> None:
        self._done(self._client.create(f'"{folder}"'))

    def expunge(self, folder: str, uid: int) -> None:
        self._done(self._client.select(f'"{folder}"'))
        self._done(self._client.uid("STORE", str(uid), "+FLAGS", "(\\Deleted)"))
        self._done(self._client.expunge())

    def rename(self, old: str, new: str) -> None:
        self._done(self._client.rename(f'"{old}"', f'"{new}"'))

    def _names(self) -> list[bytes]:
        lines = [line for line in self._client.list()[1] if isinstance(line, bytes)]
        return [_name(line) for line in lines if b"\\Noselect" not in line]

    def _folder(self, name: bytes) -> tuple[int, list[Message]]:
        wire = b'"' + name + b'"'
        self._done(self._client.select(wire.decode(), readonly=True))
        validity = self._client.response("UIDVALIDITY")[1][0]
        assert isinstance(validity, bytes)
        found = []
        _, answer = self._client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
        for part in answer:
            if isinstance(part, tuple):
                uid = re.search(rb"UID (\d+)", part[0])
                flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])
                assert uid is not None
                assert flags is not None
                found.append((int(uid[1]), frozenset(flags[1].decode().split()) - {"\\Recent"}, part[1]))
        return int(validity), found

    @staticmethod
    def _done(answer: tuple[str, object]) -> None:
        assert answer[0] == "OK", answer


def _name(line: bytes) -> bytes:
    """The last word of `(attributes) "/" name`."""
    match = re.match(rb'\([^)]*\) (?:"."|NIL) "?(.*?)"?$', line)
    assert match is not None
    return match[1]
