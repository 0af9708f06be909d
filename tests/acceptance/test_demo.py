"""`warmupd demo` as its user starts it."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from warmupd.daemon.book import Book
from warmupd.sandbox import demo

pytestmark = pytest.mark.acceptance
KINDS = {"rate", "daily_limit", "greylisted", "auth_rate", "cut_before_body", "cut_in_body", "cut_after_dot", "away"}


def run_demo(*options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("warmupd"), "demo", *options],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which there is a configuration, of which nothing may be read: with it no quota would be met."""
    (tmp_path / "config.toml").write_text("[database]\nurl = 'postgresql://nobody@127.0.0.1:1/production'\n")
    (tmp_path / ".env").write_text("WARMUP_QUOTA__TARGET_DAILY=1\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/production")
    monkeypatch.setenv("WARMUP_LIMITS__GLOBAL_PER_HOUR", "1")
    return tmp_path


def test_every_mailbox_gets_its_quota_and_no_promise_is_broken_whatever_is_configured_here(configured: Path) -> None:
    done = run_demo("--mailboxes", "5", "--speed", "1800", "--json", cwd=configured)
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (report["quota"], report["sent"], report["fill_rate"], report["mailboxes_met"]) == (150, 150, 1.0, 5)
    assert not any(report["violations"].values())
    assert (report["weather_name"], report["weather"], report["shortfalls"]) == ("fair", {}, [])
    assert report["server"]["accepted"] == 150
    assert report["replies"] > 0
    assert report["rescued"] > 0
    assert report["placement"]["INBOX"] > 60


@pytest.mark.long
def test_a_storm_of_every_kind_doubles_and_loses_nothing_and_every_shortfall_is_explained(tmp_path: Path) -> None:
    done = run_demo("--mailboxes", "16", "--speed", "1200", "--weather", "storm", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (report["weather_name"], report["quota"], any(report["violations"].values())) == ("storm", 480, False)
    server, weather = report["server"], report["weather"]
    assert weather.keys() >= KINDS
    assert all(weather.values()), weather
    assert server["outages"] == weather["away"]
    assert report["sent"] <= server["accepted"] <= report["sent"] + report["unknown"]  # those may be there or not
    assert 0.05 < sum(weather.values()) / server["attempts"] < 0.2
    assert report["fill_rate"] >= 0.97
    assert report["unknowns_resolved"] > 0
    missing = sum(reason["places"] for one in report["shortfalls"] for reason in one["reasons"])
    assert missing == report["quota"] - report["sent"]


async def test_a_mailbox_whose_day_is_never_opened_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Book.open_days

    async def but_one(self: Book, ids: Sequence[int], now: dt.datetime) -> int:
        return await whole(self, [mailbox_id for mailbox_id in ids if mailbox_id != min(self.mailboxes)], now)

    monkeypatch.setattr(Book, "open_days", but_one)
    report = await demo.run_demo(demo.DemoOptions(mailboxes=3, speed=5000, weather="calm"), on_progress=lambda _: None)
    assert (report.mailboxes, report.quota, report.fill_rate <= 0.67) == (3, 90, True)
    assert [(short.quota, short.sent, short.unexplained) for short in report.shortfalls if not short.opened] == [
        (30, 0, 30)
    ]
    assert report.violations.unexplained >= 1
