"""Header fields as bytes that cannot be tampered with: cleaned, encoded (RFC 2047), folded (RFC 5322)."""

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from warmupd.errors import UsageError

LONGEST_LINE: Final = 78  # RFC 5322, section 2.1.1: "SHOULD be no more than 78 characters"
_ENCODED_ROOM = 48  # coded characters in an encoded-word, so that "Subject: =?utf-8?Q?...?=" keeps to 76 (RFC 2047, 2)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_JOINERS = "\u200c\u200d"  # format characters that Persian names and some emoji need
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047, section 5 (3)
_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")  # RFC 5321, section 4.1.2: dot-string
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def clean(text: str, longest: int) -> str:
    """`text` on one line, at most `longest` characters: what is invisible becomes a space, spaces are single."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() or one in _JOINERS else " " for one in text)
    return " ".join(text[: longest * 4].split())[:longest].rstrip()


def unstructured(name: str, text: str) -> str:
    """The field `name: text`, such as Subject; `text` has been cleaned."""
    plain = text.isascii() and "=?" not in text
    if plain and len(name) + 2 + len(text) <= LONGEST_LINE:
        return f"{name}: {text}"
    words = text.split(" ")
    if plain and max(map(len, words)) < LONGEST_LINE - len(name) - 2:
        return _folded(name, words)
    return f"{name}: {_encoded_words(text)}"


def mailbox(name: str, display_name: str, address: str) -> str:
    """The field `name: display name <address>`, such as From; `display_name` has been cleaned or is ""."""
    if not display_name:
        return f"{name}: {address}"
    if not display_name.isascii() or "=?" in display_name:
        phrase = _encoded_words(display_name)
    elif _ATOMS.fullmatch(display_name):
        phrase = display_name
    else:
        escaped = display_name.replace("\\", "\\\\").replace('"', '\\"')
        phrase = f'"{escaped}"'
    field = f"{name}: {phrase} <{address}>"
    return field if len(field) <= LONGEST_LINE else f"{name}: {phrase}\r\n <{address}>"


def id_list(name: str, ids: Iterable[str]) -> str:
    """The field `name: <id> <id> ...`, such as References."""
    return _folded(name, list(ids))


def mail_address(text: str) -> str:
    """An address that somebody entered, as `ascii_address` has it. UsageError when it is none."""
    local, at, domain = text.rpartition("@")
    if not (local and at and domain):
        raise UsageError(f"{clean(text, 100)!r} is not an e-mail address", remedy="give it as name@example.com")
    return ascii_address(text)[0]


def ascii_address(address: str) -> tuple[str, str]:
    """(address, its domain), the domain in A-labels. UsageError when plain SMTP (no SMTPUTF8) cannot take it."""
    local, _, domain = address.rpartition("@")
    if not _LOCAL_PART.fullmatch(local) or len(local) > 64:
        raise UsageError(
            f"the address {clean(address, 100)!r} cannot be used: its part before the @ is not plain ASCII",
            remedy="use the mailbox's ASCII address; SMTPUTF8 addresses and quoted ones are not supported",
        )
    if not domain.isascii():
        domain = _a_labels(domain)
    if not _DOMAIN.fullmatch(domain) or len(domain) > 253:
        raise UsageError(f"the address {clean(address, 100)!r} has no valid domain", remedy="correct the address")
    return f"{local}@{domain}", domain


@lru_cache(maxsize=1024)
def _a_labels(domain: str) -> str:
    """The ASCII form. The standard library knows IDNA 2003 only; where 2008 differs (\u00df, \u03c2) it would name
    somebody else's domain, so a domain that does not survive the way back is refused."""
    try:
        encoded = domain.encode("idna").decode()
        survives = encoded.encode().decode("idna") == domain.lower()
    except UnicodeError:
        survives = False
    if not survives:
        raise UsageError(
            f"the domain {clean(domain, 100)!r} has no unambiguous ASCII form", remedy="write it as xn--..."
        )
    return encoded


def _folded(name: str, words: list[str]) -> str:
    lines = [f"{name}: {words[0]}"]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= LONGEST_LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines)


@lru_cache(maxsize=1024)
def _encoded_words(text: str) -> str:
    """`text` as encoded-words, one a line: Q while it stays readable, else B, as mail clients choose."""
    raw = text.encode()
    readable = sum(byte in _Q_SAFE or byte == 0x20 for byte in raw) * 2 > len(raw)
    cost = _q_cost if readable else _b_cost
    words, used = [""], 0.0
    for character in text:  # never splits a character (RFC 2047, section 5)
        used += cost(character)
        if used > _ENCODED_ROOM:
            words.append("")
            used = cost(character)
        words[-1] += character
    return "\r\n ".join(map(_q_word if readable else _b_word, words))


def _q_cost(character: str) -> int:
    return 1 if character == " " or ord(character) in _Q_SAFE else 3 * len(character.encode())


def _b_cost(character: str) -> float:
    return len(character.encode()) * 4 / 3


def _q_word(text: str) -> str:
    coded = "".join(chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in text.encode())
    return f"=?utf-8?Q?{coded}?="


def _b_word(text: str) -> str:
    return f"=?utf-8?B?{b64encode(text.encode()).decode()}?="
