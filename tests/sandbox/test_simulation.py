"""Small worlds live through a day in virtual time; what breaks a promise on purpose is counted."""

import datetime as dt
import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.small_day import a_day, spare_minutes
from warmupd.clock import VirtualClock
from warmupd.core import opening, ramp
from warmupd.core.opening import NextDay
from warmupd.core.reply import Phase, Trouble
from warmupd.core.window import Window
from warmupd.daemon import book
from warmupd.errors import DatabaseUnavailable, UsageError
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.message import Message
from warmupd.sandbox.simulation import run
from warmupd.sandbox.simulation.climate import CLIMATES
from warmupd.sandbox.simulation.mailserver import Limits, MailServers, ModelLogin
from warmupd.sandbox.simulation.options import Kill, SimulationOptions, check_zones
from warmupd.sandbox.simulation.record import Offer, Record
from warmupd.sandbox.simulation.report import promised_by
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.trial import Promised

HOUR = dt.timedelta(hours=1)
COUNTED = ("quota", "sent", "failed", "unknown", "offers", "accepted", "endings", "violations", "fill_rate")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    spare_minutes(monkeypatch)


def test_a_day_meets_every_quota_breaks_no_promise_and_the_same_seed_is_the_same_day() -> None:
    first, second = (a_day(climate="storm", seed=7).as_dict() for _ in range(2))
    assert (first["quota"], first["users"], first["p50_fill_rate"]) == (48, 1, 1.0)
    assert first["offers"] >= first["accepted"] >= first["sent"] > 40
    assert not any(first["violations"].values())
    assert {name: first[name] for name in COUNTED} == {name: second[name] for name in COUNTED}


def test_large_worlds_have_a_postgres_with_more_memory_up_to_an_end() -> None:
    sizes = (2, 20_000, 100_000, 2_000_000)
    assert [SimulationOptions(mailboxes=size).memory for size in sizes] == [128, 200, 1000, 2048]


def test_killed_workers_cost_no_more_than_what_was_under_way() -> None:
    kills = (Kill(after=10 * HOUR), Kill(after=15 * HOUR))
    report = a_day(workers=2, kills=kills, restart_after=HOUR, climate="calm", mailboxes=12)
    assert (report.killed, report.broken) == (2, 0)
    assert report.sent + report.unknown >= report.quota == 72
    assert report.unopened_days == 0


def test_what_servers_take_twice_or_never_is_counted_and_so_are_caps_and_spacing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note, noted = Record.note, itertools.count(1)

    def unfaithful(record: Record, offer: Offer) -> None:
        number = next(noted)
        for _ in range({3: 2, 5: 0}.get(number, 1)):
            note(record, offer._replace(recipient_id=0) if number == 7 else offer)

    def stricter(promised: Promised) -> Promised:
        return replace(promised, global_per_hour=1, mailbox_gap=36_000.0)

    monkeypatch.setattr(Record, "note", unfaithful)
    monkeypatch.setattr(run, "promised_by", lambda config, options: stricter(promised_by(config, options)))
    broken = a_day(climate="calm", mailboxes=4).violations
    assert (broken["twice"], broken["lost"], broken["outside_pool"], broken["unreserved"]) == (1, 1, 1, 1)
    assert broken["caps"] > 5
    assert broken["spacing"] > 5
    assert (broken["window"], broken["quota"]) == (0, 1)  # one of them by what was taken twice


@pytest.mark.long
def test_visits_find_prove_rescue_and_answer_and_say_where_the_servers_put_it() -> None:
    report = a_day(visits=6, climate="calm")
    assert (report.broken, report.sent) == (0, 48)
    assert report.replies > 5
    assert report.rescued > 0
    assert sum(report.placement.values()) > 40
    assert report.placement["MISSING"] == report.logins_shut_out == 0  # it is calm


@pytest.mark.long
def test_days_that_workers_open_in_other_hours_or_with_another_quota_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    next_day, resolve_budget = opening.next_day, ramp.resolve_budget

    def early(*asked: Any) -> NextDay:
        found = next_day(*asked)
        opens_at, closes_at = (moment - 4 * HOUR for moment in (found.window.opens_at, found.window.closes_at))
        return replace(found, window=Window(opens_at=opens_at, closes_at=closes_at))

    monkeypatch.setattr(book, "next_day", early)
    moved = a_day(climate="calm", mailboxes=4)
    assert (moved.violations["days"], moved.violations["window"] > 0) == (4, True)
    monkeypatch.setattr(book, "next_day", next_day)
    monkeypatch.setattr(book, "resolve_budget", lambda *a, **b: replace(resolve_budget(*a, **b), quota=4, floor=4))
    less = a_day(climate="calm", mailboxes=4)
    assert (less.quota, less.quota_lowered, less.sent, less.fill_rate) == (24, 8, 16, 0.66667)
    assert less.violations["days"] == 4


