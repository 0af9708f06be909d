"""The short form of `make chaos`: whatever is done to workers and Postgres, no promise is broken."""

from pathlib import Path

import pytest

from tests.chaos.campaign import campaign
from tests.chaos.scenario import draw

SEEDS = (37, 38, 39)  # the first that sends enough on a busy machine

pytestmark = pytest.mark.acceptance


async def test_a_seeded_run_breaks_no_promise(tmp_path: Path) -> None:
    async with campaign(tmp_path) as ground:
        for seed in SEEDS:
            verdict = await ground.run(draw(seed, 5.0))
            assert not verdict.violations, verdict.line
            if not verdict.is_empty:
                return
    pytest.fail("hardly a message was sent")


def test_seed_decides_what_is_done() -> None:
    assert draw(7, 5.0) == draw(7, 5.0)
    assert draw(7, 5.0).faults != draw(8, 5.0).faults
