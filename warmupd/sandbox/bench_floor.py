"""The floor beside the bench: the same conversation in C, against the same sink, in the same run.

Figures of two machines, or of two hours of one that others use, cannot be compared; ratios to this floor can.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from warmupd.errors import WarmupdError
from warmupd.sandbox.bench_options import BenchOptions
from warmupd.sandbox.bench_sink_process import SinkProcess
from warmupd.sandbox.certificates import Certificates

CONVERSATION = "C, epoll and OpenSSL"
HANDSHAKE = "openssl s_time, the handshake alone"
MODES = {"STARTTLS": "starttls", "TLS": "tls", "none": "none"}
PATIENCE = 60.0  # seconds for compiling, and beyond what a measurement is to take
MOST_CONNECTIONS = 4096  # as bench_floor.c has it, and the next two
LEAST_BYTES = 80
MOST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorRound:
    """One measurement."""

    sends: int
    per_second: float
    cpu_ms: float  # a send


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """What is measured, if anything can be; `why` not the conversation in C."""

    name: str = ""
    command: tuple[str, ...] = ()  # without size and duration
    credentials: bytes = b""  # for its stdin
    why: str = ""

    def measure(self, seconds: float, *, size: int) -> FloorRound:
        """Run it for so long with messages of so many bytes. Raises WarmupdError when it fails.

        It blocks on purpose: the worker that is measured beside it lives in this process, and stands still meanwhile.
        """
        if self.name == CONVERSATION:
            return self._converse(seconds, min(max(size, LEAST_BYTES), MOST_BYTES))
        return self._shake_hands(seconds)

    def _converse(self, seconds: float, size: int) -> FloorRound:
        command = [*self.command, str(size), str(int(seconds * 1000))]
        said, _ = _run(command, self.credentials, within=seconds + PATIENCE)
        taken, failed, took, cpu = said.split()
        if int(failed) or not int(taken):
            raise WarmupdError(f"the floor failed: {failed} of its conversations, {taken} went well")
        return _round(int(taken), float(took), float(cpu))

    def _shake_hands(self, seconds: float) -> FloorRound:
        whole = max(1, round(seconds))
        said, cpu = _run([*self.command, "-time", str(whole)], b"", within=whole + PATIENCE)
        found = re.search(r"(\d+) connections in (\d+) real seconds", said)
        if found is None or not int(found[1]):
            raise WarmupdError("openssl s_time did not say what it measured")
        return _round(int(found[1]), float(found[2]), cpu)


def prepare_floor(folder: Path, sink: SinkProcess, certificates: Certificates, options: BenchOptions) -> Floor:
    """Compile it in `folder`; where that cannot be, OpenSSL's own measure of a handshake will do, if it is there."""
    if not options.floor:
        return Floor(why="not asked for")
    program = folder / "bench_floor"
    why = _compile(program)
    if not why:
        login = sink.credentials("floor@sink.test") + b"\n"
        at_once = str(min(options.concurrent, MOST_CONNECTIONS))
        command = (str(program), str(sink.port), MODES[options.security], at_once, str(certificates.ca_file))
        return Floor(name=CONVERSATION, command=command, credentials=login)
    if options.security != "TLS" or shutil.which("openssl") is None:
        return Floor(why=why)
    place = ("-connect", f"127.0.0.1:{sink.port}", "-CAfile", str(certificates.ca_file), "-new")
    return Floor(name=HANDSHAKE, command=("openssl", "s_time", *place), why=why)


def _compile(program: Path) -> str:
    """Why it cannot be; "" when it was."""
    compiler = shutil.which("cc")
    if compiler is None:
        return "there is no C compiler (cc)"
    if program.exists():
        return ""
    source = program.with_suffix(".c")
    source.write_text(files("warmupd.sandbox").joinpath("bench_floor.c").read_text("utf-8"), "utf-8")
    libraries = ("-lssl", "-lcrypto")
    try:
        _run([compiler, "-std=c11", "-O2", "-o", str(program), str(source), *libraries], b"", within=PATIENCE)
    except WarmupdError as error:
        missing = "openssl/" in str(error)
        return "OpenSSL's headers are missing (libssl-dev)" if missing else f"it could not be compiled: {error}"
    return (
        ""
        if os.access(program, os.X_OK)
        else f"programs in {program.parent} cannot be run (TMPDIR names another place)"
    )


def _run(command: Sequence[str], told: bytes, *, within: float) -> tuple[str, float]:
    """What it said, and the CPU seconds it used."""
    before = os.times()
    try:
        done = subprocess.run(command, input=told, capture_output=True, timeout=within, check=False)
    except subprocess.TimeoutExpired:
        raise WarmupdError(f"{Path(command[0]).name} did not end within {within:.0f} seconds") from None
    if done.returncode:
        raise WarmupdError(f"{Path(command[0]).name}: {done.stderr.decode(errors='replace').strip()[:500]}")
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return done.stdout.decode(), used


def _round(sends: int, seconds: float, cpu: float) -> FloorRound:
    return FloorRound(sends=sends, per_second=sends / seconds, cpu_ms=cpu / sends * 1000)
