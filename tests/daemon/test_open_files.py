"""Connections are files, and those are few: what is bounded by them, and whose trouble it is when none is left."""

import errno
import os
import resource
import subprocess
import sys
import textwrap

import pytest

from tests.daemon.model import OK, fails
from tests.daemon.rig import BEGIN, Rig, after
from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.core.outcome import OutcomeKind, classify
from warmupd.core.reply import Phase, Trouble
from warmupd.core.verdicts import Action
from warmupd.daemon import open_files
from warmupd.daemon.config_check import check_config
from warmupd.daemon.permits import Permits
from warmupd.mail.account import Endpoint, Security
from warmupd.mail.imap_errors import ImapStarved, connect_trouble
from warmupd.mail.smtp_line import reply_from_error

STARVED = fails(Trouble.EXHAUSTED)
PLACE = Endpoint(host="mx.test", port=465, security=Security.TLS, username="ann", password="hush")


def test_those_that_hang_and_those_that_begin_are_bounded_together() -> None:
    clock = VirtualClock(BEGIN)
    permits = Permits(clock, bound=5)
    for number in range(4):
        permits.enter(number, "mx.test")
    clock.advance(60)
    assert permits.room(20) == 1
    permits.leave(0)
    assert permits.room(20) == 2


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_want_of_files_speaks_against_no_server(number: int) -> None:
    error = OSError(number, os.strerror(number))
    reply = reply_from_error(Phase.CONNECT, error, PLACE, seconds=1.0)
    outcome = classify(reply)
    assert reply.trouble is Trouble.EXHAUSTED
    assert (outcome.kind, outcome.action, outcome.reason) == (OutcomeKind.RETURNED, Action.NONE, "no_files")
    assert isinstance(connect_trouble("mx.test", error, ()), ImapStarved)


async def test_sends_for_which_no_file_was_left_follow_soon(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=3, end_hour=8)
    rig.server.rule = lambda account, message: OK if rig.clock.now() >= after(6.3) else STARVED
    async with rig.running() as worker:
        await rig.until(after(6.3))
        assert not worker.shard.schedule.holds._shut
        await rig.until(after(8.5))
    assert await rig.world.sent(boxes) == [3] * 2


def in_a_process(code: str) -> str:
    """What it prints; its limits are its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_limit_is_raised_as_far_as_may_be() -> None:
    said = in_a_process("""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 900))
        from warmupd.daemon.open_files import raise_limit, share
        print(share(), raise_limit(), share())
    """)
    assert said == "90 900 390"


def test_name_that_no_file_was_left_to_ask_for_is_not_called_wrong() -> None:
    said = in_a_process("""
        import asyncio, resource
        from warmupd.mail.hosts import HostPolicy, resolve_public
        async def ask():
            try:
                await resolve_public("mx.example.test", 465, HostPolicy())
            except Exception as error:
                return type(error).__name__, error.errno
        async def main():
            await asyncio.get_running_loop().run_in_executor(None, int)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 900))
            return await ask()
        print(asyncio.run(main()))
    """)
    assert said == f"('OSError', {errno.EMFILE})"


def test_doctor_tells_of_a_limit_that_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    said = [one for one in check_config(Config.isolated({"sending.max_concurrent": 50})) if one.check == "files"]
    assert [one.text for one in said] == [
        "here 1024 files may be open, and up to 1220 could be: 1100 conversations with mail servers"
    ]
    assert said[0].remedy == open_files.REMEDY
    assert not [one for one in check_config(Config.isolated({})) if one.check == "files"]
