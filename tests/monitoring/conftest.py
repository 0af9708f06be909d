"""The rig of the daemon's tests, for what a worker that has lived exports."""

from tests.daemon.conftest import log, quick, rig

__all__ = ["log", "quick", "rig"]
