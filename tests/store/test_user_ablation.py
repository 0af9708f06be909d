"""Ablation: each safeguard of plans and erasure is taken out once, and the test that stands for it must fail."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg
import pytest

from tests.ablation import take_out, without
from tests.store import test_erasure as of_erasure
from tests.store import test_plans as of_plans
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_erasure import Scene, scene  # noqa: F401  scene is a fixture
from warmupd.errors import DatabaseUnavailable
from warmupd.store import enrolment, erased_words, erasure, mailboxes, user_changes, user_removals, visits

pytestmark = pytest.mark.ablation

FOUND = (AssertionError, DatabaseUnavailable, asyncpg.PostgresError, pytest.fail.Exception)

PLANS: list[tuple[Callable[..., Any], str, str, Callable[[Ground], Awaitable[None]]]] = [
    (enrolment._enrol, "FOR UPDATE OF u", "", of_plans.test_enrolment_under_a_change_of_plan_goes_by_the_new_one),
    (enrolment._room, "AND u.removed_at IS NULL", "", of_plans.test_enrolment_under_a_removal_finds_nobody),
    (
        enrolment._room,
        "AND u.removed_at IS NULL",
        "",
        of_plans.test_removed_user_leaves_with_their_mailboxes_and_comes_back_with_them,
    ),
    *(
        (
            user_changes.lock_user,
            "ORDER BY id FOR UPDATE",
            "",
            partial(of_plans.test_last_admin_stays_while_another_is_demoted, leaves=leaves),
        )
        for leaves in (False, True)
    ),
    (
        user_changes.change_user,
        'if news.keys() & {"timezone", "plan"}:',
        "if False:",
        of_plans.test_workers_hear_of_another_plan_and_of_a_changed_one,
    ),
    (
        mailboxes._day_limits,
        'found.append(DayLimit("plan", plan))',
        "pass",
        of_plans.test_most_sends_a_day_bound_the_days_that_are_opened_from_then_on,
    ),
    (user_removals.restore_user, 'row["erase_at"] is not None', "False", of_plans.test_erasure_cannot_be_undone),
]
CAPS = [
    (
        f"coalesce({own}[array_position(plans_capped, u.plan_id)], cfg.user_{cap})",
        f"cfg.user_{cap}",
        partial(test, cap=cap),
    )
    for cap, own in (("per_hour", "plan_hours"), ("per_minute", "plan_minutes"))
    for test in (
        of_plans.test_cap_of_another_plan_holds_with_the_next_send,
        of_plans.test_cap_that_is_changed_holds_with_the_next_send,
    )
]
NOTHING = of_erasure.test_nothing_names_an_erased_user
ERASURE: list[tuple[Callable[..., Any], str, str, Callable[[Scene], Awaitable[None]]]] = [
    (erasure.wipe_user, "_wipe_days(db, boxes), ", "", NOTHING),
    (erasure._wipe_days, '("warmup_jobs", "day", "id", (_SENT, _RECEIVED)),', "", NOTHING),
    (erasure._wipe_days, "(_SENT, _RECEIVED)", "(_SENT,)", NOTHING),
    (erasure._wipe_days, '("sightings", "job_day", "job_id", (_SIGHTED,)),', "", NOTHING),
    (erasure.wipe_user, "_wipe_tables(db, user_id), ", "", of_erasure.test_no_row_hangs_on_an_erased_user),
    (erasure.wipe_user, ", _wipe_deeds(db, user_id)", ",", NOTHING),
    (erasure.wipe_user, "wipe_words(db, user_id), ", "", NOTHING),
    (erasure._wipe_mailboxes, "DELETE FROM host_rests h USING", "SELECT FROM host_rests h,", NOTHING),
    (
        erasure._wipe_mailboxes,
        "DELETE FROM state_changes",
        "SELECT FROM state_changes",
        of_erasure.test_no_row_hangs_on_an_erased_user,
    ),
    (erasure._wipe_row, "for statement in _HISTORY:", "for statement in ():", NOTHING),
    (
        erasure._let_others_end,
        "range(PAUSES)",
        "()",
        of_erasure.test_who_is_in_the_midst_of_something_is_waited_for,
    ),
    (
        erased_words._words,
        "_DOMAINS,",
        "_DOMAINS.replace('WHERE user_id <> $1', 'WHERE false'),",
        of_erasure.test_others_of_the_same_domain_keep_what_was_said_of_it,
    ),
    (
        erased_words._words,
        'if not _is_of_provider(row["domain"])',
        "",
        partial(
            of_erasure.test_words_that_others_have_to_do_with_stay,
            address="lone@gmail.com",
            host="smtp.elsewhere.test",
            said="smtp.gmail.com:587: 535 bad credentials",
        ),
    ),
    (
        visits.end_visit,
        "_END_VISIT,",
        "_END_VISIT.replace('WHERE EXISTS (SELECT FROM mailboxes b WHERE b.id = $1)', ''),",
        of_erasure.test_visit_that_ends_after_the_erasure_writes_nothing,
    ),
    (
        user_removals.remove_user,
        "await end_pending(db, at=at)",
        "pass",
        of_erasure.test_what_waits_to_be_sent_to_them_ends,
    ),
]


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), PLANS)
async def test_plans_notice(
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[Ground], Awaitable[None]],
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(FOUND):
        await test(ground)


@pytest.mark.parametrize(("safeguard", "nothing", "test"), CAPS)
async def test_caps_notice(
    ground: Ground, safeguard: str, nothing: str, test: Callable[[Ground], Awaitable[None]]
) -> None:
    await _take_out_of_database(ground, "reserve_sends", safeguard, nothing)
    with pytest.raises(FOUND):
        await test(ground)


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), ERASURE)
async def test_erasure_notices(
    scene: Scene,  # noqa: F811  the fixture
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[Scene], Awaitable[None]],
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(FOUND):
        await test(scene)


async def test_lost_jobs_notice(scene: Scene) -> None:  # noqa: F811  the fixture
    await _take_out_of_database(scene.ground, "give_up_unknown", "v.mailbox_id IS NULL OR", "")
    with pytest.raises(FOUND):
        await of_erasure.test_lost_job_to_an_erased_mailbox_does_not_stay_unknown(scene)


async def _take_out_of_database(ground: Ground, function: str, safeguard: str, nothing: str) -> None:
    source = await ground.db.fetchval("SELECT pg_get_functiondef($1::text::regproc)", function)
    await ground.db.execute(without(source, safeguard, nothing))
