"""Repeated troubles: the first lines of a minute are written, then how many more there were; facts always are."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from tests.daemon.rig import BEGIN
from warmupd.clock import SystemClock, VirtualClock
from warmupd.core.job import JobKind
from warmupd.daemon import log_limit
from warmupd.daemon.events import Events
from warmupd.daemon.log_limit import MOST, Limit
from warmupd.daemon.logs import name_process, set_up_logs, tell_left_out
from warmupd.daemon.metrics import Metrics

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(BEGIN)


@pytest.fixture
def lines(clock: VirtualClock) -> Iterator[Lines]:
    """What has been written as JSON since it was last asked."""
    before, stream = structlog.get_config(), io.StringIO()
    set_up_logs(level="info", form="json", stream=stream, clock=clock)

    def written() -> list[dict[str, Any]]:
        told = [json.loads(line) for line in stream.getvalue().splitlines()]
        stream.seek(0)
        stream.truncate()
        return told

    yield written
    set_up_logs(level="info", form="json", stream=io.StringIO(), clock=SystemClock())
    structlog.configure(**before)


def fail(times: int, mailbox: int = 1, **fields: Any) -> None:
    for number in range(times):
        structlog.get_logger().warning("visit.failed", mailbox=mailbox + number, why=f"trouble {number}", **fields)


def test_first_lines_of_a_minute_are_written_and_then_how_many_more_there_were(
    lines: Lines, clock: VirtualClock
) -> None:
    fail(MOST + 25)
    assert [line["mailbox"] for line in lines()] == list(range(1, MOST + 1))
    clock.advance(59.9)
    tell_left_out()
    assert lines() == []
    clock.advance(0.1)
    tell_left_out()
    (told,) = lines()
    assert (told["event"], told["of"], told["lines"], told["within_seconds"]) == (
        "log.left_out",
        "visit.failed",
        25,
        60,
    )
    fail(1)
    assert [line["event"] for line in lines()] == ["visit.failed"]


def test_next_line_of_any_kind_tells_of_minutes_that_are_over(lines: Lines, clock: VirtualClock) -> None:
    fail(MOST + 1)
    lines()
    clock.advance(60)
    structlog.get_logger().warning("host.shut", host="mx.test", seconds=60)
    assert [line["event"] for line in lines()] == ["log.left_out", "host.shut"]


def test_kinds_are_counted_apart_and_mailboxes_are_none(lines: Lines) -> None:
    for reason in ("rate", "spam", "rate"):
        fail(MOST, reason=reason)
    reasons = [line["reason"] for line in lines()]
    assert (reasons.count("rate"), reasons.count("spam")) == (MOST, MOST)


def test_facts_that_count_are_never_left_out_and_news_neither(lines: Lines, clock: VirtualClock) -> None:
    events = Events(Metrics(clock))
    for number in range(3 * MOST):
        events.settlements_lost(1)
        events.sent(kind=JobKind.WARMUP, job=number, seconds=0.1)
    assert len(lines()) == 6 * MOST


def test_requests_that_are_refused_are_limited_and_others_are_not(lines: Lines) -> None:
    for status in (200, 401):
        for _ in range(2 * MOST):
            structlog.get_logger().info("http.answered", method="GET", route="/", status=status, seconds=0.1)
    statuses = [line["status"] for line in lines()]
    assert (statuses.count(200), statuses.count(401)) == (2 * MOST, MOST)


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_limit, "MOST_KINDS", 10)
    told: list[tuple[str, str, int]] = []
    limit = Limit(lambda: 0.0, lambda *line: told.append(line), most=2)
    passed = sum(limit.passes({"event": "http.failed", "route": f"/{n // 5}"}) for n in range(5 * 1000))
    assert len(limit._minutes) <= 10
    assert told[0] == ("http.failed", "/0", 3)
    assert passed == 2 * 1000
    limit.tell_all()
    assert len(told) == 1000


def test_end_of_a_worker_tells_what_was_left_out(lines: Lines, clock: VirtualClock) -> None:
    fail(MOST + 7)
    Events(Metrics(clock)).stopped()
    last, end = lines()[-2:]
    assert (last["lines"], end["event"]) == (7, "worker.stopped")


def test_another_level_or_form_does_not_begin_the_count_anew(lines: Lines) -> None:
    fail(MOST)
    set_up_logs(level="warning", form="json", stream=(other := io.StringIO()))
    fail(3)
    assert other.getvalue() == ""


def test_libraries_come_out_in_the_same_form_and_limited_too(lines: Lines) -> None:
    name_process(worker="mail1:812", shard=3)
    try:
        raise ValueError("for anna@north.test, by https://me:pass,word@hook.test/x")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("it failed for %s", "bert@south.test")
    logging.getLogger("httpx").info("HTTP Request: POST https://hook.test/token")
    for _ in range(2 * MOST):
        logging.getLogger("asyncio").warning("slow")
    first, *more = lines()
    name_process(worker="", shard="")
    assert (first["event"], first["level"], first["library"]) == ("library.warned", "error", "uvicorn.error")
    assert (first["worker"], first["shard"], first["says"]) == ("mail1:812", 3, "it failed for [address]")
    assert first["exception"].endswith("ValueError: for [address], by https://[login]@hook.test/x")
    assert [line["library"] for line in more] == ["asyncio"] * MOST


def test_lists_and_errors_show_no_address_either(lines: Lines) -> None:
    structlog.get_logger().info(
        "user.erased", rows=["a@north.test"], user={"of": ("b@north.test",)}, why=ValueError("c@d")
    )
    (line,) = lines()
    assert (line["rows"], line["user"], line["why"]) == (["[address]"], {"of": ["[address]"]}, "ValueError: [address]")
