"""The ablation table: each safeguard of the coordination core, what is taken out for it, and what misses it.

`TABLE` names the removals; each has a directed test, here or in the ablations of store and daemon. A few are missed by
the campaign, too (`make chaos ARGS="--without NAME"`): those whose violation came in several runs in a row. The others
need an interleaving that a storm brings now and then, and are left to the directed tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ablation import source_of, take_out, without
from tests.chaos.campaign import campaign
from tests.chaos.safeguards import SAFEGUARDS, take_out_of_database
from tests.chaos.scenario import draw
from tests.daemon.test_ablation import LEASES
from tests.store import test_caps as of_caps
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import RESERVE, SETTLE, Ablation, miss
from tests.store.test_truth_ablation import SLOT
from tests.test_clock import test_only_real_time_is_left_to_the_database as clock_is_the_databases
from warmupd.clock import SystemClock
from warmupd.daemon.sends import Sends

COUNTED_FIRST = (
    "SELECT * INTO ring FROM cap_rings WHERE scope = 'GLOBAL' AND ref = nobody;",
    "SELECT c.* INTO ring FROM (SELECT pg_advisory_xact_lock(1463898733, 1)) AS l, cap_rings c WHERE ref = nobody;",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A safeguard. `directed` are fragments of functions whose removal a directed test misses."""

    safeguard: str
    directed: tuple[tuple[str | Callable[..., Any], str], ...]
    seeds: tuple[int, ...] = ()  # of runs of the campaign that miss it, the further ones for a busy machine
    expected: tuple[str, ...] = ()  # beginnings of what such a run calls broken: anything else proves nothing


TABLE = {
    "epoch": Row(
        safeguard="only the newest epoch of a slot reserves, and records what a visit found",
        directed=(
            ("reserve_sends", "AND s.epoch = p_epochs[array_position(p_slots, s.slot)]"),
            ("hold_slot", "s.epoch = p_epoch"),
        ),
    ),
    "attempt-token": Row(
        safeguard="an outcome counts for the attempt that it is of",
        directed=(("settle_sends", " AND o.attempt_token = t.token"),),
    ),
    "stored-answer": Row(
        safeguard="a batch asked again after a lost COMMIT gets its answer",
        directed=(("reserve_sends", "worker.batch_id = p_batch"),),
    ),
    "spacing": Row(
        safeguard="reserve itself keeps the spacing",
        directed=(("reserve_sends", "WHEN p.next_ok_at > v_now"),),
    ),
    "trust": Row(
        safeguard="a worker asks itself before MAIL and before the body whether its lease can be trusted",
        directed=((Sends._send, "self._leases.trusts(mailbox, epoch)"),),
    ),
    "cap-lock": Row(
        safeguard="the lock of the caps is a statement of its own, before the one that counts",
        directed=(("reserve_sends", "PERFORM pg_advisory_xact_lock(1463898733, 1);"),),
    ),
    "database-clock": Row(
        safeguard="windows are judged by the database's clock",
        directed=(),  # see below
        seeds=(3, 2),
        expected=("window", "unreserved"),
    ),
    "proof": Row(
        safeguard="who has not proven the address gets three messages",
        directed=(("reserve_sends", "unproven_sends + nth <= 3"),),
        seeds=(2, 1),
        expected=("I9 more than three messages",),
    ),
}


def test_every_safeguard_has_its_row() -> None:
    assert set(TABLE) == set(SAFEGUARDS)


@pytest.mark.parametrize("name", SAFEGUARDS)
async def test_what_a_campaign_takes_out_is_there_to_be_taken(ground: Ground, name: str) -> None:
    await take_out_of_database(ground.db, name)
    for removal in SAFEGUARDS[name]:
        if not isinstance(removal.function, str):
            without(source_of(removal.function), removal.safeguard, removal.nothing)


def test_every_row_has_its_directed_test() -> None:
    cases: set[tuple[str | Callable[..., Any], str]] = {("reserve_sends", case[0]) for case in RESERVE}
    cases |= {("settle_sends", case[0]) for case in SETTLE} | {("hold_slot", case[0]) for case in SLOT}
    cases |= {(deed[0], deed[1]) for deed in LEASES}
    assert [named for row in TABLE.values() for named in row.directed if named not in cases] == []


def test_every_row_with_seeds_says_what_is_expected() -> None:
    assert [name for name, row in TABLE.items() if bool(row.seeds) is not bool(row.expected)] == []


@pytest.mark.ablation
async def test_counting_in_the_statement_that_locks_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    source = await ground.db.fetchval("SELECT pg_get_functiondef('reserve_sends'::regproc)")
    await ground.db.execute(source.replace("PERFORM pg_advisory_xact_lock(1463898733, 1);", ""))
    test = of_caps.test_cap_is_not_spent_twice_by_two_who_count_at_once
    await miss(ground, monkeypatch, Ablation("reserve_sends", *COUNTED_FIRST, test))


@pytest.mark.ablation
async def test_clock_that_is_not_the_databases_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = ("coalesce(p_now, clock_timestamp())", "clock_timestamp() + interval '10 minutes'")
    test = of_caps.test_production_reads_the_databases_clock
    await miss(ground, monkeypatch, Ablation("reserve_sends", *ahead, test))


@pytest.mark.ablation
def test_worker_that_hands_its_own_clock_to_the_database_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, SystemClock.stamp, "return None", "return self.now()")
    with pytest.raises(AssertionError):
        clock_is_the_databases()


@pytest.mark.ablation
@pytest.mark.acceptance
@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.seeds])
async def test_campaign_misses_what_was_taken_out(tmp_path: Path, name: str) -> None:
    async with campaign(tmp_path, without=name) as ground:
        for seed in TABLE[name].seeds:
            verdict = await ground.run(draw(seed, 5.0, pace=1.5))
            if any(kind.startswith(TABLE[name].expected) for kind in verdict.violations):
                return
    pytest.fail(f"no run has missed it: {verdict.line}")
