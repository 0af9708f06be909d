"""What the IMAP sink says: as a common server does, as far as visits ask. Whoever logs in has a mailbox."""

import asyncio
import base64
import re
from collections import Counter, defaultdict
from typing import Any

from warmupd.sandbox.imap_sink_box import UIDVALIDITY, SinkBox, SinkFolder, chosen_fields

ABLE = "IMAP4rev1 SASL-IR LITERAL+ ID NAMESPACE SPECIAL-USE LIST-EXTENDED LIST-STATUS UIDPLUS MOVE AUTH=PLAIN"
PLAIN = "IMAP4rev1 UIDPLUS AUTH=PLAIN"  # a server without the extensions that save commands

_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(\((?:[^()]|\([^()]*\))*\))|([^\s()"]+(?:\[[^\]]*\][^\s]*)?)')
_FIELDS = re.compile(r"BODY\.PEEK\[HEADER\.FIELDS \(([^)]*)\)\]", re.IGNORECASE)


class Sink:
    """All mailboxes, and what was asked so far."""

    def __init__(self, *, able: bool) -> None:
        self.capabilities = ABLE if able else PLAIN
        self.boxes: defaultdict[str, SinkBox] = defaultdict(SinkBox)
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.most_connections = 0
        self.resumed = 0  # connections whose TLS session was one of before

    def answer(self, request: dict[str, Any]) -> Any:
        """To whoever started it."""
        match request:
            case {"plant": dict() as boxes}:
                for user, folders in boxes.items():
                    for folder, headers in folders.items():
                        self.boxes[user].plant(folder, [header.encode() for header in headers])
            case {"told": _}:
                told = {"asked": self.asked, "most_connections": self.most_connections, "resumed": self.resumed}
                self.asked, self.most_connections, self.resumed = Counter(), self.connections, 0
                return told
        return None


class SinkSession(asyncio.Protocol):
    """One connection. All that came in at once is answered at once."""

    transport: asyncio.Transport

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""
        self._tag = ""
        self._owes = False  # the client was asked for its credentials
        self._box = SinkBox()
        self._folder: SinkFolder | None = None
        self._answers: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of a stream
        self._sink.connections += 1
        self._sink.most_connections = max(self._sink.most_connections, self._sink.connections)
        secured = transport.get_extra_info("ssl_object")
        self._sink.resumed += bool(secured is not None and secured.session_reused)
        self.transport.write(f"* OK [CAPABILITY {self._sink.capabilities}] ready\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.connections -= 1

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            self._take(line.decode())
        self.transport.write(b"".join(self._answers))
        self._answers.clear()

    def _take(self, line: str) -> None:
        if self._owes:
            self._owes = False
            self._enter(line)
            return
        self._tag, _, rest = line.partition(" ")
        name, _, rest = rest.partition(" ")
        if name.upper() == "UID":
            verb, _, rest = rest.partition(" ")
            name = f"uid_{verb}"
        self._sink.asked[name.upper().replace("_", " ")] += 1
        verb_of = getattr(self, f"_on_{name.lower()}", None)
        if verb_of is None:
            self._end("BAD", "unknown command")
        else:
            verb_of(_arguments(rest))

    def _say(self, text: str) -> None:
        self._answers.append(f"* {text}\r\n".encode())

    def _end(self, status: str = "OK", text: str = "done") -> None:
        self._answers.append(f"{self._tag} {status} {text}\r\n".encode())

    def _enter(self, coded: str) -> None:
        user = base64.b64decode(coded).split(b"\0")[1].decode()
        self._box = self._sink.boxes[user]
        self._end("OK", f"[CAPABILITY {self._sink.capabilities}] welcome")

    # -- commands ------------------------------------------------------------------------------------------------------

    def _on_capability(self, _: list[str]) -> None:
        self._say(f"CAPABILITY {self._sink.capabilities}")
        self._end()

    def _on_authenticate(self, words: list[str]) -> None:
        if len(words) > 1:
            self._enter(words[1])
        else:
            self._owes = True
            self._answers.append(b"+ \r\n")

    def _on_login(self, words: list[str]) -> None:
        self._box = self._sink.boxes[words[0]]
        self._end("OK", f"[CAPABILITY {self._sink.capabilities}] welcome")

    def _on_id(self, _: list[str]) -> None:
        self._say('ID ("name" "sink")')
        self._end()

    def _on_noop(self, _: list[str]) -> None:
        self._end()

    def _on_namespace(self, _: list[str]) -> None:
        self._say('NAMESPACE (("" "/")) NIL NIL')
        self._end()

    def _on_list(self, words: list[str]) -> None:
        with_status = "STATUS" in "".join(words[2:])
        for name, folder in self._box.folders.items():
            self._say(f'LIST ({folder.attributes}) "/" {name}')
        if with_status:
            for name, folder in self._box.folders.items():
                self._say(f"STATUS {name} (UIDNEXT {folder.uidnext} UIDVALIDITY {UIDVALIDITY})")
        self._end()

    def _on_status(self, words: list[str]) -> None:
        folder = self._box.folders[words[0]]
        self._say(f"STATUS {words[0]} (UIDNEXT {folder.uidnext} UIDVALIDITY {UIDVALIDITY})")
        self._end()

    def _on_select(self, words: list[str], *, writable: bool = True) -> None:
        self._folder = folder = self._box.folders.get(words[0])
        if folder is None:
            self._end("NO", "[NONEXISTENT] no such folder")
            return
        flags = "\\Answered \\Flagged \\Deleted \\Seen \\Draft"
        kept = f"{flags} \\*" if writable else ""
        self._say(f"FLAGS ({flags})")
        self._say(f"OK [PERMANENTFLAGS ({kept})] kept")
        self._say(f"{len(folder.messages)} EXISTS")
        self._say("0 RECENT")
        self._say(f"OK [UIDVALIDITY {UIDVALIDITY}] valid")
        self._say(f"OK [UIDNEXT {folder.uidnext}] next")
        self._end("OK", "[READ-WRITE] open" if writable else "[READ-ONLY] open")

    def _on_examine(self, words: list[str]) -> None:
        self._on_select(words, writable=False)

    def _on_uid_search(self, words: list[str]) -> None:
        uids: list[int] = []
        if self._folder is not None and words[0] == "UID":
            uids = sorted(self._folder.among(words[1]))
        elif self._folder is not None and words[0] == "SINCE":
            uids = sorted(self._folder.messages)
        elif self._folder is not None and words[0] == "HEADER":
            wanted = words[2].encode()
            uids = [uid for uid, message in self._folder.messages.items() if wanted in message.header]
        self._say(" ".join(["SEARCH", *map(str, uids)]))
        self._end()

    def _on_uid_fetch(self, words: list[str]) -> None:
        folder = self._folder or SinkFolder()
        asked = _FIELDS.search(words[1])
        names = frozenset(asked[1].lower().encode().split()) if asked else None
        for uid in folder.among(words[0]):
            message = folder.messages[uid]
            text = f"* {folder.place(uid)} FETCH (UID {uid} FLAGS ({' '.join(sorted(message.flags))})"
            if asked and names is not None:
                block = chosen_fields(message.header, names)
                text += f" BODY[HEADER.FIELDS ({asked[1]})] {{{len(block)}}}\r\n"
                self._answers.append(text.encode() + block + b")\r\n")
            else:
                self._answers.append(text.encode() + b")\r\n")
        self._end()

    def _on_uid_store(self, words: list[str]) -> None:
        folder = self._folder or SinkFolder()
        flags = words[2].strip("()").split()
        for uid in folder.among(words[0]):
            have = folder.messages[uid].flags
            have.update(flags) if words[1].startswith("+") else have.difference_update(flags)
            if not words[1].upper().endswith(".SILENT"):
                self._say(f"{folder.place(uid)} FETCH (UID {uid} FLAGS ({' '.join(sorted(have))}))")
        self._end()

    def _on_uid_move(self, words: list[str]) -> None:
        folder, target = self._folder or SinkFolder(), self._box.folders.get(words[1])
        if target is None:
            self._end("NO", "[TRYCREATE] no such folder")
            return
        uids = sorted(folder.among(words[0]))
        places = [folder.place(uid) for uid in uids]
        news = self._box.move(folder, uids, target)
        if uids:
            self._say(f"OK [COPYUID {UIDVALIDITY} {','.join(map(str, uids))} {','.join(map(str, news))}] moved")
        for place in reversed(places):
            self._say(f"{place} EXPUNGE")
        self._end()

    def _on_uid_copy(self, words: list[str]) -> None:
        folder, target = self._folder or SinkFolder(), self._box.folders.get(words[1])
        if target is None:
            self._end("NO", "[TRYCREATE] no such folder")
            return
        uids = sorted(folder.among(words[0]))
        news = self._box.plant(words[1], [folder.messages[uid].header for uid in uids])
        self._end("OK", f"[COPYUID {UIDVALIDITY} {','.join(map(str, uids))} {','.join(map(str, news))}] copied")

    def _on_uid_expunge(self, words: list[str]) -> None:
        folder = self._folder or SinkFolder()
        for uid in sorted(folder.among(words[0]), reverse=True):
            if "\\Deleted" in folder.messages[uid].flags:
                self._say(f"{folder.place(uid)} EXPUNGE")
                del folder.messages[uid]
        self._end()

    def _on_create(self, words: list[str]) -> None:
        self._box.folders.setdefault(words[0], SinkFolder())
        self._end()

    def _on_subscribe(self, _: list[str]) -> None:
        self._end()

    def _on_logout(self, _: list[str]) -> None:
        self._say("BYE bye")
        self._end()
        self.transport.write(b"".join(self._answers))
        self._answers.clear()
        self.transport.close()


def _arguments(text: str) -> list[str]:
    """Quoted strings without their quotes, lists with their parentheses, and atoms."""
    words = []
    for quoted, listed, atom in _ARGUMENT.findall(text):
        words.append(listed or atom or re.sub(r"\\(.)", r"\1", quoted))
    return words
