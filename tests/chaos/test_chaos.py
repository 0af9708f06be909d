"""The short form of `make chaos`: whatever is done to workers and Postgres, no promise is broken."""

from pathlib import Path

import pytest

from tests.chaos.campaign import campaign
from tests.chaos.scenario import draw

pytestmark = pytest.mark.acceptance


async def test_seeded_runs_break_no_promise(tmp_path: Path) -> None:
    async with campaign(tmp_path) as ground:
        verdicts = [await ground.run(draw(seed, 4.0)) for seed in (8, 11)]
    assert [verdict.line for verdict in verdicts if verdict.violations] == []


def test_seed_decides_what_is_done() -> None:
    assert draw(7, 5.0) == draw(7, 5.0)
    assert draw(7, 5.0).faults != draw(8, 5.0).faults
