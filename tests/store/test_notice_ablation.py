"""Ablation of notices: each safeguard of what is told, and of the outbox, is taken out once, and its test must fail."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.ablation import take_out, without
from tests.store import test_notice_owners as of_owners
from tests.store import test_notices as of_notices
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.store import notice_owners, notices

pytestmark = pytest.mark.ablation

Test = Callable[[Ground], Awaitable[None]]

IN_PYTHON: list[tuple[Callable[..., Any], str, str, Test]] = [
    (
        notices.claim_deliveries,
        " AND d.claimed_until <= (TABLE moment)",
        "",
        of_notices.test_who_asks_for_one_notice_waits_for_who_has_it,
    ),
    (
        notices.claim_deliveries,
        "DISTINCT ON (d.user_id, d.channel, d.recipient) ",
        "",
        of_notices.test_one_recipient_has_one_delivery_under_way,
    ),
    (
        notices.claim_deliveries,
        "ended_at IS NULL AND claimed_until > (TABLE moment) AND",
        "false AND",
        of_notices.test_one_recipient_has_one_delivery_under_way,
    ),
    (
        notices.claim_deliveries,
        " AND u.email_confirmed_at IS NOT NULL",
        "",
        of_notices.test_mail_goes_to_the_confirmed_address_that_holds_when_it_is_delivered,
    ),
    (
        notices._give_up,
        "tries >= $2",
        "tries < 0 * $2",
        of_notices.test_a_delivery_that_kills_its_workers_ends,
    ),
    (
        notices.end_delivery,
        "AND claim = $4",
        "AND $4::uuid IS NOT NULL",
        of_notices.test_who_lost_its_claim_changes_nothing,
    ),
    (
        notices.list_notices,
        "($1::uuid IS NULL OR n.user_id = $1)",
        "($1::uuid IS NULL OR true)",
        of_notices.test_lists_are_of_ones_own_and_the_operators_are_for_admins,
    ),
    (
        notice_owners.tell_troubles,
        "s.quiet_until <= $2",
        "$2::timestamptz IS NOT NULL",
        of_owners.test_who_comes_late_in_the_quiet_waits,
    ),
    (
        notice_owners._take_turned,
        "SET told = s.stands",
        "SET told = s.told",
        of_owners.test_trouble_is_told_after_a_minute_and_once,
    ),
]

IN_SQL: list[tuple[str, str, Test]] = [
    (
        "AND f.became IN ('PAUSED', 'REMOVED')",
        "AND false",
        of_owners.test_what_its_owner_stops_is_no_trouble_any_more,
    ),
    (
        "SET stands = 'NORMAL',",
        "SET",
        of_owners.test_what_was_over_before_it_was_told_is_no_news,
    ),
    (
        "AND f.what = 'state' AND f.became IN ('AUTH_FAILED', 'SUSPENDED')",
        "AND f.became IN ('AUTH_FAILED', 'SUSPENDED')",
        of_owners.test_health_and_state_in_one_statement_are_one_change,
    ),
]


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), IN_PYTHON)
async def test_safeguard_of_the_store_is_missed(
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Test,
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, ValueError)):  # ValueError: another number of rows than the test unpacks
        await test(ground)


@pytest.mark.parametrize(("safeguard", "nothing", "test"), IN_SQL)
async def test_safeguard_of_the_trigger_is_missed(ground: Ground, safeguard: str, nothing: str, test: Test) -> None:
    source = await ground.db.fetchval("SELECT pg_get_functiondef('note_standings'::regproc)")
    await ground.db.execute(without(source, safeguard, nothing))
    with pytest.raises(AssertionError):
        await test(ground)
