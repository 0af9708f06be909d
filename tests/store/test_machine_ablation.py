"""Ablation by the game of test_coordination_machine: each safeguard is taken out once, and some game must be lost.

Locks that two must miss in one moment, and the fourth message without proof, are left to the directed tests of
test_ablation and test_fleet_ablation.
"""

import asyncio

import asyncpg
import pytest

from tests.ablation import without
from tests.store.test_coordination_machine import laid, named, play  # noqa: F401  laid is a fixture

pytestmark = pytest.mark.ablation

GAMES = 120
OWNER = "AND s.epoch = p_epochs[array_position(p_slots, s.slot)]\n          AND s.owner = p_worker"
SAFEGUARDS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "epoch check in reserve": ("reserve_sends", [(OWNER, "")]),
    "lease in reserve": ("reserve_sends", [("AND s.lease_until > instant(p_now)", "")]),
    "epoch check of sightings": ("hold_slot", [("s.epoch = p_epoch", "true")]),
    "attempt token": ("settle_sends", [(" AND o.attempt_token = t.token", "")]),
    "stored batch answer": ("reserve_sends", [("worker.batch_id = p_batch", "false")]),
    "spacing in reserve": ("reserve_sends", [("WHEN p.next_ok_at > v_now", "WHEN false")]),
    "what is under way is left to its worker": ("reap_jobs", [("AND send_by + grace < v_now", "")]),
}


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_game_is_lost_without(postgres: str, laid: str, name: str) -> None:  # noqa: F811  the fixture
    function, changes = SAFEGUARDS[name]
    asyncio.run(take_out(named(postgres, laid), function, changes))
    with pytest.raises((AssertionError, asyncpg.IntegrityConstraintViolationError)):
        play(postgres, laid, games=GAMES)


async def take_out(url: str, function: str, changes: list[tuple[str, str]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        source = await connection.fetchval("SELECT pg_get_functiondef($1::text::regproc)", function)
        for safeguard, nothing in changes:
            source = without(source, safeguard, nothing)
        await connection.execute(source)
    finally:
        await connection.close()
