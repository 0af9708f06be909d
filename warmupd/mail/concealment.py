"""Servers repeat what they were sent, cut short or in another case: take the credentials out of their words."""

import re
from collections.abc import Iterable

HIDDEN = "[hidden]"
KEPT = 4096  # characters of a text that are looked at and passed on
TELLING = 8  # characters of a secret that give it away wherever they stand
BEGINNING = 4  # as many of its first ones do when they stand alone; in the midst of a word they are only chance


def conceal(text: str, secrets: Iterable[str]) -> str:
    """The first KEPT characters of `text` without the secrets, whole or in pieces, whatever their case."""
    text = text[:KEPT]
    folded = _fold(text)
    marks = bytearray(len(text))
    for secret in secrets:
        if secret:
            _mark(marks, folded, _fold(secret))
    shown, end = [], 0
    for run in re.finditer(rb"\x01+", marks):
        shown += [text[end : run.start()], HIDDEN]
        end = run.end()
    return "".join((*shown, text[end:]))


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
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)
