"""What the first process of a container owes the others: it hands signals on, and buries the dead.

Linux gives orphans to process 1, and keeps them as zombies until that asks for them; the backends of an embedded
Postgres that was killed are such. And a signal that process 1 has no handler for is not delivered to it at all.
"""

import os
import signal
import sys

HANDED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
FROM_A_PROCESS = 0  # si_code of kill(2) and its like is 0 or less; a terminal's Ctrl-C reaches the child by itself


def stand_before() -> None:
    """As process 1: fork, return in the child, and stay as its parent until it ends, with its exit code."""
    watched = HANDED_ON | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        return
    os._exit(_stay(child, watched))


def _stay(child: int, watched: set[signal.Signals]) -> int:
    while True:
        told = signal.sigwaitinfo(watched)
        if told.si_signo in HANDED_ON:
            if told.si_code <= FROM_A_PROCESS:
                os.kill(child, told.si_signo)
            continue
        if (status := _bury(child)) is not None:
            sys.stdout.flush()
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _bury(child: int) -> int | None:
    """Ask for all that have ended; the child's status when it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status
