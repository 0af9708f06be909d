"""The storm is the same in every run, near its shares, and made of what the daemon has to understand."""

import asyncio
import json
import smtplib
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from tests.sandbox.clients import ACCOUNTS, ANNA, BERT, away, letter, smtp, submit
from warmupd.core.outcome import Phase, SmtpReply, classify
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context
from warmupd.sandbox.mailserver import SandboxMailServer, SandboxProcess
from warmupd.sandbox.record import Refused, Taken
from warmupd.sandbox.weather import CALM, FAIR, LATE, STORM, Event, Weather

CUTS = {"cut_before_body": "network", "cut_in_body": "unknown", "cut_after_dot": "unknown"}  # as the daemon sees them


def only(event: Event) -> Weather:
    """Weather in which this befalls every attempt."""
    return Weather(name="one", events=(replace(event, share=1.0, from_attempt=1),))


def days_of(weather: Weather, *, seed: int = 1, accounts: int = 200, attempts: int = 34) -> list[Event | None]:
    return [weather.event(seed, f"{who}@x.test", 0, n) for who in range(accounts) for n in range(1, attempts + 1)]


def test_a_tenth_of_the_storms_attempts_is_struck_each_event_by_its_share() -> None:
    struck = [event for event in days_of(STORM) if event]
    assert len(struck) / (200 * 34) == pytest.approx(0.1, abs=0.01)
    counts = Counter(event.name for event in struck)
    for name in {event.name for event in STORM.events} - {"daily_limit"}:
        share = sum(event.share for event in STORM.events if event.name == name)
        assert counts[name] / (200 * 34) == pytest.approx(share, abs=0.004)


def test_the_same_seed_brings_the_same_storm_and_another_does_not() -> None:
    first, again, other = (days_of(STORM, seed=seed, accounts=10) for seed in (1, 1, 2))
    assert first == again != other


def test_a_daily_limit_is_met_late_in_the_day_and_not_on_each() -> None:
    at = [n % 34 + 1 for n, event in enumerate(days_of(STORM)) if event and event.name == "daily_limit"]
    assert min(at) >= LATE
    assert 1 <= len(at) <= 0.1 * 200


def test_calm_and_fair_weather_strike_nobody() -> None:
    assert not any(days_of(CALM) + days_of(FAIR))
    assert (CALM.shares, CALM.away_seconds, FAIR.away_seconds) == ({}, 0.0, 0.0)


def test_weather_goes_through_json_unchanged() -> None:
    assert Weather.from_json(json.loads(json.dumps(STORM.as_json()))) == STORM


@dataclass
class Mail:
    sender: str = ANNA
    recipient: str = BERT
    content: bytes = letter()


async def deliver(server: SandboxMailServer) -> SmtpReply:
    """What the daemon's own client makes of it."""
    smtp_end, imap_end = (
        Endpoint(host="127.0.0.1", port=port, security=security, username=ANNA, password=ACCOUNTS[ANNA])
        for port, security in ((server.smtp_port, Security.STARTTLS), (server.imap_port, Security.TLS))
    )
    account = Account(mailbox_id=1, address=ANNA, display_name="", smtp=smtp_end, imap=imap_end)
    context = client_context(str(server.ca_file))
    sender = SmtpSender(context=context, policy=HostPolicy(allow_hosts=("127.0.0.1",)))
    try:
        return await sender.deliver(account, Mail(), may_proceed=lambda: None)
    finally:
        await sender.close()


@pytest.mark.parametrize("event", STORM.events, ids=lambda event: f"{event.name}-{event.phase}-{event.reply[:9]}")
async def test_the_daemon_understands_each_event_as_what_it_is(event: Event) -> None:
    async with SandboxMailServer(accounts=ACCOUNTS, weather=only(event)) as server:
        reply = await deliver(server)
        assert (reply.phase, str(reply.code or "")) == (event.phase, event.reply[:3])
        assert classify(reply).reason == CUTS.get(event.name, event.name)
        [entry] = [entry for entry in server.record if isinstance(entry, Taken | Refused)]
        assert (entry.event, entry.code) == (event.name, reply.code)
        assert isinstance(entry, Taken) == event.taken


@pytest.mark.parametrize(("phase", "taken"), [(Phase.DATA, False), (Phase.BODY, False), (Phase.BODY, True)])
async def test_a_cut_is_felt_at_once_from_the_process_too(phase: Phase, taken: bool) -> None:
    event = Event(name="cut", phase=phase, share=1.0, taken=taken)
    async with SandboxProcess(accounts=ACCOUNTS, weather=only(event)) as server:
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Connection unexpectedly closed$"):
            await away(submit, server, letter())
        assert len(server.record().taken) == taken
        assert [refused.phase for refused in server.record().refused] == ([] if taken else [phase])


async def test_a_421_closes_the_connection() -> None:
    def talk() -> tuple[int, bytes]:
        client = smtp(server)
        code, _ = client.docmd("MAIL", f"FROM:<{ANNA}>")
        assert client.sock is not None
        with client.sock as line:
            return code, line.recv(1)

    weather = only(Event(name="rate", phase=Phase.MAIL, share=1.0, reply="421 4.7.0 Too fast"))
    async with SandboxMailServer(accounts=ACCOUNTS, weather=weather) as server:
        assert await away(talk) == (421, b"")


async def test_attempts_are_counted_anew_each_day() -> None:
    """A limit from the third attempt on: nobody meets it who tries twice a day."""
    weather = Weather(
        name="limit", events=(Event(name="x", phase=Phase.RCPT, share=1.0, reply="550 5.4.5 Limit", from_attempt=3),)
    )
    async with SandboxMailServer(accounts=ACCOUNTS, weather=weather) as server:
        codes = [(await away(submit, server, letter()))[0] for _ in range(3)]
        await server.begin(day_seconds=3600)
        await asyncio.sleep(0)  # for the day to begin
        codes.append((await away(submit, server, letter()))[0])
    assert codes == [250, 250, 550, 250]
