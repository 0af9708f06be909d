"""Letting people and programs in from the command line, and keeping them out again."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  opened_console is a fixture
from warmupd.http.bearer import PREFIX, token_hash
from warmupd.store.database import Database

pytestmark = pytest.mark.acceptance

TOKEN = ("user", "token", OWNER)
NAMED = (*TOKEN, "--name", "nightly report")
VERSION = f"SELECT credentials_version FROM users WHERE email = '{OWNER}'"
SECRET = "a secret of the tests that has more than thirty-two bytes"


def fetched(console: Console, query: str) -> Any:
    """What the database says."""

    async def run() -> Any:
        async with await Database.open(console.url, pool_size=1, application_name="tests") as db:
            return await db.fetchval(query)

    return asyncio.run(run())


@pytest.fixture
def signing(console: Console) -> Console:
    """With a secret to sign by."""
    console.file.write_text(f'{console.file.read_text()}\n[auth]\nsecret = "{SECRET}"\n')
    return console


def test_token_is_printed_alone(signing: Console) -> None:
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", signing.did(*TOKEN))


def test_token_needs_a_secret(console: Console) -> None:
    done = console(*TOKEN)
    assert done.returncode == 2
    assert "auth.secret is not set" in done.stderr
    assert "openssl rand" in done.stderr


def test_service_token_is_printed_once_and_listed_without_its_secret(console: Console) -> None:
    printed = console.did(*NAMED, "--scope", "read", "--scope", "mailboxes", "--days", "90").strip()
    assert printed.startswith(PREFIX)
    assert fetched(console, "SELECT token_hash FROM service_tokens") == token_hash(printed)
    (listed,) = json.loads(console.did("user", "tokens", OWNER, "--json"))
    assert (listed["name"], listed["scopes"]) == ("nightly report", ["read", "mailboxes"])
    assert printed not in console.did("user", "tokens")


def test_revoked_token_is_listed_only_when_asked_for(console: Console) -> None:
    console.did(*NAMED)
    assert console.did("user", "revoke", OWNER, "--name", "Nightly Report") == "revoked Nightly Report\n"
    assert json.loads(console.did("user", "tokens", "--json")) == []
    assert len(json.loads(console.did("user", "tokens", "--revoked", "--json"))) == 1
    assert "has no token" in console.refused("user", "revoke", OWNER, "--name", "nightly report")


def test_all_that_lets_in_is_ended_at_once(signing: Console) -> None:
    signing.did(*NAMED)
    before = fetched(signing, VERSION)
    signing.did("user", "revoke", OWNER, "--all")
    assert json.loads(signing.did("user", "tokens", "--json")) == []
    assert fetched(signing, VERSION) == before + 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*TOKEN, "--days", "3"), "give it a --name"),
        ((*NAMED, "--scope", "all"), "choose among read, mailboxes, admin"),
        ((*NAMED, "--scope", "admin"), "only an admin"),
        ((*NAMED, "--days", "0"), "1 to 3650 days"),
        (("user", "token", "nobody@example.com", "--name", "x"), "there is no user"),
        (("user", "revoke", OWNER), "say which"),
        (("user", "reset-link", "nobody@example.com"), "warmupd user invite"),
        (("user", "invite", OWNER), "there is a user"),
        (("user", "invite", "nobody"), "nobody"),
        (("user", "invite", "new@example.com", "--plan", "none"), "there is no plan none"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(console: Console, arguments: tuple[str, ...], told: str) -> None:
    assert told in console.refused(*arguments)


@pytest.mark.parametrize(
    ("command", "path"), [(("invite", "new@example.com"), "/invite/"), (("reset-link", OWNER), "/reset/")]
)
def test_link_is_printed_where_there_is_no_relay(console: Console, command: tuple[str, ...], path: str) -> None:
    told = console.did("user", *command)
    assert "no relay is set" in told
    (link,) = re.findall(r"http://127\.0\.0\.1:3000(\S+)", told)
    assert link.startswith(path)
    assert fetched(console, "SELECT token_hash FROM links WHERE NOT mailed") == token_hash(link.rpartition("/")[2])
    again = json.loads(console.did("user", *command, "--json", "--print"))
    assert (again["mailed"], again["link"] != "") == (False, True)
