"""Passwords as they come on standard input."""

import io
import sys
from types import SimpleNamespace

import pytest

from warmupd.cli.prompt import known_passwords
from warmupd.errors import UsageError


def given(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> tuple[str, str]:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(octets)))
    return known_passwords("Password", stdin=True)


def test_only_the_end_of_a_line_parts_two_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, "one\u2028\x0bword\r\n".encode()) == ("one\u2028\x0bword",) * 2
    assert given(monkeypatch, b"smtp\r\nimap\n") == ("smtp", "imap")


def test_what_is_no_text_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        given(monkeypatch, b"caf\xe9\n")
