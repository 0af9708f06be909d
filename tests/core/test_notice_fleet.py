"""What operators are told: the first occurrence, and again only after it was gone for a while."""

import datetime as dt
from collections.abc import Mapping, Sequence

from warmupd.core.notice import Notice
from warmupd.core.notice_fleet import Issue, Memory, Outage, look, troubles_of

START = dt.datetime(2026, 6, 3, 10, tzinfo=dt.UTC)
LATE, NOBODY = "93% of what is owed by now was sent", "no worker is alive"
DEGRADED = {Issue.DEGRADED: [LATE]}
CRITICAL = {Issue.CRITICAL: [NOBODY, LATE], Issue.DEGRADED: [NOBODY, LATE]}
LOST = {Issue.WORKER_LOST: ["a ended without stopping"]}


class Fleet:
    """Looked at once a minute; what was told, by the minute."""

    def __init__(self) -> None:
        self.memory: Mapping[str, Memory] = {}
        self.told: dict[int, Notice] = {}
        self.minute = 0

    def shows(self, shown: Mapping[Issue, Sequence[str]], minutes: int) -> None:
        for _ in range(minutes):
            plain = {name: Memory.read(known.plain()) for name, known in self.memory.items()}
            troubles = [one for issue, reasons in shown.items() for one in troubles_of(issue, reasons)]
            self.memory, notice = look(plain, troubles, START + dt.timedelta(minutes=self.minute))
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


def test_another_reason_of_what_was_told_is_told_too() -> None:
    fleet = Fleet()
    fleet.shows({Issue.DEGRADED: ["the quotas of today cannot be carried"]}, 10)
    fleet.shows({Issue.DEGRADED: ["30 of 64 slots have no worker", "the quotas of today cannot be carried"]}, 10)
    assert fleet.told[12].body == "The fleet is degraded:\n  30 of 64 slots have no worker"
    assert len(fleet.told) == 2


def test_a_figure_that_changes_is_no_other_reason() -> None:
    fleet = Fleet()
    for percent in range(94, 80, -1):
        fleet.shows({Issue.DEGRADED: [f"{percent}% of what is owed by now was sent"]}, 1)
    assert list(fleet.subjects) == [2]


def test_each_lost_worker_is_told() -> None:
    fleet = Fleet()
    for name in "abc":
        fleet.shows({Issue.WORKER_LOST: [f"{name} ended without stopping"]}, 12)
    assert [notice.body[-25:] for notice in fleet.told.values()] == [
        f" {name} ended without stopping" for name in "abc"
    ]


def test_one_reason_that_goes_is_no_end() -> None:
    fleet = Fleet()
    fleet.shows({Issue.DEGRADED: [LATE, "sending is stopped for the whole fleet"]}, 10)
    fleet.shows(DEGRADED, 40)
    fleet.shows({}, 20)
    assert fleet.subjects == {2: "The fleet is degraded", 65: "The fleet is back to normal"}


def test_a_database_that_is_away_for_minutes_is_told_once_and_so_is_its_return() -> None:
    outage = Outage()
    told = [outage.away(100.0 + 60 * n, worker="w", why="refused") for n in range(20)]
    assert [notice.subject for notice in told if notice] == ["The database is away from w"]
    assert told[5] is not None
    back = [outage.back(2000.0 + n, worker="w") for n in range(3)]
    assert [notice and notice.subject for notice in back] == ["The database is back for w", None, None]


def test_a_failover_is_not_told() -> None:
    outage = Outage()
    for n in range(20):
        assert outage.away(100.0 * n, worker="w", why="refused") is None
        assert outage.away(100.0 * n + 40.0, worker="w", why="refused") is None
        assert outage.back(100.0 * n + 60.0, worker="w") is None


def test_what_comes_when_it_is_critical_no_more_is_told() -> None:
    fleet = Fleet()
    fleet.shows(CRITICAL, 10)
    fleet.shows({Issue.DEGRADED: [LATE, "7% of the sends failed"]}, 5)
    assert fleet.subjects == {2: "The fleet is critical", 12: "The fleet is degraded"}


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
