"""Where the program begins: what cannot wait until all of it is imported, which takes a slow machine seconds."""

import os
import sys

from warmupd.cli import early, pid_one

DAEMONS = {"run", "supervise"}  # the commands that SIGHUP reloads


def main() -> None:
    """Run the command line."""
    if not DAEMONS.isdisjoint(sys.argv[1:2]):
        early.heed_early()
        early.leave_out_rich()
    if os.getpid() == 1:
        pid_one.stand_before()
    from warmupd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
