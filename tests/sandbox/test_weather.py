"""The storm is the same in every run, misses nothing, and is made of what the daemon has to understand."""

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
from warmupd.sandbox.forecast import Forecast, WeatherDay
from warmupd.sandbox.mailserver import SandboxMailServer, SandboxProcess
from warmupd.sandbox.record import Refused, Taken
from warmupd.sandbox.weather import CALM, FAIR, STORM, Event, Weather

CUTS = {"cut_before_body": "network", "cut_in_body": "unknown", "cut_after_dot": "unknown"}  # as the daemon sees them


def only(event: Event) -> Weather:
    """Weather in which this befalls every attempt."""
    return Weather(name="one", events=(replace(event, share=1.0),))


def people(number: int) -> list[str]:
    return [f"m{n}@x.test" for n in range(number)]


def days_of(weather: Weather, *, seed: int = 1, accounts: int = 200, attempts: int = 34) -> list[Event | None]:
    """What a day brings by chance."""
    forecast = Forecast(weather, seed, people(accounts))
    return [forecast.event(who, 0, n) for who in people(accounts) for n in range(1, attempts + 1)]


def live(weather: Weather, *, seed: int, accounts: int, quota: int = 30) -> Counter[str]:
    """A day in which everybody sends the quota, and tries again what is refused until a limit is met."""
    day, met = WeatherDay(Forecast(weather, seed, people(accounts)), 0), Counter[str]()
    for who in people(accounts):
        sent = 0
        while sent < quota:
            event = day.attempt(who)
            limit = day.limited(who, Phase.RCPT) or day.limited(who, Phase.BODY)
            if event and not limit:
                day.befell(who, event)
            met.update(what.name for what in (limit or event,) if what)
            if limit:
                break
            if event is None or event.taken:
                day.took(who)
                sent += 1
    return met


def test_a_storm_strikes_near_its_shares() -> None:
    struck = [event for event in days_of(STORM) if event]
    assert len(struck) / (200 * 34) == pytest.approx(0.082, abs=0.01)
    counts = Counter(event.name for event in struck)
    for name in {event.name for event in STORM.events}:
        share = sum(event.share for event in STORM.events if event.name == name)
        assert counts[name] / (200 * 34) == pytest.approx(share, abs=0.004)


def test_the_same_seed_brings_the_same_storm_and_another_does_not() -> None:
    first, again, other = (days_of(STORM, seed=seed, accounts=10) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("accounts", [5, 12, 48])
def test_in_every_storm_each_kind_comes(accounts: int) -> None:
    for seed in range(40):
        met = live(STORM, seed=seed, accounts=accounts)
        assert [kind for kind in STORM.kinds if kind != "away" and not met[kind]] == [], seed


def test_a_tenth_of_the_sends_of_48_mailboxes_is_struck() -> None:
    for seed in range(20):
        met = live(STORM, seed=seed, accounts=48)
        assert 0.08 < met.total() / (48 * 30 + met.total()) < 0.13


def test_without_appointments_rare_kinds_stay_out_of_some_storms() -> None:
    left_to_chance = replace(STORM, accounts_an_event=0)
    assert any(not live(left_to_chance, seed=seed, accounts=48)["cut_in_body"] for seed in range(40))


def test_few_accounts_have_a_daily_limit_and_meet_it_among_the_last_of_thirty() -> None:
    forecast = Forecast(STORM, 1, people(48))
    limits = [limit for who in people(48) if (limit := forecast.limit(who))]
    assert len(limits) == 4
    assert {limit.messages for limit in limits} <= {27, 28}
    assert {limit.event for limit in limits} == set(STORM.limits)


def test_who_has_used_up_the_day_is_refused_until_the_next_one() -> None:
    forecast = Forecast(STORM, 1, people(12))
    ((who, limit),) = [(who, limit) for who in people(12) if (limit := forecast.limit(who))]
    day = WeatherDay(forecast, 0)
    for _ in range(limit.messages):
        assert day.limited(who, limit.event.phase) is None
        day.took(who)
    assert [day.limited(who, limit.event.phase) for _ in range(2)] == [limit.event] * 2
    assert WeatherDay(forecast, 1).limited(who, limit.event.phase) is None


def test_what_is_appointed_waits_for_an_attempt_that_gets_so_far() -> None:
    forecast = Forecast(replace(STORM, events=tuple(replace(event, share=0.0) for event in STORM.events)), 1, ["a@x"])
    first = forecast.appointments(0)["a@x"][0]
    day = WeatherDay(forecast, 0)
    met = [day.attempt("a@x") for _ in range(first.attempt + 1)]
    assert met == [None] * (first.attempt - 1) + [first.event] * 2
    day.befell("a@x", first.event)
    assert day.attempt("a@x") is not first.event


def test_calm_and_fair_weather_strike_nobody() -> None:
    assert not any(days_of(CALM) + days_of(FAIR))
    assert not live(CALM, seed=1, accounts=48) + live(FAIR, seed=1, accounts=48)
    assert (CALM.shares, CALM.away_seconds, FAIR.away_seconds, CALM.kinds, FAIR.kinds) == ({}, 0.0, 0.0, (), ())


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
        return await sender.deliver(account, Mail(), may_proceed=lambda _: None)
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "event", [*STORM.events, *STORM.limits], ids=lambda event: f"{event.name}-{event.phase}-{event.reply[:9]}"
)
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


async def test_a_daily_limit_counts_messages_and_begins_anew_each_day() -> None:
    limit = Event(name="daily_limit", phase=Phase.RCPT, reply="550 5.4.5 Limit")
    weather = Weather(name="limit", limits=(limit,), accounts_a_limit=1, least_a_day=2)
    async with SandboxMailServer(accounts=ACCOUNTS, weather=weather) as server:
        codes = [(await away(submit, server, letter()))[0] for _ in range(5)]
        await server.begin(day_seconds=3600)
        await asyncio.sleep(0)  # for the day to begin
        codes.append((await away(submit, server, letter()))[0])
        assert {refused.event for refused in server.record.refused} == {"daily_limit"}
    assert codes in ([250, 250, 550, 550, 550, 250], [250, 250, 250, 550, 550, 250])  # two, or one more
