"""The imports that this worker runs for browsers."""

from fastapi import Request

from warmupd.daemon.import_run import Imports


def imports_of(request: Request) -> Imports:
    """Those of this worker."""
    imports: Imports = request.app.state.imports
    return imports
