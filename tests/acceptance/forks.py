"""A process that has imported the program, and forks for each command, which then takes half of its time.

Whole programs (`Daemon`, and whatever ends by a signal) are started for themselves all the same.
"""

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, NoReturn

NUMBER = struct.Struct("i")


class Forks:
    """The process, as seen by the tests. Used by several threads at once."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        """The environment of the imports; each command has its own."""
        self._place = str(directory / "forks")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._place)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str, patience: float
    ) -> "subprocess.CompletedProcess[str]":
        """As `subprocess.run` with captured output. Raises subprocess.TimeoutExpired after `patience` seconds."""
        told = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode()
        with ExitStack() as stack:
            files: list[IO[str]] = [stack.enter_context(tempfile.TemporaryFile("w+", newline="")) for _ in range(3)]
            files[0].write(stdin)
            files[0].seek(0)
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.connect(self._place)
            link.settimeout(patience)
            socket.send_fds(link, [told], [file.fileno() for file in files])
            pid = _number(link)
            try:
                code = _number(link)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), patience) from None
            for file in files[1:]:
                file.seek(0)
            return subprocess.CompletedProcess(list(arguments), code, files[1].read(), files[2].read())

    def close(self) -> None:
        self._process.communicate()  # the end of its input ends it


def _number(link: socket.socket) -> int:
    data = link.recv(NUMBER.size, socket.MSG_WAITALL)
    number: int = NUMBER.unpack(data)[0]
    return number


def serve(listener: socket.socket) -> None:
    """Until the end of the input."""
    import warmupd.cli.main
    import warmupd.daemon.app
    import warmupd.store.embedded  # noqa: F401  what most commands import once they run

    while listener.fileno() in select.select([listener.fileno(), 0], [], [])[0]:
        link, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(link)
        link.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _attend(link: socket.socket) -> NoReturn:
    """One command: its pid, and how it ended."""
    told, files, _, _ = socket.recv_fds(link, 1 << 20, 3)
    command = json.loads(told)
    pid = os.fork()
    if pid == 0:
        link.close()
        _become(files, command)
    link.sendall(NUMBER.pack(pid))
    link.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _become(files: Sequence[int], command: Mapping[str, object]) -> NoReturn:
    """As if the program had just been started so."""
    from warmupd.cli.main import main

    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(str(command["cwd"]))
    os.environ.clear()
    os.environ.update(command["env"])  # type: ignore[call-overload]  # names and values
    time.tzset()
    sys.argv = ["warmupd", *command["arguments"]]  # type: ignore[misc]  # a list of words
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  it ends as a program does
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does before it ends
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
