"""The bench of visits: its server talks as one does, and its report counts what was done."""

import asyncio
import os
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from warmupd.sandbox.cpu_time import cpu_seconds, fine_seconds
from warmupd.sandbox.imap_sink_box import SinkBox, chosen_fields
from warmupd.sandbox.imap_sink_process import SinkProcess
from warmupd.sandbox.visit_bench import VisitBenchOptions, run_visit_bench
from warmupd.sandbox.visit_bench_report import Round, Spent, costs_of, details_of, others_of

HEADER = "From: Ann <ann@one.test>\r\nSubject: Plans\r\nMessage-ID: <1@one.test>\r\n"


@pytest.fixture
async def sink() -> AsyncIterator[SinkProcess]:
    async with SinkProcess() as sink:
        yield sink


async def talk(sink: SinkProcess, *lines: str) -> str:
    """What it says to these commands, to one connection."""
    context = ssl.create_default_context(cafile=str(sink.ca_file))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", sink.imap_port, ssl=context, server_hostname="127.0.0.1"
    )
    writer.write("".join(f"{number} {line}\r\n" for number, line in enumerate([*lines, "LOGOUT"])).encode())
    said = await reader.read()
    writer.close()
    return said.decode()


async def test_sink_serves_flags_moves_and_expunges_what_was_planted(sink: SinkProcess) -> None:
    await sink.plant({"ann": {"Junk": [HEADER, HEADER]}})
    said = await talk(
        sink,
        'LOGIN "ann" "any"',
        'LIST "" "*" RETURN (SPECIAL-USE STATUS (UIDNEXT UIDVALIDITY))',
        "SELECT Junk",
        "UID FETCH 1:9 (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID FROM)])",
        "UID STORE 1 +FLAGS (\\Seen)",
        'UID MOVE 1 "INBOX"',
        "UID STORE 2 +FLAGS.SILENT (\\Deleted)",
        "UID EXPUNGE 2",
        "UID SEARCH UID 1:*",
    )
    assert "STATUS Junk (UIDNEXT 3 UIDVALIDITY" in said
    assert said.count("Message-ID: <1@one.test>") == 2
    assert "Subject" not in said
    assert "1 FETCH (UID 1 FLAGS (\\Seen))" in said
    assert "COPYUID 1700000000 1 1]" in said
    assert said.endswith("* SEARCH\r\n8 OK done\r\n* BYE bye\r\n9 OK done\r\n")
    assert (await sink.told())["asked"]["UID STORE"] == 2
    assert cpu_seconds(sink.processes) > 0


def test_cpu_of_the_living_is_exact_and_who_is_gone_has_none() -> None:
    before = time.process_time()
    counted = fine_seconds(os.getpid())
    assert before <= counted <= time.process_time()
    child = subprocess.Popen(["true"])
    child.wait()
    assert fine_seconds(child.pid) == 0.0


def test_uid_sets_name_the_messages_that_are_there() -> None:
    folder = SinkBox().folders["INBOX"]
    assert list(folder.among("1:*,7")) == []
    box = SinkBox()
    assert box.plant("INBOX", [b"", b"", b""]) == [1, 2, 3]
    assert list(box.folders["INBOX"].among("2:*")) == [2, 3]
    assert chosen_fields(HEADER.encode(), frozenset({b"from"})) == b"From: Ann <ann@one.test>\r\n\r\n"


def test_costs_are_medians_a_visit() -> None:
    def lap(client: float) -> Round:
        spent = Spent(client=client, postgres=0.02, server=0.03, machine=client + 0.55, wall=1.0)
        counted = Counter({"LIST": 10})
        return Round(
            kind="empty", visits=10, spent=spent, commands=counted, statements=counted, most_connections=1, resumed=0
        )

    (cost,) = costs_of([lap(0.01), lap(0.05), lap(0.02)])
    assert (cost.client_ms, cost.postgres_ms, cost.visits_per_second, cost.commands) == (2.0, 2.0, 10.0, 1.0)
    assert others_of([lap(0.01), lap(0.05)]) == 0.5
    assert details_of([lap(0.01)]) == {"empty": {"commands": {"LIST": 1.0}, "statements": {"LIST": 1.0}}}


async def test_visits_of_all_kinds_are_measured_and_go_well() -> None:
    report = await run_visit_bench(VisitBenchOptions(visited=6, rounds=1, concurrent=4))
    assert report.failed == 0
    assert {"empty", "everywhere", "new", "open", "file", "steady"} == {one.kind for one in report.costs}
    assert report.engaged["seen"] == 6 * 5 * 3
    assert report.engaged["deleted"] == 6 * 5
    empty = report.as_dict()["visits"]["empty"]
    assert empty["commands"] == 4.0
    assert not [words for words in report.details["empty"]["statements"] if "count(*) FROM mailbox_visits" in words]
    assert report.as_dict()["fsync"]
    assert {one.rounds for one in report.costs} == {1}
    assert empty["client_ms"] > 0 < empty["postgres_ms"]
