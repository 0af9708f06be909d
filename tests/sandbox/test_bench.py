"""The bench says what was measured, and fails where messages were not sent; its sink and its floor do their part."""

import asyncio
import datetime as dt
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import warmupd
from warmupd.cli import bench as cli
from warmupd.cli.bench_result import show_sends
from warmupd.cli.bench_visits_result import show_visits
from warmupd.cli.main import app
from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox import bench_floor, visit_bench
from warmupd.sandbox.bench import run_bench
from warmupd.sandbox.bench_cpu import Look
from warmupd.sandbox.bench_floor import Floor, FloorRound, prepare_floor
from warmupd.sandbox.bench_options import BenchOptions
from warmupd.sandbox.bench_report import BenchReport, Round
from warmupd.sandbox.bench_sink_process import SinkCounts, SinkProcess
from warmupd.sandbox.certificates import Certificates, issue_certificates
from warmupd.sandbox.visit_bench import VisitBenchOptions
from warmupd.sandbox.visit_bench_report import Cost, VisitBenchReport
from warmupd.store.crowd_ledger import Ledger
from warmupd.store.crowd_tempo import Tempo

SMALL = ("--seconds", "1", "--rounds", "2", "--mailboxes", "200", "--concurrent", "10", "--json")
WELL = "from warmupd.cli.main import main; main()"
REFUSED = f"""
from functools import partial
from warmupd.sandbox import bench
bench.SinkProcess = partial(bench.SinkProcess, refuses=True)
{WELL}
"""

COST = Cost(
    kind="everywhere",
    rounds=5,
    visits=35,
    visits_per_second=1234.0,
    client_ms=12.5,
    postgres_ms=0.5,
    server_ms=1.0,
    commands=7.0,
    statements=1.5,
    resumed=0.0,
)

needs_compiler = pytest.mark.skipif(
    not shutil.which("cc") or not Path("/usr/include/openssl/ssl.h").exists(), reason="no cc, or no libssl-dev"
)


def bench(folder: Path, *options: str, program: str = WELL) -> tuple[int, Any]:
    """Its exit code and its report; a configuration beside it that must not be read."""
    (folder / "config.toml").write_text("[database]\nurl = 'postgresql://nobody@127.0.0.1:1/production'\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "bench", *SMALL, *options],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(warmupd.__file__).parents[1]), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@needs_compiler
def test_every_message_is_taken_once_under_tls_and_the_floor_is_told_beside_it(data_dir: Path) -> None:
    ended, told = bench(data_dir)
    sent = told["ledger"]["sent"]
    assert (ended, told["security"], told["ledger"]["failed"]) == (0, "STARTTLS", 0)
    assert 0 < sent <= 200
    assert told["sink"].pop("refused") == 0
    assert told["sink"].pop("bytes") == pytest.approx(told["message_bytes"] * sent, abs=sent)
    assert told["sink"] == dict.fromkeys(("connections", "secured", "logged_in", "taken", "distinct"), sent)
    assert 0 < told["sends"] <= sent
    assert told["cpu_ms_per_send"] > told["cpu_ms"]["client"] > told["floor"]["cpu_ms_per_send"] > 0
    assert told["ratio_to_floor"] > 1
    assert 300 < told["message_bytes"] < 3000
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]
    assert 1 <= told["batch"]["reserved"] <= 10
    assert 2**25 < told["peak_rss_bytes"] < 2**30


def test_without_tls_no_connection_is_secured_and_all_is_sent(data_dir: Path) -> None:
    ended, told = bench(data_dir, "--no-tls", "--no-floor")
    assert (ended, told["security"], told["floor"], told["ratio_to_floor"]) == (0, "none", None, None)
    assert told["sink"]["taken"] == told["ledger"]["sent"] > 0
    assert told["sink"]["secured"] == 0
    assert "no floor was measured: not asked for" in told["warnings"]


