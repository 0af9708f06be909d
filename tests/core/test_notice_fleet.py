"""What operators are told: the first occurrence, and again only after it was gone for a while."""

import datetime as dt
from collections.abc import Mapping, Sequence

from warmupd.core.notice import Notice
from warmupd.core.notice_fleet import Issue, Memory, look

START = dt.datetime(2026, 6, 3, 10, tzinfo=dt.UTC)
DEGRADED = {Issue.DEGRADED: ["93% of what is owed by now was sent"]}
CRITICAL = {Issue.CRITICAL: ["no worker is alive"], Issue.DEGRADED: ["no worker is alive"]}
LOST = {Issue.WORKER_LOST: ["host:1 ended without stopping"]}


class Fleet:
    """Looked at once a minute; what was told, by the minute."""

    def __init__(self) -> None:
        self.memory: Mapping[Issue, Memory] = {}
        self.told: dict[int, Notice] = {}
        self.minute = 0

    def shows(self, shown: Mapping[Issue, Sequence[str]], minutes: int) -> None:
        for _ in range(minutes):
            plain = {issue: Memory.read(known.plain()) for issue, known in self.memory.items()}
            self.memory, notice = look(plain, shown, START + dt.timedelta(minutes=self.minute))
            if notice is not None:
                self.told[self.minute] = notice
            self.minute += 1

    @property
    def subjects(self) -> dict[int, str]:
        return {minute: notice.subject for minute, notice in self.told.items()}


def test_trouble_is_told_once_when_it_has_lasted_and_its_end_when_it_stays_away() -> None:
    fleet = Fleet()
    fleet.shows(DEGRADED, 60)
    fleet.shows({}, 60)
    assert fleet.subjects == {2: "The fleet is degraded", 75: "The fleet is back to normal"}


def test_a_blip_is_not_told() -> None:
    fleet = Fleet()
    fleet.shows(DEGRADED, 2)
    fleet.shows({}, 30)
    assert fleet.told == {}


def test_what_flaps_is_told_once() -> None:
    fleet = Fleet()
    for _ in range(20):
        fleet.shows(DEGRADED, 1)
        fleet.shows({}, 1)
    assert list(fleet.subjects.values()) == ["The fleet is degraded"]


def test_it_is_told_again_when_it_was_normal_for_15_minutes() -> None:
    fleet = Fleet()
    fleet.shows(DEGRADED, 5)
    fleet.shows({}, 16)
    fleet.shows(DEGRADED, 5)
    assert list(fleet.subjects.values()) == [
        "The fleet is degraded",
        "The fleet is back to normal",
        "The fleet is degraded",
    ]


def test_what_gets_worse_is_told() -> None:
    fleet = Fleet()
    fleet.shows(DEGRADED, 10)
    fleet.shows(CRITICAL, 10)
    assert fleet.subjects == {2: "The fleet is degraded", 12: "The fleet is critical"}


def test_critical_from_the_start_is_one_message_and_so_is_its_end() -> None:
    fleet = Fleet()
    fleet.shows(CRITICAL, 10)
    fleet.shows({}, 20)
    assert fleet.subjects == {2: "The fleet is critical", 25: "The fleet is back to normal"}
    assert fleet.told[2].body.count("no worker is alive") == 1


def test_less_bad_is_not_told_as_an_end() -> None:
    fleet = Fleet()
    fleet.shows(CRITICAL, 10)
    fleet.shows(DEGRADED, 40)
    fleet.shows({}, 20)
    assert fleet.subjects == {2: "The fleet is critical", 65: "The fleet is back to normal"}


def test_a_lost_worker_is_told_and_has_no_end() -> None:
    fleet = Fleet()
    fleet.shows(LOST, 15)
    fleet.shows({}, 60)
    assert fleet.subjects == {2: "A worker was lost"}


def test_capacity_that_suffices_again_is_no_normal_fleet_yet() -> None:
    fleet = Fleet()
    fleet.shows({**DEGRADED, Issue.CAPACITY_SHORT: ["carries 3 of 4"]}, 10)
    fleet.shows(DEGRADED, 30)
    assert list(fleet.subjects.values())[-1] == "The quotas of today cannot be carried: not any more"
