"""A mailbox's day as a game: whatever owner, provider, Postgres and clock do, in any order, the model foretells it.

`make test ARGS="--hypothesis-profile=deep -k foretells"` plays it for an hour (tests/conftest.py).
"""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Coroutine
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.daemon.day_life import SENDERS, Box, Life
from tests.daemon.day_post import ANSWERS

NUMBERS = count(1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
]
EVES = [  # of nothing, and of clock changes in Europe and America
    dt.datetime(2027, 3, 1, 5, 30, tzinfo=dt.UTC),
    dt.datetime(2027, 3, 27, 20, tzinfo=dt.UTC),
    dt.datetime(2027, 10, 30, 20, tzinfo=dt.UTC),
    dt.datetime(2027, 3, 13, 11, tzinfo=dt.UTC),
    dt.datetime(2027, 11, 6, 11, tzinfo=dt.UTC),
    dt.datetime(2027, 4, 3, 2, tzinfo=dt.UTC),
]
HOURS = [(6, 22), (6, 22), (9, 17), (0, 24), (20, 24), (0, 6)]
RAMPS = [(3, 1, 6), (1, 0, 1), (8, 0, 8), (2, 3, 12), (0, 0, 0)]
zones = st.sampled_from(ZONES)
numbers = st.integers(0, SENDERS - 1)
minutes = st.integers(1, 90)