def test_a_sink_that_refuses_is_a_failure(data_dir: Path) -> None:
    ended, told = bench(data_dir, "--implicit", "--no-floor", program=REFUSED)
    assert (ended, told["security"], told["ledger"]["sent"], told["sink"]["taken"]) == (1, "TLS", 0, 0)
    assert told["ledger"]["failed"] == told["sink"]["refused"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_from_outside_it_takes_its_files_away(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmupd.daemon.logs.set_up_logs", lambda **_: None)

    async def measuring() -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path):
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)  # a guard: the signal ends it at once

    before = signal.getsignal(number)
    with pytest.raises(typer.Exit) as ended:
        cli._run(measuring())
    signal.signal(number, before)
    assert ended.value.exit_code == 128 + number
    assert not list(tmp_path.iterdir())


async def test_too_few_open_files_are_told_before_anything_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (300, 300))
    with pytest.raises(UsageError, match="300 files may be open, which is too few for 100 sends at once"):
        await run_bench(BenchOptions(seconds=0.5, rounds=1, mailboxes=2))


# -- the sink ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return issue_certificates(tmp_path, [], now=dt.datetime.now(dt.UTC))


@pytest.fixture
async def talk(certificates: Certificates) -> AsyncIterator[Callable[..., Any]]:
    """Says lines to a sink that has no TLS, and tells the code of each answer."""
    async with SinkProcess(certificates, security="none") as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        await reader.readline()

        async def say(*lines: str) -> list[str]:
            codes = []
            for line in lines:
                writer.write(line.replace("PASSWORD", sink.credentials("ada").decode()).encode() + b"\r\n")
                while (answer := (await reader.readline()).decode())[3:4] == "-":
                    pass
                codes.append(answer[:3])
            say.counts = await sink.counts()  # type: ignore[attr-defined]
            return codes

        yield say
        writer.close()


async def test_the_sink_takes_a_message_to_its_final_dot(talk: Any) -> None:
    assert await talk("EHLO me", "AUTH PLAIN PASSWORD", "MAIL FROM:<a@b.test>") == ["250", "235", "250"]
    assert await talk("RCPT TO:<c@d.test>", "DATA", "Subject: one\r\n\r\n..\r\n.", "QUIT") == [
        "250",
        "354",
        "250",
        "221",
    ]
    assert talk.counts == SinkCounts(connections=1, logged_in=1, taken=1, bytes=23)


async def test_the_sink_sees_a_message_that_comes_twice(talk: Any) -> None:
    await talk("EHLO me", "AUTH PLAIN PASSWORD")
    for mark in ("one", "two", "one"):
        body = f"X-Warmupd: {mark}\r\nSubject: hello\r\n\r\n."
        assert await talk("MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA", body) == ["250", "250", "354", "250"]
    assert (talk.counts.taken, talk.counts.distinct) == (3, 2)


async def test_the_sink_demands_commands_in_order(talk: Any) -> None:
    await talk("EHLO me", "AUTH PLAIN PASSWORD")
    assert await talk("RCPT TO:<c@d.test>", "DATA", "MAIL FROM:<a@b.test>", "DATA") == ["503", "503", "250", "503"]
    assert talk.counts.taken == 0


async def test_the_sink_demands_the_password(talk: Any) -> None:
    assert await talk(
        "MAIL FROM:<a@b.test>", "DATA", "AUTH PLAIN AGEAYg==", "AUTH PLAIN %", "MAIL FROM:<a@b.test>"
    ) == [*("530", "530", "535", "535", "530")]
    assert talk.counts.taken == talk.counts.logged_in == 0


# -- the floor ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the floor is compiled, once."""
    return tmp_path_factory.mktemp("floor")


