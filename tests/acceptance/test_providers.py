"""Enrolling without naming servers, and the check of a domain: with a name server on loopback."""

import asyncio
import json

import pytest

from tests.acceptance.conftest import Program
from tests.mail.name_server import Zones, name_server, text

pytestmark = pytest.mark.acceptance

ANNA = "anna@north.test"
OWNER = ("--user", "admin@example.com")
ZONES: Zones = {
    ("north.test", "MX"): ["10 mx1.mail.ovh.net."],
    ("north.test", "TXT"): [text("v=spf1 include:mx.ovh.com ~all")],
    ("mx.ovh.com", "TXT"): [text("v=spf1 ptr:mail-out.ovh.net ~all")],
    ("south.test", "MX"): ["10 mail.south.test."],
}


async def add(program: Program, address: str, *options: str) -> str:
    """Enrol without a check; the servers that it is shown with."""
    words = ("mailbox", "add", address, *OWNER, "--no-check", "--password-stdin", *options)
    done = await asyncio.to_thread(program, *words, stdin="pw")
    assert done.returncode == 0, done.stderr
    shown = (await asyncio.to_thread(program.json, "mailbox", "show", address))["settings"]
    smtp, imap = (f"{shown[f'{kind}_host']}:{shown[f'{kind}_port']}" for kind in ("smtp", "imap"))
    return f"{shown['provider']} {smtp} {shown['smtp_security']} {imap} {shown['imap_username']}"


async def test_servers_come_from_the_provider_that_the_mx_names(initialised: Program) -> None:
    async with name_server(ZONES) as server:
        initialised.set("dns", f'servers = ["{server.address}"]')
        assert await add(initialised, ANNA) == f"ovh ssl0.ovh.net:465 TLS ssl0.ovh.net:993 {ANNA}"
        own = await add(initialised, "bert@south.test", "--imap-host", "imap.south.test", "--smtp-port", "587")
        assert own == "own mail.south.test:587 STARTTLS imap.south.test:993 bert@south.test"
        known = await add(initialised, "carl@web.de")
        assert known == "webde smtp.web.de:587 STARTTLS imap.web.de:993 carl"
        forced = await add(initialised, "dora@north.test", "--provider", "fastmail")
        assert forced == "fastmail smtp.fastmail.com:465 TLS imap.fastmail.com:993 dora@north.test"
        assert not any("web.de" in asked for asked in server.asked)


async def test_a_domain_that_tells_nothing_needs_its_servers_named(initialised: Program) -> None:
    async with name_server(ZONES, silent=["east.test"]) as server:
        initialised.set("dns", f'servers = ["{server.address}"]\ntimeout_seconds = 0.2')
        for address in ("a@west.test", "a@east.test"):
            words = ("mailbox", "add", address, *OWNER, "--no-check", "--password-stdin")
            done = await asyncio.to_thread(initialised, *words, stdin="pw")
            assert done.returncode == 2
            assert "--smtp-host and --imap-host missing" in done.stderr


async def test_check_and_doctor_tell_what_a_domain_lacks(installed: Program, servers: list[str]) -> None:
    words = ("mailbox", "add", ANNA, *OWNER, "--password-stdin", *servers)
    assert (await asyncio.to_thread(installed, *words, stdin="pw-anna")).returncode == 0
    await asyncio.to_thread(installed, "mailbox", "set", ANNA, "--provider", "ovh")
    async with name_server(ZONES) as server:
        installed.set("dns", f'servers = ["{server.address}"]')
        checked = await asyncio.to_thread(installed, "mailbox", "check", ANNA, "--json")
        logins_only = await asyncio.to_thread(installed, "mailbox", "check", ANNA, "--no-dns")
        doctor = await asyncio.to_thread(installed, "doctor")
    (told,) = json.loads(checked.stdout)
    assert (told["ok"], checked.returncode, logins_only.returncode) == (True, 1, 0)
    grades = {one["check"]: one["grade"] for one in told["domain"]}
    assert grades == {"mx": "ok", "spf": "ok", "dkim": "warn", "dmarc": "fail"}
    assert "fail  domain       north.test dmarc: north.test has no DMARC record" in doctor.stdout
