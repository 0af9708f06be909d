"""`warmupd probe`: asks the worker of this machine how it is, for health checks of containers."""

from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import ConfigPath
from warmupd.errors import WarmupdError

if TYPE_CHECKING:
    from warmupd.config import Config

EXAMPLE = "Example: warmupd probe --ready"
PATIENCE = 3.0  # seconds
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a worker that listens everywhere is asked

Ready = Annotated[bool, typer.Option("--ready", help="Ask whether it can send, not only whether it lives.")]


def probe(config: ConfigPath = None, ready: Ready = False) -> None:
    """Ask the worker that this configuration means, on this machine; ends 1 when it does not answer well.

    An "auto" worker is asked on the port of http.listen, which is its own where it is the first one of the machine.
    """
    import http.client

    from warmupd.config import load

    host, port = _address(load(config))
    path = "/readyz" if ready else "/healthz"
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except OSError as error:
        raise WarmupdError(f"{host}:{port} does not answer: {error.strerror or error}") from None
    except http.client.HTTPException as error:
        raise WarmupdError(f"{host}:{port} does not speak HTTP: {error!r}") from None
    finally:
        connection.close()
    print(said)
    if answer.status != 200:
        raise typer.Exit(1)


def _address(config: "Config") -> tuple[str, int]:
    """Where the worker listens; one that listens on all addresses is asked on loopback."""
    host = LOOPBACK.get(config.http.host, config.http.host)
    numbered = config.worker.id != "auto" and not config.http.same_port
    return host, config.http.port + (int(config.worker.id) if numbered else 0)
