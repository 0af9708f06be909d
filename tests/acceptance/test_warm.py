"""A mailbox that is enrolled as already warm starts at its daily minimum and steps to its target."""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import Daemon, Program
from tests.acceptance.console import Console, opened_console  # noqa: F401  it is a fixture
from tests.daemon.conftest import quick, rig  # noqa: F401  they are fixtures
from tests.daemon.rig import BEGIN, Rig, after

pytestmark = pytest.mark.acceptance

WARM, COLD, LOW = "anna@north.test", "bert@south.test", "carl@west.test"


async def test_first_day_of_a_warm_mailbox_has_the_minimum(
    initialised: Program, servers: list[str], noon_zone: str, mail_server: Any, start: Callable[[], Daemon]
) -> None:
    initialised.set("security", f'allow_hosts = ["127.0.0.1"]\nca_file = "{mail_server.ca_file}"')
    initialised.set("quota", "variance = 0.0")
    initialised.set("window", f'start_hour = 0\nend_hour = 24\ntimezone = "{noon_zone}"')
    initialised.set("http", 'listen = "127.0.0.1:0"')
    initialised.set("logging", 'format = "json"\nlevel = "debug"')

    def enrol(address: str, *options: str) -> str:
        add = ("mailbox", "add", address, "--user", "admin@example.com", "--password-stdin", *servers, *options)
        return initialised(*add, stdin=f"pw-{address.partition('@')[0]}").stdout

    told = await asyncio.to_thread(enrol, WARM, "--already-warm")
    assert told.endswith("both servers let us in; its ramp starts at 30 sends a day\n")
    assert (await asyncio.to_thread(enrol, COLD)).endswith("its ramp starts at 5 sends a day\n")
    await asyncio.to_thread(start().wait_for, "day.opened")
    listed = await asyncio.to_thread(initialised.json, "mailbox", "list")
    assert [(one["mailbox"]["address"], one["today"]["day"]["quota"]) for one in listed] == [(WARM, 30), (COLD, 5)]


async def test_warm_mailbox_steps_to_its_target_and_sends_what_it_owes(rig: Rig, console: Console) -> None:  # noqa: F811
    rig.key = console.key

    def enrol() -> None:
        console.add(WARM, "--already-warm")
        console.add(COLD)
        console.add(LOW, "--already-warm")
        console.did("mailbox", "set", LOW, "--target", "12")

    await asyncio.to_thread(enrol)
    await rig.db.execute("UPDATE proofs SET proven_at = $1", BEGIN)
    async with rig.running():
        await rig.until(after(23, days=4))
    days = await rig.db.fetch(
        "SELECT address, quota, sent FROM mailbox_days JOIN mailboxes ON id = mailbox_id ORDER BY day"
    )
    owed = {who: [row["quota"] for row in days if row["address"] == who] for who in (WARM, COLD, LOW)}
    assert owed == {WARM: [30, 33, 36, 39, 40], COLD: [5, 8, 11, 14, 17], LOW: [12] * 5}
    assert [row["sent"] for row in days] == [row["quota"] for row in days]
    assert dt.timedelta(days=4) < rig.clock.now() - BEGIN
