"""`python -m warmupd.cli.healthcheck [--ready]`: asks the worker of this machine how it is, at little cost.

A container is asked every few seconds, also when its machine is busy: nothing of the command line is loaded for it. Nor
is the configuration checked: a worker goes on with the one before when an edited file is wrong, and is not ill by that.
"""

import http.client
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from warmupd.errors import WarmupdError

PATIENCE = 3.0  # seconds
# As the configuration has them, whose models take longer to load than the question takes; a test compares.
SEARCHED = (Path("config.toml"), Path("/etc/warmupd/config.toml"))
LOOPBACK = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104  where one that listens everywhere is asked
WORDS = {
    **dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
    **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False),
}
OLD_NAMES = MappingProxyType(
    {"worker.id": "WARMUP_WORKER_ID", "worker.count": "WARMUP_WORKER_COUNT", "distributed": "WARMUP_DISTRIBUTED_MODE"}
)


def ask(config: Path | None = None, *, ready: bool = False) -> tuple[bool, str]:
    """Whether it is well, and what it says. `ready` asks whether it can send, not only whether it lives.

    An "auto" worker is asked on the port of http.listen, which is its own where it is the first one of the machine.
    Raises WarmupdError when nobody answers.
    """
    host, port = address(config)
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz" if ready else "/healthz")
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode(errors="replace")
    except OSError as error:
        raise WarmupdError(f"{host}:{port} does not answer: {error.strerror or error}") from None
    except http.client.HTTPException as error:
        raise WarmupdError(f"{host}:{port} does not speak HTTP: {error!r}") from None
    finally:
        connection.close()


def address(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Where the worker listens, by file, `.env` and variables, laid over each other as for the worker.

    That is: the file, over it all old names, over them all new names. What makes no sense counts as not said.
    """
    file, hidden = _read(_file(config), IN_FILE), _dotenv()
    older = {**_read(hidden, OLD_NAMES), **_read(environ, OLD_NAMES)}
    newer = {**_read(hidden, NEW_NAMES), **_read(environ, NEW_NAMES)}
    count = {**file, **older, **newer}.get("worker.count", 1)
    if older.get("distributed") is False:  # one worker that serves everything
        older["worker.id"] = None
    elif older.get("worker.id") and count:  # the old system's numbers went from 1 to N as well as from 0 to N - 1
        older["worker.id"] %= count
    said = {**file, **older, **newer}
    host, port = said.get("http.listen", ("127.0.0.1", 3000))
    return LOOPBACK.get(host, host), port + (0 if said.get("http.same_port") else said.get("worker.id") or 0)


def _listen(text: str) -> tuple[str, int]:
    place = urlsplit(f"//{text}")
    if not place.hostname or place.port is None:
        raise ValueError("expected address:port")
    return place.hostname, place.port


def _worker_id(text: str) -> int | None:
    """None is one that finds its own."""
    return None if text == "auto" or text.startswith("auto-") else int(text)


READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "http.listen": _listen,
        "http.same_port": WORDS.__getitem__,
        "worker.id": _worker_id,
        "worker.count": int,
        "distributed": WORDS.__getitem__,
    }
)
IN_FILE = {key: key for key in READERS}
NEW_NAMES = {key: f"WARMUP_{key.upper().replace('.', '__')}" for key in READERS if "." in key}


def _read(given: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    """What `given` says by `names`, by key; empty counts as not said."""
    found = {}
    for key, name in names.items():
        with suppress(KeyError, ValueError):
            if text := given.get(name):
                found[key] = READERS[key](text.lower())
    return found


def _file(config: Path | None) -> Mapping[str, str]:
    """The keys of the configuration file that say where it listens; none where it cannot be read."""
    with suppress(OSError, ValueError, StopIteration):
        place = config or next(place for place in SEARCHED if place.is_file())
        document: dict[str, Any] = tomllib.loads(place.read_text("utf-8"))
        tables = {name: table for name in ("http", "worker") if isinstance(table := document.get(name), dict)}
        return {f"{name}.{key}": str(value) for name, table in tables.items() for key, value in table.items()}
    return {}


def _dotenv() -> Mapping[str, str]:
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values

    with suppress(OSError, ValueError):
        return {name: text for name, text in dotenv_values(".env", interpolate=False).items() if text}
    return {}


def main(arguments: Sequence[str]) -> int:
    """Print what the worker says; 0 when it is well, else 1."""
    try:
        well, said = ask(ready="--ready" in arguments)
    except WarmupdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(said)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
