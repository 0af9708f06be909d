"""The first real run, as the README tells it: from nothing to mail that is sent, explained, paused and drained."""

import asyncio
import json
import signal
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import Daemon, Program

pytestmark = pytest.mark.acceptance


@pytest.fixture
async def enrolled(installed: Program, servers: list[str], noon_zone: str) -> Program:
    """With a user and two mailboxes, both on their second day and so with half a day to catch up."""

    def enrol(address: str, password: str) -> None:
        add = ("mailbox", "add", address, "--user", "owner@example.com", "--password-stdin", *servers)
        done = installed(*add, stdin=password)
        assert done.returncode == 0, done.stderr

    done = await asyncio.to_thread(installed, "user", "add", "owner@example.com", "--timezone", noon_zone)
    assert done.returncode == 0, done.stderr
    await asyncio.to_thread(enrol, "anna@north.test", "pw-anna")
    await asyncio.to_thread(enrol, "bert@south.test", "pw-bert")
    await asyncio.to_thread(installed.execute, "UPDATE mailboxes SET ramp_days = 1")
    return installed


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


async def test_mailboxes_send_are_explained_paused_and_drained(
    enrolled: Program, noon_zone: str, start: Callable[[], Daemon]
) -> None:
    daemon = start()
    await asyncio.to_thread(daemon.wait_for, "send.sent")

    async with asyncio.timeout(10):  # outcomes are written a tenth of a second after their line, many at once
        while not (status := await asyncio.to_thread(enrolled.json, "status"))["today"]["sent"]:
            pass
    assert status["mailboxes"] == {"ACTIVE": 2}
    assert status["slots_held"] == 64

    address = status["workers"][0]["http_address"]
    assert json.loads(await asyncio.to_thread(fetched, f"http://{address}/healthz")) == {"status": "ok"}
    assert json.loads(await asyncio.to_thread(fetched, f"http://{address}/readyz"))["ready"]
    assert 'warmup_emails_sent_total{kind="WARMUP"}' in await asyncio.to_thread(fetched, f"http://{address}/metrics")

    explained = await asyncio.to_thread(enrolled.json, "explain", "anna@north.test")
    assert explained["budget"]["factors"][0] == ["ramp", 2000]
    assert explained["verdict"]["next_send_at"] is not None
    assert explained["zone"] == noon_zone
    assert explained["holder"]["http_address"] == address

    stopped = await asyncio.to_thread(enrolled, "fleet", "stop")
    assert stopped.stdout == "sending is stopped\n"
    explained = await asyncio.to_thread(enrolled.json, "explain", "anna@north.test")
    assert explained["verdict"]["why"] == "fleet_stopped"
    assert (await asyncio.to_thread(enrolled, "fleet", "start")).stdout == "sending is on\n"

    paused = await asyncio.to_thread(enrolled, "mailbox", "pause", "anna@north.test")
    assert paused.stdout.startswith("anna@north.test: ACTIVE -> PAUSED, keeps its ramp of ")
    explained = await asyncio.to_thread(enrolled.json, "explain", "anna@north.test")
    assert explained["verdict"]["why"] == "paused"
    assert "resume" in explained["verdict"]["remedy"]

    daemon.send(signal.SIGINT)
    assert await asyncio.to_thread(daemon.end) == 0
    after = await asyncio.to_thread(enrolled.json, "status")
    assert after["slots_held"] == 0
    assert "PROCESSING" not in {jobs["status"] for jobs in after["jobs"]}


async def test_sighup_takes_limits_over_and_keeps_the_old_ones_when_the_file_is_wrong(
    installed: Program, start: Callable[[], Daemon]
) -> None:
    daemon = start()
    await asyncio.to_thread(daemon.wait_for, "worker.started")
    installed.set("limits", "global_per_hour = 77")
    installed.set("worker", "lease_seconds = 31")
    daemon.send(signal.SIGHUP)
    reloaded = await asyncio.to_thread(daemon.wait_for, "config.reloaded")
    assert "limits.global_per_hour" in reloaded["taken_over"]
    assert reloaded["need_restart"] == ["worker.lease_seconds"]

    installed.set("limits", "global_per_hours = 5")
    daemon.send(signal.SIGHUP)
    refused = await asyncio.to_thread(daemon.wait_for, "config.refused")
    assert "did you mean limits.global_per_hour?" in refused["why"]
    daemon.send(signal.SIGTERM)
    assert await asyncio.to_thread(daemon.end) == 0


async def test_running_worker_lets_go_of_its_slots_and_claims_the_new_ones(
    installed: Program, start: Callable[[], Daemon]
) -> None:
    installed.set("worker", "lease_seconds = 2")
    daemon = start()
    for event in ("lease.claimed", "worker.started"):
        assert (await asyncio.to_thread(daemon.wait_for, event))["slots"] == 64
    assert (await asyncio.to_thread(installed, "fleet", "resize", "8")).stdout == "slots: 64 -> 8\n"
    assert len((await asyncio.to_thread(daemon.wait_for, "lease.lost"))["slots"]) == 64
    assert (await asyncio.to_thread(daemon.wait_for, "lease.claimed"))["slots"] == 8


async def test_doctor_finds_nothing_to_fail_while_the_daemon_runs(
    enrolled: Program, start: Callable[[], Daemon]
) -> None:
    daemon = start()
    await asyncio.to_thread(daemon.wait_for, "worker.started")
    findings = await asyncio.to_thread(enrolled.json, "doctor")
    grades = {finding["check"]: finding["grade"] for finding in findings}
    assert {"login", "credentials", "workers", "limits", "partitions", "schema"} <= grades.keys()
    assert [finding for finding in findings if finding["grade"] == "fail"] == []
    assert grades["login"] == grades["workers"] == "ok"