@needs_compiler
@pytest.mark.parametrize("security", ["STARTTLS", "TLS", "none"])
async def test_the_floor_has_its_messages_taken(certificates: Certificates, compiled: Path, security: str) -> None:
    async with SinkProcess(certificates, security=security) as sink:
        floor = prepare_floor(compiled, sink, certificates, BenchOptions(security=security, concurrent=5))
        measured = floor.measure(0.1, size=789)
        counts = await sink.counts()
    assert floor.name == bench_floor.CONVERSATION
    assert measured.sends == counts.taken == counts.logged_in > 0
    assert counts.message_bytes == 789
    assert counts.secured == (0 if security == "none" else counts.taken)
    assert measured.cpu_ms > 0


@needs_compiler
async def test_a_floor_that_is_refused_is_an_error(certificates: Certificates, compiled: Path) -> None:
    async with SinkProcess(certificates, security="STARTTLS", refuses=True) as sink:
        floor = prepare_floor(compiled, sink, certificates, BenchOptions(concurrent=2))
        with pytest.raises(WarmupdError, match="the floor failed"):
            floor.measure(0.1, size=789)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
async def test_without_a_compiler_the_handshake_alone_is_the_floor(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _take_away(monkeypatch, "cc")
    async with SinkProcess(certificates, security="TLS") as sink:
        floor = prepare_floor(tmp_path, sink, certificates, BenchOptions(security="TLS"))
        measured = floor.measure(1, size=789)
    assert (floor.name, floor.why) == (bench_floor.HANDSHAKE, "there is no C compiler (cc)")
    assert measured.sends > 0
    assert measured.cpu_ms > 0


async def test_without_both_the_floor_says_why_it_is_missing(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _take_away(monkeypatch, "cc", "openssl")
    async with SinkProcess(certificates, security="TLS") as sink:
        floor = prepare_floor(tmp_path, sink, certificates, BenchOptions(security="TLS"))
    assert floor == Floor(why="there is no C compiler (cc)")


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        ("sleep 9", "it could not be compiled: cc did not end within 0 seconds"),
        (': > "$5"', "programs in .* cannot be run"),
    ],
    ids=["a compiler that hangs", "a file system whose programs are not run"],
)
async def test_a_floor_that_cannot_be_made_or_run_says_why(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, why: str
) -> None:
    (made := tmp_path / "cc").write_text(f"#!/bin/sh\n{compiler}\n")
    made.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(bench_floor, "PATIENCE", 0.3 if "sleep" in compiler else 30.0)
    async with SinkProcess(certificates, security="STARTTLS") as sink:
        floor = prepare_floor(tmp_path, sink, certificates, BenchOptions())
    assert not floor.command
    assert re.fullmatch(f"{why}.*", floor.why)


def _take_away(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in programs else real(name))


# -- the report --------------------------------------------------------------------------------------------------------


def report(**said: Any) -> BenchReport:
    """Of three rounds of a second, in which 100, 300 and 200 messages took 0.3 s of CPU time; the floor took 0.5 ms."""
    used = Look(real=1.0, client=0.2, postgres=0.1, sink=0.1, machine=0.5, sends=0.0, failures=0.0, reserves=10.0)
    made = BenchReport(
        options=BenchOptions(),
        rounds=[Round(used=replace(used, sends=number), left=9) for number in (100.0, 300.0, 200.0)],
        floor=Floor(name="a floor"),
        floors=[FloorRound(sends=10, per_second=10.0, cpu_ms=cpu) for cpu in (0.4, 0.5, 0.7)],
        tempo=Tempo(p50=0.1, p99=0.2, reserved_at_once=20.0, settled_at_once=10.0),
        ledger=Ledger(sent=700, returned=0, failed=0),
        sink=SinkCounts(connections=700, secured=700, logged_in=700, taken=700, distinct=700),
        peak_rss_bytes=1,
        loaded_seconds=1.0,
        machine={"file_system": "ext4"},
    )
    return replace(made, **said)


