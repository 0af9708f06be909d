"""`python -m warmupd.cli.healthcheck [--ready]`: asks the worker of this machine how it is, at little cost.

A container is asked every few seconds, also when its machine is busy: nothing of the command line is loaded for it. Nor
is the configuration checked: a worker goes on with the one before when an edited file is wrong, and is not ill by that.
"""

import http.client
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from warmupd.errors import WarmupdError

PATIENCE = 3.0  # seconds
# As the configuration has them, whose models take longer to load than the question takes; a test compares.
SEARCHED = (Path("config.toml"), Path("/etc/warmupd/config.toml"))
USUAL = MappingProxyType({"http.listen": "127.0.0.1:3000", "http.same_port": "false", "worker.id": "auto"})
OLD_NAMES = MappingProxyType({"WARMUP_WORKER_ID": "worker.id", "WARMUP_WORKER_COUNT": "worker.count"})
LOOPBACK = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104  where one that listens everywhere is asked
TRUE, FALSE = {"true", "1", "yes", "on", "t", "y"}, {"false", "0", "no", "off"}


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
    """Where the worker listens, from what can be read of file, `.env`, variables: the last that makes sense counts."""
    host, port, same, worker = "", 0, False, 0
    for layer in (USUAL, _file(config), _variables(_dotenv()), _variables(environ)):
        with suppress(KeyError, ValueError):
            place = urlsplit(f"//{layer['http.listen']}")
            if place.hostname and place.port is not None:
                host, port = place.hostname, place.port
        same = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}.get(layer.get("http.same_port", ""), same)
        with suppress(KeyError, ValueError):
            worker = 0 if layer["worker.id"] == "auto" else int(layer["worker.id"])
    return LOOPBACK.get(host, host), port + (0 if same else worker)


def _file(config: Path | None) -> Mapping[str, str]:
    """The keys of the configuration file that say where it listens; none where it cannot be read."""
    with suppress(OSError, ValueError, StopIteration):
        place = config or next(place for place in SEARCHED if place.is_file())
        document: dict[str, Any] = tomllib.loads(place.read_text("utf-8"))
        tables = {name: table for name in ("http", "worker") if isinstance(table := document.get(name), dict)}
        values = {f"{name}.{key}": str(value) for name, table in tables.items() for key, value in table.items()}
        return {key: value.lower() for key, value in values.items()}
    return {}


def _dotenv() -> Mapping[str, str]:
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values

    with suppress(OSError, ValueError):
        return {name: text for name, text in dotenv_values(".env", interpolate=False).items() if text}
    return {}


def _variables(given: Mapping[str, str]) -> Mapping[str, str]:
    """The new names win over the old system's, whose numbers went from 1 to N as well as from 0 to N - 1."""
    found = {key: given[name] for name, key in OLD_NAMES.items() if given.get(name)}
    if given.get("WARMUP_DISTRIBUTED_MODE", "").lower() in FALSE:
        found["worker.id"] = "auto"
    with suppress(KeyError, ValueError, ZeroDivisionError):
        count = given.get("WARMUP_WORKER__COUNT") or found.get("worker.count", "1")
        found["worker.id"] = str(int(found["worker.id"]) % int(count))
    new = {key: given.get(f"WARMUP_{key.upper().replace('.', '__')}", "") for key in USUAL}
    return {key: value.lower() for key, value in {**found, **{key: text for key, text in new.items() if text}}.items()}


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