def test_sends_of_crowded_users_are_still_held_to_a_spacing() -> None:
    crowded = SimulationOptions(mailboxes=100_000, users=1)
    assert promised_by(crowded.config(run._key_of(1)), crowded).user_gap == pytest.approx(57_600 / 3_000_000 / 2)
    usual = SimulationOptions()
    assert promised_by(usual.config(run._key_of(1)), usual).user_gap == 1.0


def test_automatic_caps_leave_room_for_twice_the_quotas() -> None:
    caps = SimulationOptions(mailboxes=1000, users=10).limits()
    assert (caps.global_per_hour, caps.user_per_hour) == (3750, 375)
    assert SimulationOptions(caps="default").limits().user_per_hour == 300
    assert SimulationOptions(caps="900,70").limits().global_per_hour == 900


@pytest.mark.parametrize(
    "options",
    [
        {"caps": "many"},
        {"caps": "0,5"},
        {"climate": "snow"},
        {"grain": 2.0},
        {"kills": (Kill(after=HOUR),)},
        {"mailboxes": 1},
        {"mailboxes": 4, "users": 3, "pools": "private"},
        {"users": 2000},
        {"workers": 2, "kills": (Kill(after=50 * HOUR),)},
        {"workers": 2, "kills": (Kill(after=HOUR),)},
        {"kills": (Kill(after=10 * HOUR), Kill(after=11 * HOUR)), "restart_after": 5 * HOUR},
        {"kills": (Kill(after=20 * HOUR),), "restart_after": 20 * HOUR},
        {"caps": "²,5"},
        {"caps": "9999999999,5"},
        {"grain": float("nan")},
    ],
    ids=str,
)
def test_what_cannot_be_simulated_is_said_before_anything_starts(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SimulationOptions(**options)


def test_a_run_whose_postgres_dies_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Record.note

    def deadly(record: Record, offer: Offer) -> None:
        note(record, offer)
        if record.offers == 3:
            os.kill(servers[0].pid or 0, signal.SIGQUIT)

    servers = list[EmbeddedPostgres]()
    start = EmbeddedPostgres.start

    async def observed(server: EmbeddedPostgres) -> None:
        servers.append(server)
        await start(server)

    monkeypatch.setattr(EmbeddedPostgres, "start", observed)
    monkeypatch.setattr(Record, "note", deadly)
    with pytest.raises(DatabaseUnavailable, match="ended by itself"):
        a_day(mailboxes=4)


async def test_who_logs_in_and_leaves_is_in_the_servers_record(tmp_path: Path) -> None:
    clock, account = VirtualClock(SimulationOptions().midnight), _account(3)
    with Record(tmp_path / "record.csv") as record:
        servers = MailServers(clock, CLIMATES["calm"], record, lambda _: None, seed=1, mailboxes=3, per_day=6)
        clock.advance(2.0)
        reply = await servers.deliver(account, _letter(), may_proceed=lambda _: Trouble.LATE, login=ModelLogin())
        record.flush()
        assert (reply.phase, reply.trouble) == (Phase.MAIL, Trouble.LATE)
        assert record.rebuffs.read_text() == "2000000,3\n"


def test_daily_limits_lie_a_little_below_any_quota() -> None:
    storm, clock = replace(CLIMATES["storm"], limited=1000), VirtualClock(dt.datetime(2027, 3, 1, tzinfo=dt.UTC))
    for per_day, least in ((3, 2), (30, 20), (300, 200)):
        limits = Limits(storm, 1, per_day=per_day)
        for _ in range(per_day):
            limits.count(1, clock)
        assert limits.refuses(1, clock)
        assert not Limits(storm, 1, per_day=per_day).refuses(1, clock)
        assert least <= limits._least + limits._spread - 1 < per_day  # never at the quota or above


def test_zones_are_known_by_name() -> None:
    assert check_zones("Asia/Tokyo, Europe/Berlin") == ("Asia/Tokyo", "Europe/Berlin")
    assert len(check_zones("world")) > len(check_zones("atlantic"))
    for wrong in ("", "Mars/Base", "../etc"):
        with pytest.raises(UsageError):
            check_zones(wrong)


def _account(mailbox_id: int) -> Account:
    here = Endpoint(host="smtp.test", port=587, security=Security.STARTTLS, username="u", password="p")
    return Account(mailbox_id=mailbox_id, address="m3@a.test", display_name="", smtp=here, imap=here)


def _letter() -> Message:
    return Message(sender="m3@a.test", recipient="m2@a.test", message_id="<1@a.test>", content=b"")
