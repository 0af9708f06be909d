"""Imports point one way, time and chance are arguments, and the test of it sees what it should."""

from pathlib import Path

import pytest

from tests.house.walls import breaches

PACKAGE = Path(__file__).parents[2] / "warmupd"


def test_walls_stand() -> None:
    assert breaches(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("store/jobs.py", "from warmupd.mail.smtp import deliver"),
        ("mail/smtp.py", "from warmupd import store"),
        ("mail/smtp.py", "from ..store import jobs"),
        ("mail/smtp.py", "from .. import store"),
        ("mail/smtp.py", "import warmupd.config"),
        ("core/heap.py", "from warmupd.errors import x; from warmupd.store.jobs import y"),
        ("clock.py", "from warmupd.core import job"),
        ("daemon/shard.py", "def later():\n    import asyncpg"),
        ("http/api.py", "from aiosmtplib.errors import SMTPException"),
        ("sandbox/demo.py", "import importlib; importlib.import_module('warmupd.cli.main')"),
        ("http/api.py", "from warmupd.sandbox.demo import run"),
        ("errors.py", "if TYPE_CHECKING:\n    from warmupd.clock import Clock"),
        ("surprise/room.py", "x = 1"),
        ("daemon/shard.py", "from datetime import datetime as d\nd.now(tz)"),
        ("store/slots.py", "import datetime as dt\ndt.date.today()"),
        ("store/slots.py", "import time\nclock = time.time"),
        ("daemon/shard.py", "from asyncio import sleep\nasync def f(): await sleep(1)"),
        ("core/pacing.py", "import random\nrandom.uniform(1, 2)"),
        ("core/pacing.py", "from random import choice\nchoice([1])"),
        ("core/pacing.py", "async def f(): pass"),
        ("core/pacing.py", "import os"),
        ("core/pacing.py", "open('x')"),
    ],
)
def test_breach_is_seen(tmp_path: Path, file: str, line: str) -> None:
    source = tmp_path / "warmupd" / file
    source.parent.mkdir(parents=True)
    source.write_text(line)
    (found,) = breaches(tmp_path / "warmupd")
    assert found.startswith(f"warmupd/{file}:")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            "daemon/shard.py",
            "from warmupd.store.jobs import reserve; from . import sender; from warmupd import __version__",
        ),
        ("cli/run.py", "from warmupd.sandbox.demo import run"),
        ("store/slots.py", "import asyncpg, random\nrandom.Random(1).random()\nfrom random import Random\nRandom(1)"),
        ("daemon/shard.py", "import asyncio\nasync def f(): await asyncio.sleep(0)"),
        ("mail/smtp.py", "import time; time.time()"),
        ("daemon/shard.py", "def f(clock, random):\n    random.choice([1]); return clock.now()"),
    ],
)
def test_open_door_is_no_breach(tmp_path: Path, file: str, line: str) -> None:
    source = tmp_path / "warmupd" / file
    source.parent.mkdir(parents=True)
    source.write_text(line)
    assert breaches(tmp_path / "warmupd") == []
