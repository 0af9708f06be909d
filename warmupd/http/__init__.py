"""The HTTP face of a worker, served in the daemon's own loop."""
