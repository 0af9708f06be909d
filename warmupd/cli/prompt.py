"""Asking the person at the terminal; passwords come from there or from stdin, never from arguments."""

import getpass
import re
import sys

from warmupd.errors import UsageError
from warmupd.http.passwords import check_password


def ask(question: str, *, option: str) -> str:
    """An answer from the terminal. Raises UsageError that names `option` where there is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question.lower()}: there is no terminal to ask at", remedy=f"give {option}")
    answer = input(f"{question}: ").strip()
    if not answer:
        raise UsageError(f"no {question.lower()} was given", remedy=f"answer, or give {option}")
    return answer


def new_password(question: str, *, stdin: bool) -> str | None:
    """A password that is chosen now, asked for twice; None when there is neither --password-stdin nor a terminal."""
    if stdin:
        return from_stdin()[0]
    if not sys.stdin.isatty():
        return None
    password = getpass.getpass(f"{question}: ")
    if not password:
        return None
    check_password(password)
    if getpass.getpass("The same again: ") != password:
        raise UsageError("the two passwords are not the same", remedy="try again")
    return password


def known_passwords(question: str, *, stdin: bool) -> tuple[str, str]:
    """A mailbox's passwords for SMTP and IMAP: one for both, or two lines on stdin."""
    if stdin:
        lines = from_stdin()
        return lines[0], lines[-1]
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password at", remedy="give --password-stdin")
    password = getpass.getpass(f"{question}: ")
    if not password:
        raise UsageError("no password was given", remedy="enter it, or give --password-stdin")
    return password, password


def from_stdin() -> list[str]:
    """The first line of stdin, or the first two."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError(
            "what is on standard input is not UTF-8", remedy="give the password in UTF-8, as the terminal does"
        ) from None
    lines = [line for line in re.split(r"[\r\n]", text) if line][:2]  # nothing else ends a line: a password may hold it
    if not lines:
        raise UsageError(
            "there is no password on standard input", remedy="one line: the password; a second one: IMAP's"
        )
    return lines
