"""`warmupd probe`: asks the worker of this machine how it is, for health checks."""

from typing import Annotated

import typer

from warmupd.cli.options import ConfigPath

EXAMPLE = "Example: warmupd probe --ready"

Ready = Annotated[bool, typer.Option("--ready", help="Ask whether it can send, not only whether it lives.")]


def probe(config: ConfigPath = None, ready: Ready = False) -> None:
    """Ask the worker that this configuration means, on this machine; ends 1 when it does not answer well.

    An "auto" worker is asked on the port of http.listen, which is its own where it is the first one of the machine. A
    configuration that is wrong does not hinder: the worker goes on with the one before.
    """
    from warmupd.cli.healthcheck import ask

    well, said = ask(config, ready=ready)
    print(said)
    if not well:
        raise typer.Exit(1)
