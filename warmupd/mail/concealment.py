"""Servers repeat what they were sent, cut short or in another case: take the credentials out of their words."""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
KEPT = 4096  # characters of a text that are looked at and passed on
TELLING = 8  # characters of a secret that give it away wherever they stand
BEGINNING = 4  # as many of its first ones do when they stand alone; in the midst of a word they are only chance


def conceal(text: str, secrets: Iterable[str]) -> str:
    """The first KEPT characters of `text` without the secrets, whole or in pieces, whatever their case."""
    text = text[:KEPT]
    folded = _fold(text)
    sought = [_fold(secret) for secret in secrets if secret]
    if not _may_hold(folded, sought):
        return text  # as nearly every reply
    marks = bytearray(len(text))
    for secret in sought:
        _mark(marks, folded, secret)
    shown, end = [], 0
    for run in re.finditer(rb"\x01+", marks):
        shown += [text[end : run.start()], HIDDEN]
        end = run.end()
    return "".join((*shown, text[end:]))


def forms_of(secret: str) -> tuple[str, ...]:
    """A secret as it may stand in somebody's words: plain, quoted, escaped, backwards, or in the midst of base64."""
    if not secret:
        return ()
    octets = secret.encode("utf-8", "surrogateescape")
    written = (secret,) if _PLAIN.fullmatch(secret) else _written(secret, octets)  # each send asks: the rest is dear
    coded = [_inner(octets, shift) for shift in range(3)]
    return tuple(dict.fromkeys((*written, secret[::-1], *coded, *(text.translate(_URL_SAFE) for text in coded))))


def _written(secret: str, octets: bytes) -> tuple[str, ...]:
    quoted = secret.replace("\\", "\\\\").replace('"', '\\"')
    return (secret, quoted, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(octets, safe=""), quote_plus(octets))


def _inner(octets: bytes, shift: int) -> str:
    """Its base64 after `shift` octets of something else, without the digits that those and what follows share in."""
    text = base64.b64encode(b"\0" * shift + octets).decode().rstrip("=")
    whole = 4 * (len(octets) + shift) // 3
    return text[-(-shift * 4 // 3) : whole]


_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")  # the same however it is quoted; in a URL, too: RFC 3986, section 2.3
_URL_SAFE = str.maketrans("+/", "-_")


def _may_hold(text: str, secrets: Sequence[str]) -> bool:
    """Whether `_mark` could mark anything: cheap, and never wrongly no."""
    if any(secret[:BEGINNING] in text for secret in secrets):
        return True
    all_of_them = "\0".join(secrets)
    return any(text[at : at + TELLING] in all_of_them for at in range(len(text) - TELLING + 1))


def _mark(marks: bytearray, text: str, secret: str) -> None:
    """Set a 1 for each character of `text` that belongs to `secret`."""
    start, pieces = secret[:TELLING], {secret[at : at + TELLING] for at in range(len(secret) - TELLING + 1)}
    for at in range(len(text)):
        length = _common(text, at, start)
        if length == len(start) or (length >= BEGINNING and _stands_alone(text, at, at + length)):
            marks[at : at + length] = b"\x01" * length
        if text[at : at + TELLING] in pieces:
            marks[at : at + TELLING] = b"\x01" * TELLING


def _common(text: str, at: int, start: str) -> int:
    """How many characters of `start` stand at this place."""
    length = 0
    while length < len(start) and text.startswith(start[length], at + length):
        length += 1
    return length


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not (text[max(start - 1, 0) : start].isalnum() or text[end : end + 1].isalnum())


def _fold(text: str) -> str:
    """In lower case, and of the same length, which `str.lower` does not promise."""
    if text.isascii():
        return text.lower()
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)
