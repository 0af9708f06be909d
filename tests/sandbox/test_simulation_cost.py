"""What a simulation costs a send, and who was bereft by a kill."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

from warmupd.core.mailbox import slot_hash
from warmupd.sandbox.simulation.cost import Spent
from warmupd.sandbox.simulation.fleet import Held
from warmupd.sandbox.simulation.report import _a_minute, _each, _net
from warmupd.sandbox.simulation.run import _course

BEGIN = dt.datetime(2026, 3, 2, 5, 50, tzinfo=dt.UTC)


def spent(process: float, postgres: float) -> Spent:
    return Spent(wall=process, process=process, peak_rss=0, postgres=postgres)


def test_what_idles_along_is_taken_off_each_send_and_loading_counts_for_none() -> None:
    looks = [(spent(2.0, 3.0), BEGIN), (spent(2.9, 3.0), BEGIN + dt.timedelta(minutes=9))]
    course = _course(looks, spent(14.9, 23.0), BEGIN + dt.timedelta(minutes=29))
    run: Any = SimpleNamespace(course=course, record=SimpleNamespace(accepted=1000))
    assert (course.whole.process, course.whole.postgres) == (14.9, 23.0)
    assert (course.idle_minutes, course.sending_minutes) == (9, 20)
    assert _a_minute(course.idling.process, course) == 100.0
    assert _each(course.sending.process, run) == 12.0
    assert _net(course.sending.process, course.idling.process, run) == 10.0
    assert _net(course.sending.postgres, course.idling.postgres, run) == 20.0
    assert _net(1.9, course.idling.process, run) is None


def test_a_death_excuses_the_mailboxes_of_its_own_slots_alone() -> None:
    held = Held(slots=frozenset({slot_hash(1) % 64}), count=64)
    assert [one for one in range(1, 200) if held.covers(one)] == [
        one for one in range(1, 200) if slot_hash(one) % 64 == slot_hash(1) % 64
    ]
