"""What `explain` tells of a mailbox at any moment is what then happens, in whatever weather."""

import datetime as dt

import pytest

from tests.daemon.judge import Foretold, Judge
from tests.daemon.rig import BEGIN, Rig
from tests.daemon.weather import Weather
from warmupd.core.mailbox import Ramp
from warmupd.core.ramp import ramp_quota
from warmupd.daemon import housekeeping
from warmupd.daemon.explain import Explained, explain_mailbox

HOUSEKEEPING = 300.0  # seconds between rounds
BETWEEN = 1500.0  # seconds between two moments at which it is asked, on average
DAYS = 1  # from its morning to the next
SHARES = {"plan", "provider", "own_mail", "learnt"}  # limits: they stand below what was left before them


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_told_is_what_then_happens(rig: Rig, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Of what is told two fifths at least are put to the test, and not excused by what came in between."""
    monkeypatch.setattr(housekeeping, "EVERY", HOUSEKEEPING)
    weather = Weather(rig, seed, monkeypatch)
    rig.clock.advance_to(BEGIN + dt.timedelta(days=weather.rng.randrange(7), hours=weather.rng.uniform(0, 8)))
    await weather.begin()
    foretold = await live_and_ask(weather, rig.clock.now() + dt.timedelta(days=DAYS))
    await weather.end()
    judge = Judge(weather.chronicle, housekeeping=HOUSEKEEPING)
    for one in foretold:
        judge.judge(one)
        assert_budget_adds_up(one.explained)
    assert not judge.untrue, f"{len(judge.untrue)} untrue\n" + "\n".join(judge.untrue[:20])
    assert judge.borne_out.total() >= 0.4 * len(foretold), judge.excused


async def live_and_ask(weather: Weather, end: dt.datetime) -> list[Foretold]:
    """Live on to `end`, and ask at many moments."""
    rig, foretold = weather.rig, []
    while rig.clock.now() < end:
        await weather.live_on(rig.clock.now() + dt.timedelta(seconds=weather.rng.expovariate(1 / BETWEEN)))
        for box in weather.rng.sample(weather.boxes, 2):
            explained = await explain_mailbox(rig.db, rig.config(weather.config), box, at=rig.clock.now())
            since = rig.clock.now() if explained.today is None else explained.today.day.opens_at
            foretold.append(
                Foretold(
                    explained=explained,
                    under_way=weather.chronicle.under_way[box],
                    accepted=weather.chronicle.accepted(box, since),
                )
            )
        if weather.rng.random() < (0.5 if weather.troubled else 0.2):
            await weather.strike()
    return foretold


def assert_budget_adds_up(explained: Explained) -> None:
    """Each factor follows from the one before it, and the last is the day's quota."""
    if explained.today is None or explained.budget is None:
        return
    budget, ramp = explained.budget, explained.ramp
    assert budget.factors[-1][1] == budget.quota == explained.today.day.quota
    before = ramp_quota(ramp, budget.ramp_day)
    assert budget.factors[0] == ("ramp", before)
    for word, quota in budget.factors[1:]:
        assert follows(word, before, quota, ramp), budget.factors
        before = quota


def follows(word: str, before: int, quota: int, ramp: Ramp) -> bool:
    match word:
        case "variance":
            return abs(quota - before) <= before * 0.1 and quota >= min(ramp.floor, before)
        case "health_watch":
            return quota == max(1, round(before * 0.7))
        case "health_throttled":
            return quota == max(1, round(before * 0.5))
        case "short_day":
            return quota < before
        case _:
            return word in SHARES and quota < before
