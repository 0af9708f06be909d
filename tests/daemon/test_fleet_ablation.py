"""Ablation of eras, hand-over, planned stop and UNKNOWN in the daemon: see test_ablation."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests import test_clock as of_clock
from tests.ablation import take_out
from tests.daemon import fleet
from tests.daemon import test_outcomes as of_outcomes
from tests.daemon import test_postgres_trouble as of_trouble
from tests.daemon import test_shares as of_shares
from tests.daemon.fleet import Fleet
from tests.daemon.rig import Rig
from tests.daemon.test_postgres_trouble import pair  # noqa: F401  a fixture
from tests.ha.servers import Pair
from warmupd.clock import SystemClock
from warmupd.core import outcome
from warmupd.daemon.leases import Leases
from warmupd.daemon.shard import Shard

pytestmark = pytest.mark.ablation

STOPS = of_shares.test_worker_that_stops_leaves_its_slots_at_once
HANDED_OVER = of_shares.test_slot_with_a_send_under_way_is_handed_over_after_its_end
ERA = " and self._db.era == self._era"

FLEETS: list[tuple[Callable[..., Any], str, str, Callable[[Fleet], Awaitable[None]]]] = [
    (Leases.begin, "if epoch is not None", "if epoch is None", HANDED_OVER),
    (Leases._give_back, "await slots.give_back_slots(self._db, self.worker_id, idle)", "pass", HANDED_OVER),
]


@pytest.mark.parametrize("deed", FLEETS, ids=lambda deed: deed[1])
async def test_deed_is_missed(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    deed: tuple[Callable[..., Any], str, str, Callable[[Fleet], Awaitable[None]]],
) -> None:
    function, safeguard, nothing, test = deed
    take_out(monkeypatch, function, safeguard, nothing)
    monkeypatch.setattr(fleet, "PATIENCE", 5.0)  # a test that fails leaves sends that hang, and stops in vain
    with pytest.raises((AssertionError, TimeoutError)):
        await test(of_shares.fleet_of(rig))


async def test_giving_back_at_a_planned_stop_is_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slot as it falls idle, and all at the end: either is enough."""
    take_out(monkeypatch, Leases._give_back, "await slots.give_back_slots(self._db, self.worker_id, idle)", "pass")
    release = "await slots.release_slots(self._db, self.worker_id, at=self._clock.stamp())"
    take_out(monkeypatch, Leases.release, release, "pass")
    with pytest.raises(AssertionError):
        await STOPS(of_shares.fleet_of(rig))


async def test_a_look_at_the_era_after_a_grant_is_missed(
    rig: Rig, database_url: str, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out(monkeypatch, Shard._send_granted, "self._ground.db.era != self._asked_in", "False")
    with pytest.raises(AssertionError):
        await of_trouble.test_a_job_that_was_granted_just_before_a_failover_goes_back(rig, database_url, log)


async def test_new_epochs_after_a_failover_are_missed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    take_out(monkeypatch, Leases._renew, "era != self._era", "False")
    with pytest.raises(AssertionError):
        await of_trouble.test_a_killed_primary_is_followed_to_its_standby(pair)


async def test_doubt_after_a_failover_is_missed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    take_out(monkeypatch, Leases._is_sure, ERA, "")
    with pytest.raises((AssertionError, TimeoutError)):  # who trusts a dead server does not come to an end, either
        await of_trouble.test_what_the_old_primary_granted_is_not_sent_after_a_failover(pair)


async def test_loss_in_the_body_that_is_tried_again_is_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, outcome._no_reply, "if reply.phase is Phase.BODY:", "if not reply.phase:")
    with pytest.raises(AssertionError):
        await of_outcomes.test_unknown_outcome_is_never_sent_again_and_keeps_its_place(rig)


def test_a_workers_own_clock_in_place_of_the_databases_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, SystemClock.stamp, "return None", "return datetime.now(UTC)")
    with pytest.raises(AssertionError):
        of_clock.test_only_real_time_is_left_to_the_database()
