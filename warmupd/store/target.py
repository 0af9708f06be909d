"""What a database URL says: hosts, login, and what lies between us and the server."""

import re
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode

from warmupd.errors import ConfigError

_IDLE_IN_TRANSACTION_SECONDS = 60  # a forgotten transaction holds back vacuum everywhere
_DRIVER_OPTIONS = re.compile(r"ssl(?!accept|identity).*|krbsrvname|gsslib|passfile|options")  # of a URL's query


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Target:
    """One database URL, read. Never shown whole: it holds the password."""

    hosts: tuple[tuple[str | None, int], ...]  # name or socket directory (None: the driver's defaults), port
    user: str | None
    password: str | None
    database: str | None
    options: tuple[tuple[str, str], ...]  # for the driver: TLS and the like
    schema: str | None  # another than public
    pooled: bool  # a transaction-mode pooler lies between
    statement_cache_size: int  # statements a connection

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `postgresql://user:password@host1:port,host2/database?...`, Prisma's and libpq's extras included."""
        match = re.fullmatch(r"postgres(?:ql)?://(?:([^/?#]*)@)?([^/?#@]*)(?:/([^?#@]*))?(?:\?([^#]*))?", url.strip())
        if match is None:
            raise _unreadable("it is no postgresql:// URL")
        login, hosts, database, query = (part or "" for part in match.groups())
        extra = dict(parse_qsl(query, keep_blank_values=True))
        user, _, password = login.partition(":")
        pooled = extra.get("pgbouncer", "").lower() in {"true", "1"}
        schema = extra.get("schema") or None
        cache = extra.get("statement_cache_size", "0" if pooled else "100")
        if not cache.isdecimal():
            raise _unreadable("statement_cache_size is no number")
        return cls(
            hosts=_hosts(hosts or extra.get("host", ""), extra.get("port", "5432")),
            user=unquote(user) or extra.get("user"),
            password=unquote(password) or extra.get("password"),
            database=unquote(database) or extra.get("dbname"),
            options=tuple((name, value) for name, value in extra.items() if _DRIVER_OPTIONS.fullmatch(name)),
            schema=None if schema == "public" else schema,
            pooled=pooled,
            statement_cache_size=int(cache),
        )

    def label(self, index: int) -> str:
        host, port = self.hosts[index]
        return "the local socket" if host is None else f"{host}:{port}"

    def arguments(self, index: int) -> dict[str, Any]:
        host, port = self.hosts[index]
        named = {"host": host, "port": port, "user": self.user, "password": self.password, "database": self.database}
        local = {"ssl": False} if host is not None and host.startswith("/") else {}  # whatever PGSSLMODE says
        return {"dsn": f"postgresql:///?{urlencode(self.options)}"} | named | local

    def server_settings(self, application_name: str) -> dict[str, str]:
        """A pooler refuses start-up parameters that it does not know, so it gets the name only."""
        if self.pooled:
            return {"application_name": application_name}
        settings = {
            "application_name": application_name,
            "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_SECONDS}s",
            "TimeZone": "UTC",
        }
        if self.schema is not None:
            settings["search_path"] = '"' + self.schema.replace('"', '""') + '"'
        return settings


def _hosts(text: str, default_ports: str) -> tuple[tuple[str | None, int], ...]:
    """`a:1,[::1]:2,/socket/dir`; ports that are missing come from the query, one for all or one each."""
    names = text.split(",")
    ports = default_ports.split(",")
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        raise _unreadable("it has another number of ports than of hosts")
    found: list[tuple[str | None, int]] = []
    for name, default in zip(names, ports, strict=True):
        match = re.fullmatch(r"(?:(/.*)|\[([^\]]+)\]|([^:]*))(?::(\d*))?", unquote(name))
        port = (match and match[4]) or default
        if match is None or not port.isdecimal():
            raise _unreadable("a host or port in it is malformed")
        found.append((match[1] or match[2] or match[3] or None, int(port)))
    return tuple(found)


def _unreadable(why: str) -> ConfigError:
    return ConfigError(
        f"the database URL cannot be used: {why}",
        remedy="write postgresql://user:password@host:5432/name, with special characters of the password as %XX",
    )
