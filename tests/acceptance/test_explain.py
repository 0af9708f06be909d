"""`warmupd explain` at the terminal: the first reason, what to do, and the same facts as JSON."""

import asyncio

import pytest

from tests.acceptance.conftest import Program
from warmupd.store.database import Database

pytestmark = pytest.mark.acceptance

ANNA = "anna@north.test"
CONDITIONS = {  # what is done to the rows: the words at the top, and what the owner is to do
    "UPDATE mailboxes SET state = 'PAUSED', state_reason = 'holidays'": (
        "it is paused: holidays",
        "`warmupd mailbox resume` ends that",
    ),
    "UPDATE mailboxes SET state = 'AUTH_FAILED', state_reason = '535 no', last_error = '535 no',"
    " last_remedy = 'check the password'": ("its login is refused: 535 no", "check the password"),
    "UPDATE mailboxes SET state = 'SUSPENDED', health = 'SUSPENDED', state_reason = '90 % in spam',"
    " state_until = now() + interval '2 days'": (
        "it is suspended: 90 % in spam, and no worker holds its slot",
        "start one with `warmupd run`",
    ),
    "UPDATE mailboxes SET state = 'ACTIVE', health = 'HEALTHY', state_reason = '', state_until = NULL": (
        "no worker holds its slot",
        "start one with `warmupd run`",
    ),
    "UPDATE settings SET sending_stopped = true": ("sending is stopped for the whole fleet", "`warmupd fleet start`"),
}


@pytest.fixture
async def enrolled(installed: Program, servers: list[str], database_url: str) -> Program:
    """On a server that runs already: with the embedded one each command would start its own."""
    installed.environment["DATABASE_URL"] = database_url
    user = ("user", "add", "owner@example.com", "--timezone", "UTC")
    mailbox = ("mailbox", "add", ANNA, "--user", "owner@example.com", "--no-check", *servers, "--password-stdin")
    for command in (user, mailbox):
        done = await asyncio.to_thread(installed, *command, stdin="pw")
        assert done.returncode == 0, done.stderr
    return installed


async def test_first_line_says_why_and_the_second_what_to_do(enrolled: Program, db: Database) -> None:
    for statement, (text, remedy) in CONDITIONS.items():
        await db.execute(statement)
        done = await asyncio.to_thread(enrolled, "explain", ANNA)
        why, what_to_do, *_ = done.stdout.splitlines()
        assert why == f"{ANNA}: {text}."
        assert what_to_do.startswith(f"What to do: {remedy}")
    document = await asyncio.to_thread(enrolled.json, "explain", ANNA)
    assert document["verdict"]["text"] == text


async def test_unknown_mailbox_is_an_error_with_its_remedy(enrolled: Program) -> None:
    done = await asyncio.to_thread(enrolled, "explain", "nobody@north.test")
    assert done.returncode == 1
    assert "no mailbox nobody@north.test is enrolled" in done.stderr
    assert "`warmupd mailbox list` shows those that are" in done.stderr