def test_medians_of_the_rounds_are_told_with_their_spread() -> None:
    told = report().as_dict()
    assert (told["sends"], told["seconds"], told["sends_per_second"]) == (600, 3.0, 200.0)
    assert (told["cpu_ms_per_send"], told["spread"]["cpu_ms_per_send"]) == (1.5, [1.0, 3.0])
    assert told["cpu_ms"] == {"client": 1.0, "postgres": 0.5, "sink": 0.5, "rest": 0.5}
    assert (told["floor"]["cpu_ms_per_send"], told["ratio_to_floor"]) == (0.5, 3.0)
    assert told["latency_ms"] == {"p50": 100.0, "p99": 200.0}
    assert told["warnings"] == []


@pytest.mark.parametrize(
    "seen",
    [
        {"ledger": Ledger(sent=0, returned=0, failed=0), "sink": SinkCounts()},
        {"ledger": Ledger(sent=700, returned=0, failed=1)},
        {"sink": SinkCounts(taken=701, distinct=700)},
        {"sink": SinkCounts(taken=699, distinct=699)},
        {"sink": SinkCounts(taken=700, distinct=699)},
    ],
    ids=["nothing was sent", "one failed", "one was taken twice", "one was not taken", "one twice and one not"],
)
def test_it_went_well_only_when_all_was_sent_and_taken_once(seen: dict[str, Any]) -> None:
    assert report().went_well
    assert not report(**seen).went_well


def test_what_spoils_the_figures_is_told() -> None:
    used = replace(report().rounds[0].used, sink=0.9, machine=1.9)
    spoilt = report(
        rounds=[Round(used=used, left=0)],
        ledger=Ledger(sent=700, returned=3, failed=0),
        machine={"file_system": "tmpfs"},
        floors=[],
        floor=Floor(why="there is no C compiler (cc)"),
    )
    words = (
        "the sink used 0.90 cores",
        "others used 0.70 cores",
        "nobody was due",
        "3 reservations",
        "in memory",
        "cc",
    )
    assert all(word in warning for word, warning in zip(words, spoilt.warnings, strict=True))


def test_no_figure_is_cut_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    on = {"file_system": "ext4", "cores": 2, "cpu": "a CPU", "system": "Linux", "python": "3", "openssl": "3"}
    show_sends(report(machine=on))
    seen = VisitBenchReport(
        server="",
        mailboxes=9,
        messages=5,
        costs=[COST],
        details={},
        most_connections=1,
        peak_rss_bytes=1,
        failed=0,
        others=0.5,
    )
    show_visits(seen)
    told = capsys.readouterr().out
    assert "…" not in told
    assert "2 300 1.000 0.667 0.333 0.333 0.333 30" in " ".join(told.split())
    assert "note: others used 0.50 cores" in told
    assert "everywhere 5 1,234 12.50" in " ".join(told.split())


# -- visits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failed", [0, 1])
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_visits_are_told_when_asked_for_and_fail_when_one_did(
    monkeypatch: pytest.MonkeyPatch, failed: int, words: list[str]
) -> None:
    asked: list[VisitBenchOptions] = []

    async def measured(options: VisitBenchOptions) -> VisitBenchReport:
        asked.append(options)
        return VisitBenchReport(
            server="a model",
            mailboxes=options.visited,
            messages=5,
            costs=[COST],
            details={},
            most_connections=1,
            peak_rss_bytes=2**20,
            failed=failed,
        )

    monkeypatch.setattr(visit_bench, "run_visit_bench", measured)
    monkeypatch.setattr(cli, "_run", asyncio.run)  # without its own logs and signals
    done = CliRunner().invoke(app, ["bench", "--visits", "--mailboxes", "7", *words], env={"COLUMNS": "200"})
    assert done.exit_code == failed
    assert (asked[0].visited, asked[0].rounds, asked[0].concurrent) == (7, 5, 50)
    if words:
        assert json.loads(done.output)["failed"] == failed
    else:
        assert f"{failed} visits failed" in done.output


@pytest.mark.parametrize("words", [["--seconds", "3"], ["--no-tls"], ["--implicit"], ["--no-floor"]])
def test_what_says_nothing_of_visits_is_refused_with_them(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["bench", "--visits", *words])
    assert isinstance(done.exception, UsageError)