class DayMachine(RuleBasedStateMachine):
    """Each rule is something that befalls a mailbox; each ends with a look at everything."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.life = Life(url)
        self.well = False

    @initialize(
        eve=st.sampled_from(EVES), zones=st.lists(zones, min_size=SENDERS, max_size=SENDERS), ramped=st.booleans()
    )
    def begin(self, eve: dt.datetime, zones: list[str], ramped: bool) -> None:
        self.do(self.life.begin(eve, zones, 5 if ramped else 0))

    def teardown(self) -> None:
        try:
            if self.well:
                self.runner.run(self.life.end())
        finally:
            self.runner.run(self.life.close())
            self.runner.close()

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        self.well = False
        self.runner.run(what)
        self.well = True

    def box(self, number: int) -> Box:
        return self.life.boxes[number]

    # -- time ---------------------------------------------------------------------------------------------------

    @rule(minutes=minutes)
    def minutes_pass(self, minutes: int) -> None:
        self.do(self.life.live_until(self.life.now + dt.timedelta(minutes=minutes)))

    @rule(hours=st.integers(2, 14))
    def hours_pass(self, hours: int) -> None:
        self.do(self.life.live_until(self.life.now + dt.timedelta(hours=hours)))

    @rule(number=numbers, seconds=st.sampled_from([-60.0, -3.0, 0.0, 1.0, 300.0]))
    def to_an_edge_of_the_window(self, number: int, seconds: float) -> None:
        self.do(self.life.until_edge(self.box(number), seconds))

    # -- sends and their replies ----------------------------------------------------------------------------------

    @rule(number=numbers)
    def look_out_of_turn(self, number: int) -> None:
        self.do(self.life.nudge(self.box(number)))

    @rule(number=numbers, words=st.lists(st.sampled_from(list(ANSWERS)), min_size=1, max_size=6))
    def lay_out_answers(self, number: int, words: list[str]) -> None:
        self.life.post.answers[self.box(number).address].extend(words)

    @rule(which=st.integers(0, 1000), answer_after=st.none() | st.integers(5, 600))
    def find_a_message(self, which: int, answer_after: int | None) -> None:
        after = None if answer_after is None else dt.timedelta(minutes=answer_after)
        self.do(self.life.find(which, after))

    # -- the owner ------------------------------------------------------------------------------------------------

    @rule(number=numbers)
    def pause(self, number: int) -> None:
        self.do(self.life.pause(self.box(number)))

    @rule(number=numbers)
    def resume(self, number: int) -> None:
        self.do(self.life.resume(self.box(number)))

    @rule(number=numbers)
    def stop(self, number: int) -> None:
        self.do(self.life.stop(self.box(number)))

    @rule(number=numbers, zone=zones)
    def move(self, number: int, zone: str) -> None:
        self.box(number).model.settings.zone = zone
        self.do(self.life.change(self.box(number), {"timezone": zone}))

    @rule(number=numbers, hours=st.sampled_from(HOURS), weekdays_only=st.booleans())
    def change_hours(self, number: int, hours: tuple[int, int], weekdays_only: bool) -> None:
        kept = self.box(number).model.settings
        kept.start, kept.end, kept.weekdays_only = *hours, weekdays_only
        unset: dict[str, Any] = {"start_hour": None}  # between two changes the hours must not cross
        columns = unset | {"end_hour": hours[1], "weekdays_only": weekdays_only}
        self.do(self.life.change(self.box(number), columns, {"start_hour": hours[0]}))

    @rule(number=numbers, ramp=st.sampled_from(RAMPS))
    def change_ramp(self, number: int, ramp: tuple[int, int, int]) -> None:
        kept = self.box(number).model.settings
        kept.ramp_start, kept.ramp_step, kept.target = ramp
        columns = dict(zip(("ramp_start", "ramp_step", "target_daily"), ramp, strict=True))
        self.do(self.life.change(self.box(number), columns))

    @rule(number=numbers, most=st.none() | st.integers(0, 5))
    def change_plan(self, number: int, most: int | None) -> None:
        self.do(self.life.limit_plan(self.box(number), most))

    # -- the worker and Postgres ----------------------------------------------------------------------------------

    @rule(absence=st.sampled_from([0, 0, 40, 240, 900]), kill=st.booleans())
    def restart(self, absence: int, kill: bool) -> None:
        self.do(self.life.restart(dt.timedelta(minutes=absence), kill=kill))

    @rule(halves=st.integers(1, 8), kill=st.booleans())
    def lose_postgres(self, halves: int, kill: bool) -> None:
        self.do(self.life.lose_postgres(halves, kill=kill))

    @rule(number=numbers, query=st.sampled_from(["reserve_sends", "settle_sends"]))
    def lose_an_answer(self, number: int, query: str) -> None:
        self.do(self.life.lose_answer(query, self.box(number)))


def test_days_go_as_the_model_foretells(postgres: str, template_database: str) -> None:
    deep = settings.get_current_profile_name() == "deep"

    def play() -> DayMachine:
        name = f"day_{next(NUMBERS)}"
        asyncio.run(create(postgres, name, template_database))
        return DayMachine(postgres.replace("postgresql:///warmupd?", f"postgresql:///{name}?"))

    play_settings = settings(
        max_examples=settings().max_examples if deep else 3,
        stateful_step_count=settings().stateful_step_count if deep else 15,
        derandomize=not deep,
        phases=list(Phase) if deep else [Phase.generate],  # to find the shortest way to a failure takes minutes
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(play, settings=play_settings)  # type: ignore[arg-type]  # whatever makes one will do


@pytest.fixture
async def life(database_url: str) -> AsyncIterator[Life]:
    life = Life(database_url)
    yield life
    await life.close()


async def test_every_answer_counts_for_the_day_as_the_model_says(life: Life) -> None:
    await life.begin(EVES[0], ["UTC"] * SENDERS, 5)
    heavy = [word for word in ANSWERS if "limit" in word or word == "credentials"]  # these end a day
    light = [word for word in ANSWERS if word not in heavy]
    for number, box in enumerate(life.boxes[:SENDERS]):
        box.model.settings.ramp_start, box.model.settings.target = 12, 12
        await life.change(box, {"ramp_start": 12, "target_daily": 12})
        life.post.answers[box.address].extend([*light[number::SENDERS] * 2, *heavy[number::SENDERS]])
    for number in range(60):
        await life.live_until(life.now + dt.timedelta(minutes=45))
        await life.find(number, None if number % 3 else dt.timedelta(minutes=50))
    await life.end()
    assert {said.word for said in life.post.said} == set(ANSWERS)


async def test_who_travels_and_stops_gets_no_day_twice(life: Life) -> None:
    await life.begin(EVES[2], ["Pacific/Kiritimati"] * SENDERS, 5)
    box, other, third = life.boxes[:SENDERS]
    for number, zone in enumerate([*ZONES, "Pacific/Kiritimati"]):
        box.model.settings.zone = zone
        await life.change(box, {"timezone": zone})
        await life.live_until(life.now + dt.timedelta(hours=9))
        await (life.stop if number % 2 else life.resume)(other)
        await (life.pause if number % 3 else life.resume)(third)
    await life.end()


async def test_who_is_looked_at_out_of_turn_keeps_the_spacing_and_the_quota(life: Life) -> None:
    await life.begin(EVES[0], ["UTC"] * SENDERS, 5)
    await life.until_edge(life.boxes[0], 300)
    for number in range(30):
        await life.nudge(life.boxes[number % 2])
        await life.live_until(life.now + dt.timedelta(seconds=45))
    await life.end()


async def create(server: str, name: str, template: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    finally:
        await connection.close()
