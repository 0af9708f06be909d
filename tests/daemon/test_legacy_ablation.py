"""Ablation: each safeguard of the taking over is taken out once, and its test must fail."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.ablation import take_out
from tests.daemon import test_legacy as of_legacy
from tests.daemon.test_legacy import (  # fixtures are named otherwise than what makes them
    Importing,
    allowing,  # noqa: F401
    made_in_snake_case,  # noqa: F401
    made_once,  # noqa: F401
    taking_over,  # noqa: F401
)
from warmupd.core import legacy_days, legacy_ramp
from warmupd.daemon import legacy_history
from warmupd.store import legacy_counts, past_days
from warmupd.store.database import Database

pytestmark = pytest.mark.ablation

Test = Callable[[Database, Importing, str], Awaitable[None]]
SAFEGUARDS: list[tuple[Callable[..., Any], str, str, Test]] = [
    (legacy_counts._counted, "upper(btrim(t.{names['status']}::text, E' \\\\t\\\\r\\\\n'))",
     "t.{names['status']}::text", of_legacy.test_all_spellings_of_sent_count),
    (legacy_ramp._days_at, "(rate - ramp.start) // ramp.step + 1", "0", of_legacy.test_ramp_goes_on_where_it_was),
    (legacy_history.Carrier.carry, "carry_ramps(connection, ramps)", "carry_ramps(connection, {})",
     of_legacy.test_ramp_goes_on_where_it_was),
    (legacy_days.past_days, "one.day <= now_day", "one.day < now_day", of_legacy.test_todays_sends_are_used_up_already),
    (past_days.write_past_days, '"sent": one.sent', '"sent": one.sent + 1', of_legacy.test_all_spellings_of_sent_count),
]  # fmt: skip


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), SAFEGUARDS, ids=[one[1] for one in SAFEGUARDS])
async def test_its_test_fails_without_it(
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Test,
    db: Database,
    importing: Importing,
    snake_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, TypeError)):
        await test(db, importing, snake_url)


async def test_counts_are_added_again_without_what_was_counted_before(
    db: Database, importing: Importing, snake_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        past_days, "_WRITE", past_days._WRITE.replace("- d.old_sent", "- 0").replace("> d.old_sent", "> 0")
    )
    with pytest.raises(AssertionError):
        await of_legacy.test_counts_that_grew_are_added_once(db, importing, snake_url)
