"""What no log line shows: addresses, logins, passwords and keys, and the values that a database's errors quote."""

import re
import traceback
from collections.abc import Iterator, MutableMapping
from functools import lru_cache
from types import TracebackType
from typing import Any

Event = MutableMapping[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

# Text is hidden piece by piece: what leads to a secret stays, and says which it was. Nothing here may go back over what
# it has read (possessive, or bounded), since servers write what they like.
_SECRET = re.compile(
    r"((?:password|passwd|passphrase|pwd|token|secret|credential|api_?-?key|input_value)[\w-]{0,40}+"
    r"(?:[\"']?\s{0,3}+(?:=|%3D)\s{0,3}+|[\"']\s{0,3}+:\s{0,3}+))"
    r"(?:b?\"(?:[^\"\\]|\\.)*+\"|b?'(?:[^'\\]|\\.)*+'|[^\s&]++)",
    re.IGNORECASE,
)
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*+://)\S*@", re.IGNORECASE)
# The part before the @ may have quotes or brackets around it or in it (RFC 5322, 3.4.1), or be written as URLs do.
_PLAIN = r"(?:[^\s<>\"'(),;:=\[\]@%]|%(?!40)|(?<=\w)'(?=\w))"
_ENCLOSED = (
    r"\"(?:[^\"\\\n]|\\.){0,100}+\"|'[^'\n]{0,100}+'|<[^<>\n]{0,100}+>|\([^()\n]{0,100}+\)"
    r"|\[(?!login\]@)[^\[\]\n]{0,100}+\]"
)
_ADDRESS = re.compile(
    rf"(?:(?<![^\s<>\"'(),;:=\[\]@%])(?<!\w'(?=\w)){_PLAIN}++|{_ENCLOSED})(?:{_PLAIN}++|{_ENCLOSED}){{0,12}}+"
    r"(?:@|%40)(?:\[[^\[\]\s]{0,100}+\]|[^\s<>\"'(),;:=\[\]&]++)"
)
_SIMPLE = (int, float, type(None))  # and bool
# Postgres quotes values in the first line of data exceptions (22), of what SQL raises itself (P0), and of more that is
# rare. These are about names, numbers and the server's state. DETAIL and HINT may quote a whole row.
_WITHOUT_VALUES = frozenset(
    {"08", "0A", "21", "23", "25", "28", "2B", "3D", "40", "42", "53", "54", "55", "57", "58", "F0", "XX"}
)
_MORE_OF_ERROR = re.compile(r"\n(?:DETAIL|HINT):.*", re.DOTALL)
_LONGEST = 2048  # characters of a line that are looked through: what is odd takes their square, on the event loop
_DEEPEST = 8  # containers in containers
_LONGEST_CHAIN = 50  # of causes
_UNSHOWN = "[cannot be shown]"
_FIELDS = ("sqlstate", "schema_name", "table_name", "column_name", "constraint_name")


def hide(_logger: Any, _level: str, event: Event) -> Event:
    """A structlog processor: nothing that a field says, whatever it is, shows an address or a secret.

    Mail servers like to name whom they refuse, libraries what they were given.
    """
    for key, value in event.items():
        if isinstance(value, str):
            if _names_secret(key):
                event[key] = "[hidden]"
            elif _may_tell(value):
                event[key] = hidden(value)
        elif not isinstance(value, _SIMPLE):
            event[key] = _hidden_within(value)
    return event


def hidden(text: str) -> str:
    """The text without what nobody may see."""
    if "DETAIL:" in text or "HINT:" in text:
        text = _MORE_OF_ERROR.sub("", text)
    if len(text) > _LONGEST:
        return "\n".join(map(_hidden_line, text.split("\n")))
    return _hidden_line(text)


def _hidden_line(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} [{len(text) - _LONGEST} more characters]"
    if "=" in text or "%" in text or "':" in text or '":' in text:
        text = _SECRET.sub(r"\1[hidden]", text)
    if "@" in text or "%40" in text:
        text = _ADDRESS.sub("[address]", _URL_LOGIN.sub(r"\1[login]@", text))
    return text


def _may_tell(text: str) -> bool:
    return "@" in text or "=" in text or "%" in text or "':" in text or '":' in text or "DETAIL:" in text


@lru_cache(maxsize=1000)
def _names_secret(name: str) -> bool:
    """Whether what bears this name is a secret, whatever it is."""
    return bool(_SECRET.search(f"{name[:100]}=-"))


def _hidden_within(value: Any, deep: int = 0) -> Any:
    if isinstance(value, str):
        return hidden(value) if _may_tell(value) else value
    if isinstance(value, _SIMPLE):
        return value
    if deep == _DEEPEST:
        return "[...]"
    if isinstance(value, dict):
        return dict(_entry(key, one, deep + 1) for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden_within(one, deep + 1) for one in value]
    if isinstance(value, BaseException):
        return told(value)
    text = _repr(value)
    shown = hidden(text)
    return value if shown == text and text != _UNSHOWN else shown


def _entry(key: Any, value: Any, deep: int) -> tuple[Any, Any]:
    name = hidden(key if isinstance(key, str) else _repr(key))
    if isinstance(value, str) and _names_secret(name):
        return name, "[hidden]"
    return name if isinstance(key, str) or not isinstance(key, _SIMPLE) else key, _hidden_within(value, deep)


def _repr(value: Any) -> str:
    """As it would be written. A worker must not die of a line that it writes."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  what others' classes do is not known
        return _UNSHOWN


def told(error: BaseException) -> str:
    """Its type, and what it says as far as no value is in it. Of an error of the database its fields."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.partition(".")[0] != "asyncpg" or not getattr(error, "sqlstate", None):
        text = _str(error)
        return hidden(f"{name}: {text}" if text else name)
    fields = [f"{field} {found}" for field in _FIELDS if (found := getattr(error, field, None))]
    said = str(error.args[0]) if error.args and str(getattr(error, "sqlstate", ""))[:2] in _WITHOUT_VALUES else ""
    return hidden(f"{name}: {said + ' ' if said else ''}({', '.join(fields)})")


def _str(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  what others' classes do is not known
        return _UNSHOWN


def told_at_length(exc_info: ExcInfo) -> str:
    """For structlog's ExceptionRenderer: a traceback of lines of code, and what the errors say as `told` has it."""
    return "\n".join(_traceback(exc_info[1], set()))


def _traceback(error: BaseException, known: set[int]) -> Iterator[str]:
    known.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in known and len(known) < _LONGEST_CHAIN:
        yield from _traceback(cause, known)
        yield "which was the cause of" if error.__cause__ else "and meanwhile"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    yield told(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            if id(one) not in known and len(known) < _LONGEST_CHAIN:
                yield "one of them:"
                yield from _traceback(one, known)
