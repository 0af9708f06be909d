"""Eleven days of a small pool with short retentions: `make years` in short."""

import datetime as dt

import pytest

from tests.store.rows import Ground, laid_ground  # noqa: F401  a fixture
from tests.years.life import Life
from warmupd.core.retention import Retention
from warmupd.daemon import keeping
from warmupd.store import partitions

DAYS = 11


async def test_tables_stay_as_great_as_they_are_and_nothing_unsettled_is_lost(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "HISTORY", dt.timedelta(days=4))
    monkeypatch.setattr(keeping, "BREATH", 0.0)
    retention = Retention(jobs=dt.timedelta(days=2), messages=dt.timedelta(days=1))
    life = Life(ground, mailboxes=4, quota=6, retention=retention, hours=(8, 14))
    await life.begin()
    weighed = []
    for number in range(DAYS):
        await life.day()
        if number in {DAYS - 5, DAYS - 1}:
            weighed.append(await life.weigh())
    assert life.lost == []
    assert {seen.unsettled > 0 for seen in life.days} >= {True}
    assert [seen.partitions for seen in life.days[-4:]] == [2 + 1 + partitions.AHEAD] * 4  # none is held for longer
    before, after = weighed
    grown = {name: (before[name][0], after[name][0]) for name in after if after[name][0] > 1.4 * before[name][0] + 8}
    assert grown == {}
    assert after["mailbox_days"][0] == 4 * (4 + 1)
    assert after["mailbox_months"][0] > 0
