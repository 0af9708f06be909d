"""How IMAP (RFC 3501) writes things: quoting, modified UTF-7, UID sets, and reading what servers answer."""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from enum import Enum
from typing import TypeAlias

Parts: TypeAlias = Sequence[bytes | bytearray]  # one response: text as bytes, literals as bytearray, in their order
Value: TypeAlias = "bytes | list[Value] | None"  # atom, string or literal; parenthesised list; NIL

DEEPEST_NESTING = 32

_TOKEN = re.compile(rb'[ \t]*(?:([()])|"((?:[^"\\]|\\.)*)"|((?:[^\s()"\[\]]|\[[^\]]*\])+))', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_CODE = re.compile(rb"\[([A-Za-z0-9-]+)(?: ([^\]]*))?\]")
_STATUS = frozenset({"OK", "NO", "BAD", "BYE", "PREAUTH"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_UNFOLD = re.compile(rb"\r?\n(?=[ \t])")
_ADDRESS = re.compile(r"[^\s<>,;:\"]+@[^\s<>,;:\"]+")


class SyntaxTrouble(Exception):
    """The server's answer is not IMAP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """How a server answered one command."""

    status: str  # OK, NO, BAD; of a greeting also PREAUTH
    text: str  # what follows it, response code included
    codes: dict[str, str]  # response codes, tagged and untagged: name in upper case -> argument
    untagged: Sequence[Parts]  # each without its asterisk

    def of(self, what: str) -> Iterator[list[Value]]:
        """The untagged responses of one kind as nested lists; one that cannot be read does not hide the others."""
        for parts in self.untagged:
            if kind(parts) == what:
                with suppress(SyntaxTrouble):
                    yield values(parts)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server says it can do, in upper case; empty when it did not say."""
        listed = [bytes(parts[0][10:]) for parts in self.untagged if kind(parts) == "CAPABILITY"]
        words = b" ".join(listed).decode("ascii", "replace") + " " + self.codes.get("CAPABILITY", "")
        return frozenset(words.upper().split())


class Literal(bytes):
    """An argument to be sent as a literal `{n}`: octets that a quoted string cannot carry."""


def astring(text: bytes) -> str | Literal:
    """A quoted string, or a literal for what quoting cannot carry (RFC 3501 section 4.3)."""
    if len(text) < 1000 and all(32 <= octet < 127 for octet in text):
        return '"' + text.decode("ascii").replace("\\", "\\\\").replace('"', '\\"') + '"'
    return Literal(text)


def to_modified_utf7(name: str) -> bytes:
    """A mailbox name for the wire (RFC 3501 section 5.1.3)."""
    coded = []
    for run in re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", name):
        if " " <= run[0] <= "~":
            coded.append(run.replace("&", "&-").encode("ascii"))
        else:
            octets = run.encode("utf-16-be", "surrogatepass")
            coded.append(b"&" + base64.b64encode(octets, b"+,").rstrip(b"=") + b"-")
    return b"".join(coded)


def from_modified_utf7(wire: bytes) -> str:
    """A mailbox name for people; what is not modified UTF-7 is read as UTF-8, then as Latin-1."""

    def decoded(shift: re.Match[bytes]) -> bytes:
        if not shift[1]:
            return b"&"
        octets = base64.b64decode(shift[1] + b"=" * (-len(shift[1]) % 4), b"+,", validate=True)
        return octets.decode("utf-16-be").encode()

    try:
        return re.sub(rb"&([A-Za-z0-9+,]*)-", decoded, wire).decode()
    except ValueError:  # binascii.Error and UnicodeDecodeError are ones
        return wire.decode("latin-1")


def uid_set(uids: Iterable[int]) -> str:
    """`1:3,7` for 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for uid in sorted(uids):
        if runs and uid == runs[-1][1] + 1:
            runs[-1][1] = uid
        else:
            runs.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in runs)


def uids_of(text: str, *, most: int) -> list[int]:
    """1, 2, 3, 7 of `1:3,7`, in that order; none at all when they are more than `most`, or it is no such set."""
    uids: list[int] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        if not first.isdigit() or (colon and not last.isdigit()):
            return []
        low, high = int(first), int(last or first)
        if abs(high - low) >= most - len(uids):
            return []
        uids += range(low, high + 1) if low <= high else range(low, high - 1, -1)
    return uids


def kind(parts: Parts) -> str:
    """What an untagged response is about: `OK`, `FETCH` (its number left out), `LIST` ..."""
    words = bytes(parts[0][:80]).split(None, 2)
    word = words[1] if len(words) > 1 and words[0].isdigit() else (words or [b""])[0]
    return word.decode("ascii", "replace").upper()


def values(parts: Parts) -> list[Value]:
    """The response as nested lists. Raises SyntaxTrouble."""
    outermost: list[Value] = []
    stack = [outermost]
    for token in _tokens(parts):
        if token is _Mark.OPEN:
            inner: list[Value] = []
            stack[-1].append(inner)
            stack.append(inner)
            if len(stack) > DEEPEST_NESTING:
                raise SyntaxTrouble("lists nested too deeply")
        elif token is _Mark.CLOSE:
            stack.pop()
            if not stack:
                raise SyntaxTrouble("a parenthesis too many")
        else:
            stack[-1].append(token)
    if len(stack) != 1:
        raise SyntaxTrouble("a parenthesis is missing")
    return outermost


class _Mark(Enum):
    """A parenthesis; not bytes, because a quoted "(" is a string."""

    OPEN = b"("
    CLOSE = b")"


def _tokens(parts: Parts) -> Iterator[bytes | _Mark | None]:
    for part in parts:
        if isinstance(part, bytearray):
            yield bytes(part)
            continue
        text, at = part.rstrip(), 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise SyntaxTrouble("an answer cannot be read")
            at = match.end()
            parenthesis, quoted, atom = match.groups()
            if parenthesis is not None:
                yield _Mark(parenthesis)
            elif quoted is not None:
                yield _ESCAPED.sub(rb"\1", quoted)
            else:
                yield None if atom.upper() == b"NIL" else atom


def codes(lines: Iterable[bytes]) -> dict[str, str]:
    """The response codes in status lines such as `OK [UIDNEXT 5] Predicted`: name (upper case) -> argument."""
    found: dict[str, str] = {}
    for line in lines:
        if b"[" not in line or line[:1].isdigit():  # as what is told of messages
            continue
        status, _, text = line.partition(b" ")
        match = _CODE.match(text) if status.decode("ascii", "replace").upper() in _STATUS else None
        if match is not None:
            found[match[1].decode().upper()] = (match[2] or b"").decode("ascii", "replace")
    return found


def numbers(text: bytes | str) -> list[int]:
    """The numbers of a SEARCH answer; words among them (such as a MODSEQ) are left out."""
    return [int(word) for word in text.split() if word.isdigit() and len(word) <= 10]


def header_fields(block: bytes) -> dict[str, str]:
    """The first of each field, unfolded: lower-case name -> text. Never raises, whatever is in the block."""
    fields: dict[str, str] = {}
    for line in _UNFOLD.sub(b"", block).splitlines():
        name, colon, text = line.partition(b":")
        if colon:
            fields.setdefault(name.decode("ascii", "replace").strip().lower(), text.decode("utf-8", "replace").strip())
    return fields


def plain_text(text: str) -> str:
    """A header for people: RFC 2047 decoded, on one line, without control characters."""
    with suppress(HeaderParseError, LookupError, ValueError):  # an unknown charset: shown as it came
        text = str(make_header(decode_header(text)))
    return _CONTROL.sub(" ", text).strip()


def address_of(text: str) -> str:
    """The first address in a From header, lower case; "" when there is none."""
    bracketed = re.search(r"<([^<>]*)>", text)
    match = _ADDRESS.search(bracketed[1] if bracketed else text)
    return match[0].lower() if match else ""


def message_ids(text: str) -> tuple[str, ...]:
    """The Message-IDs in a header, with their angle brackets."""
    return tuple(re.findall(r"<[^<>\s]+>", text))
