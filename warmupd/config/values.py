"""The kinds of value that keys hold, beyond numbers and words: each checks itself and says what it expects."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

SECRET_BYTES = 32  # an HMAC-SHA256 key shorter than its output weakens it (RFC 7518 section 3.2)
MOST_PORT = 65535


def _no_boolean(value: object) -> object:
    """`true` would pass as 1."""
    if isinstance(value, bool):
        raise ValueError("expected a number")  # noqa: TRY004  pydantic turns ValueError alone into a report
    return value


def _worker_id(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, str) and value.startswith("auto-"):
        return "auto"  # warmupd@auto-1, warmupd@auto-2: units of one kind need names of their own
    raise ValueError('expected "auto" or a whole number')


def _listed(value: object) -> object:
    """A list may come as one text from a variable or a file: JSON, or words between commas, blanks or line ends."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        return value
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError('expected a list, such as a, b or ["a", "b"]') from None
    return text.replace(",", " ").split()


def _path(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return Path(value).expanduser() if value else None
    except RuntimeError:
        raise ValueError("expected a path; there is no home directory to put for ~") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown; a folder such as "Europe"; an absolute path
        raise ValueError("expected an IANA time zone, such as Europe/Berlin") from None
    return name


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[::1]:port`; ValueError when it is neither."""
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    plain = bare == host and ":" not in host
    if not (colon and bare and (plain or ":" in bare) and port.isascii() and port.isdigit() and int(port) <= MOST_PORT):
        raise ValueError("expected host:port, such as 127.0.0.1:3000 (port 0: a free one)")
    return bare, int(port)


def _listen(value: str) -> str:
    split_listen(value)
    return value


def _database_url(value: SecretStr, *, also: str = "") -> SecretStr:
    """`postgresql://[user[:password]@]host[:port][,host[:port]...]/database[?key=value]`."""
    url = value.get_secret_value()
    expected = f"expected {also}postgresql://user@host:port/database, with one or more hosts"
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"} or not rest:
        raise ValueError(expected)
    hosts = re.split(r"[/?]", rest.rpartition("@")[2] if "@" in rest else rest, maxsplit=1)[0]
    if not all(_is_host(host) for host in hosts.split(",")):
        raise ValueError(expected)
    return value


def _is_host(text: str) -> bool:
    """Whether `text` is `host`, `host:port`, `[v6]:port` or nothing (then the query or the default names a socket)."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]*)(?::(\d{1,5}))?", text)
    return match is not None and (match[2] is None or 0 < int(match[2]) <= MOST_PORT)


def _database(value: SecretStr) -> SecretStr:
    return value if value.get_secret_value() == "embedded" else _database_url(value, also='"embedded" or ')


def _long_enough(value: SecretStr) -> SecretStr:
    given = len(value.get_secret_value().encode())
    if given < SECRET_BYTES:
        raise ValueError(f"expected at least {SECRET_BYTES} bytes, got {given}; `openssl rand -hex 32` makes one")
    return value


def _key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().rstrip("=")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise ValueError(f"expected {SECRET_BYTES} random bytes as base64url; `warmupd init` makes one")
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address that begins with https:// or http://")
    return value.rstrip("/")


def _secret_web_address(value: SecretStr) -> SecretStr:
    _web_address(value.get_secret_value())
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError(f"expected addresses or networks, such as 10.0.0.0/8, got {value!r}") from None


def _mail_host(value: str) -> str:
    """A name, an address or a network: what is anything else would silently allow nothing."""
    if re.fullmatch(r"[^\W_](?:[\w.-]*[\w.])?", value) and not re.fullmatch(r"[0-9.]+", value):
        return value
    try:
        return str(ip_network(value.strip("[]"), strict=False))
    except ValueError:
        raise ValueError(
            f"expected names, addresses or networks, such as mail.internal or 10.1.0.0/16, got {value!r}"
        ) from None


def _local_address(value: str) -> str:
    try:
        return str(ip_address(value.strip("[]")))
    except ValueError:
        raise ValueError(f"expected an IP address of this machine, such as 192.0.2.10, got {value!r}") from None


def _name_server(value: str) -> str:
    """`192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:53`."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?|([0-9.]+)(?::(\d{1,5}))?|([0-9A-Fa-f:.]+)", value)
    try:
        port = int(match[2] or match[4] or 53) if match else 0
        if not match or not 0 < port <= MOST_PORT:
            raise ValueError
        ip_address(match[1] or match[3] or match[5])
    except ValueError:
        raise ValueError(f"expected an address such as 192.0.2.53 or 127.0.0.1:5353, got {value!r}") from None
    return value


def _mail_address(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>,]+@[^@\s<>,]+", value):
        raise ValueError(f"expected an e-mail address, got {value!r}")
    return value


def _filled(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`check`, but an empty text passes: it means that the key is not set."""

    def checked(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return check(value) if text else value

    return checked


Whole = Annotated[int, BeforeValidator(_no_boolean)]
Number = Annotated[float, BeforeValidator(_no_boolean)]
Positive = Annotated[Whole, Field(ge=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Port = Annotated[Whole, Field(ge=1, le=MOST_PORT)]

WorkerId = Annotated[Literal["auto"] | int, BeforeValidator(_worker_id)]
OptionalPath = Annotated[Path | None, BeforeValidator(_path)]  # "" is None: the built-in choice
Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
MailHosts = Annotated[tuple[Annotated[str, AfterValidator(_mail_host)], ...], BeforeValidator(_listed)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_listed)]
NameServers = Annotated[tuple[Annotated[str, AfterValidator(_name_server)], ...], BeforeValidator(_listed)]
MailAddresses = Annotated[tuple[Annotated[str, AfterValidator(_mail_address)], ...], BeforeValidator(_listed)]
MailAddress = Annotated[str, AfterValidator(_filled(_mail_address))]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
TimeZone = Annotated[str, AfterValidator(_zone)]
LocalAddress = Annotated[str, AfterValidator(_filled(_local_address))]
Listen = Annotated[str, AfterValidator(_listen)]
WebAddress = Annotated[str, AfterValidator(_filled(_web_address))]
SecretWebAddress = Annotated[SecretStr, AfterValidator(_filled(_secret_web_address))]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
OptionalDatabaseUrl = Annotated[SecretStr, AfterValidator(_filled(_database_url))]
Secret = Annotated[SecretStr, AfterValidator(_filled(_long_enough))]
Keys = Annotated[tuple[Annotated[SecretStr, AfterValidator(_key)], ...], BeforeValidator(_listed)]
Secrets = Annotated[tuple[Annotated[SecretStr, AfterValidator(_long_enough)], ...], BeforeValidator(_listed)]
