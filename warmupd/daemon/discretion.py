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
# it has read for long, since servers write what they like; and no group is repeated possessively, which Python 3.11.2,
# Debian's, does wrong.
_SECRET = re.compile(
    r"((?:password|passwd|passphrase|pwd|token|secret|credential|api_?-?key|input_value)[\w-]{0,40}+"
    r"(?:[\"']?\s{0,3}+(?:=|%3D)\s{0,3}+|[\"']\s{0,3}+:\s{0,3}+))"
    r"(?:b?\"[^\"\\]*+(?:\\.[^\"\\]*+)*\"|b?'[^'\\]*+(?:\\.[^'\\]*+)*'|[^\s&]++)",
    re.IGNORECASE,
)
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*+://)\S*@", re.IGNORECASE)
_AT = re.compile(r"@|%40")  # as URLs write it
_DOMAIN = re.compile(r"\[[^\[\]\s]{0,100}\]|[^\s<>\"'(),;:=\[\]&]+")
# The part before the @ may have quotes or brackets around it or in it (RFC 5322, 3.4.1).
_ENDS_OF = {'"': '"', "'": "'", ">": "<", ")": "(", "]": "["}
_NO_PART = frozenset("<>\"'(),;:=[]@")
_LONGEST_ENCLOSED = 100  # characters between quotes or brackets
_MOST_ENCLOSED = 12
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
        text = _without_addresses(_URL_LOGIN.sub(r"\1[login]@", text))
    return text


def _without_addresses(text: str) -> str:
    shown, done = [], 0
    for at in _AT.finditer(text):
        domain = _DOMAIN.match(text, at.end())
        begin = _begin_of_local_part(text, at.start(), done)
        if domain is not None and done <= begin < at.start():
            shown += [text[done:begin], "[address]"]
            done = domain.end()
    return "".join(shown) + text[done:]


def _begin_of_local_part(text: str, end: int, least: int) -> int:
    """Where what stands before an @ begins, read backwards; `end` when there is nothing."""
    begin, enclosed = end, 0
    while begin > least:
        sign = text[begin - 1]
        inner = sign == "'" and begin < end and _is_word(text[begin]) and begin > 1 and _is_word(text[begin - 2])
        if inner or not (sign in _NO_PART or sign.isspace() or text.startswith("%40", begin - 1)):
            begin -= 1
        elif sign in _ENDS_OF and enclosed < _MOST_ENCLOSED and (opened := _opened(text, begin - 1, least)) >= 0:
            begin, enclosed = opened, enclosed + 1
        else:
            break
    return begin


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _opened(text: str, closed: int, least: int) -> int:
    """Where the quote or bracket that ends at `closed` was opened; -1: nowhere near."""
    least = max(least, closed - _LONGEST_ENCLOSED - 1)
    opened = text.rfind(_ENDS_OF[text[closed]], least, closed)
    while opened > least and text[closed] == '"' and text[opened - 1] == "\\":  # an escaped one
        opened = text.rfind('"', least, opened)
    own = text[opened : closed + 1] == "[login]"
    return -1 if opened < 0 or own or "\n" in text[opened:closed] else opened


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
