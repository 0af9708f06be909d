"""A plan that was made while the tables were empty is not one that reads them whole once they are full."""

import datetime as dt
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from tests.store.rows import CLOSES, NOON, OPENS, TODAY, Ground, Worker, after, ask, retry
from tests.store.test_days import DEFAULTS
from warmupd.core.job import Job, JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.core.ramp import Budget
from warmupd.core.window import Window
from warmupd.store import accounts, days, jobs, mailboxes
from warmupd.store.database import Database

BUDGET = Budget(quota=8, floor=5, ramp_day=2, factors=(("ramp", 8),))
_SCANS = "SELECT sum(seq_scan)::int FROM pg_stat_user_tables WHERE relname = ANY ($1)"
ROWS = (  # read from partitions of the jobs, one way or the other
    "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^warmup_jobs_')::int"
    " + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname ~ '^warmup_jobs_')::int"
)
READ_OF = "SELECT (seq_tup_read + idx_tup_fetch)::int FROM pg_stat_user_tables WHERE relname = '{}'"
_DAYS, _RINGS = READ_OF.format("mailbox_days"), READ_OF.format("cap_rings")
READ = ["mailbox_days", "mailboxes"]
DAY = 3000  # jobs, of which none is open any more
A_DAY = """
INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for, attempt_token,
                         picked_at, start_at, send_by, thread_seed, created_at)
SELECT $1, 'WARMUP', 'PROCESSING', n, gen_random_uuid(), n + 1, $1, $2, gen_random_uuid(), $2, $2, $2, n, $2
FROM generate_series(1, $3::int) AS n
"""
_CHANGES = """
INSERT INTO state_changes (at, subject, subject_id, actor, became, reason)
SELECT $1, 'mailbox', (1000000 + n)::text, 'cli', 'PAUSED', 'of another' FROM generate_series(1, $2::int) AS n
"""
_CLIMB = "SELECT sum(idx_tup_read)::int FROM pg_stat_user_indexes WHERE relname IN ('state_changes', 'mailboxes')"
_WAIT = (
    "UPDATE warmup_jobs SET status = 'PENDING', completed_at = NULL, scheduled_for = scheduled_for + interval '1 hour'"
    " WHERE mailbox_id <= $1"
)
_LATE = (
    "UPDATE warmup_jobs SET status = '{}', completed_at = NULL, send_by = send_by - interval '9 days', picked_at ="
    " picked_at - interval '9 days', scheduled_for = scheduled_for - interval '9 days' WHERE mailbox_id <= {}"
)
LATE = 5  # jobs
CROWD = 60  # jobs of the day that nobody asks for
Look = Callable[[Database], Awaitable[int]]
WAITING = 900  # of a day's jobs that are not due yet
_INDEX_BY_DAY = "DROP INDEX mailbox_days_day; CREATE INDEX mailbox_days_day ON mailbox_days (day)"
_ONE_INDEX = (  # for all that is open
    "DROP INDEX warmup_jobs_open; CREATE INDEX warmup_jobs_open ON warmup_jobs (mailbox_id)"
    " WHERE status IN ('PENDING', 'PROCESSING', 'UNKNOWN')"
)
LOOKS: list[Look] = [
    partial(jobs.reap, grace=60.0, look_within=60.0, at=NOON),
    partial(jobs.expire, at=NOON),
    partial(jobs.give_up_unknown, at=NOON),
]


async def test_days_and_accounts_are_had_by_their_keys_by_a_plan_from_when_there_were_none(database_url: str) -> None:
    assert await _scans_of_grown_tables(database_url) == 0


@pytest.mark.parametrize("function", ["last_days", "open_mailbox_days", "accounts_of"])
async def test_without_its_setting_each_would_scan(database_url: str, function: str) -> None:
    assert await _scans_of_grown_tables(database_url, f"ALTER FUNCTION {function} RESET enable_seqscan") > 0


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_retry_is_had_by_its_key_by_a_plan_from_when_it_was_the_first(
    database_url: str, *, analysed: bool
) -> None:
    assert await _rows_read_for_a_retry(database_url, analysed=analysed) < CROWD / 3


async def test_without_its_setting_a_reserve_would_read_all_jobs_for_a_retry(database_url: str) -> None:
    assert await _rows_read_for_a_retry(database_url, "ALTER FUNCTION reserve_sends RESET enable_seqscan") > CROWD


async def test_a_settlement_reads_the_days_of_its_own_senders(database_url: str) -> None:
    assert await _days_read_for_a_settlement(database_url) < CROWD / 3


async def test_without_its_settings_a_settlement_would_read_all_days(database_url: str) -> None:
    assert await _days_read_for_a_settlement(database_url, "ALTER FUNCTION charge_days RESET ALL") > CROWD


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("kind", [OutcomeKind.SENT, OutcomeKind.FAILED, OutcomeKind.UNKNOWN])
async def test_a_settlement_reads_its_own_jobs_by_a_plan_from_when_there_were_few(
    database_url: str, kind: OutcomeKind, *, analysed: bool
) -> None:
    assert await _jobs_read_for_a_settlement(database_url, kind, analysed=analysed) < CROWD


@pytest.mark.parametrize(
    "taken_out",
    [
        {"settle_sends": "enable_seqscan"},
        {"write_outcomes": "ALL"},
        {"answer_parents": "ALL", "write_replied": "ALL"},  # a function has the settings of its caller, too
    ],
)
async def test_without_its_settings_a_settlement_would_read_all_jobs(
    database_url: str, taken_out: dict[str, str]
) -> None:
    without = [f"ALTER FUNCTION {function} RESET {settings}" for function, settings in taken_out.items()]
    assert await _jobs_read_for_a_settlement(database_url, OutcomeKind.SENT, *without) >= DAY


async def test_a_reservation_reads_the_rings_of_its_own_users_by_a_plan_from_when_there_were_few(
    database_url: str,
) -> None:
    assert await _rings_read_for_a_reservation(database_url) < CROWD / 3


async def test_had_by_their_keys_all_rings_would_be_read(database_url: str) -> None:
    by_keys = "g.ring_at IS NOT NULL AND c.scope = ''USER'' AND c.ref = g.user_id"
    taken_out = _without("reserve_sends", "c.ctid = g.ring_at", by_keys)
    assert await _rings_read_for_a_reservation(database_url, taken_out) > CROWD


async def test_last_days_are_had_by_a_plan_from_when_there_were_none(database_url: str) -> None:
    assert await _days_read_for_one_mailbox(database_url) < CROWD / 3


async def test_by_the_mailbox_alone_the_days_of_others_would_be_passed(database_url: str) -> None:
    pair, alone = "(o.mailbox_id, o.day) <= (a.id, date ''infinity'')", "o.mailbox_id = a.id"
    taken_out = _without("last_days", pair, alone)
    assert await _days_read_for_one_mailbox(database_url, _INDEX_BY_DAY, taken_out) >= CROWD


async def test_a_climb_reads_its_own_mailbox_and_changes_by_a_plan_from_when_there_were_few(database_url: str) -> None:
    assert await _read_for_a_climb(database_url) < CROWD / 3


@pytest.mark.parametrize(
    ("safeguard", "nothing"),
    [("ORDER BY c.at DESC LIMIT 1", "LIMIT 1"), ("m.state::text = ''ACTIVE''", "m.state = ''ACTIVE''")],
)
async def test_by_another_index_a_climb_would_read_those_of_all(
    database_url: str, safeguard: str, nothing: str
) -> None:
    assert await _read_for_a_climb(database_url, _without("climb_ramp", safeguard, nothing)) >= CROWD


@pytest.mark.parametrize("look", LOOKS)
async def test_open_jobs_are_had_by_their_index_by_a_plan_from_when_there_was_no_job(
    database_url: str, look: Look
) -> None:
    assert await _jobs_read_for_a_look(database_url, look) < DAY / 3


@pytest.mark.parametrize("look", LOOKS)
async def test_looks_for_open_jobs_pass_over_those_that_wait(database_url: str, look: Look) -> None:
    assert await _jobs_read_for_a_look(database_url, look, waiting=WAITING) < CROWD


@pytest.mark.parametrize(
    ("look", "worse"), list(zip(LOOKS, (_ONE_INDEX, "DROP INDEX warmup_jobs_due", _ONE_INDEX), strict=True))
)
async def test_without_its_index_a_look_would_read_all_that_wait(database_url: str, look: Look, worse: str) -> None:
    assert await _jobs_read_for_a_look(database_url, look, worse, waiting=WAITING) >= WAITING


@pytest.mark.parametrize(
    ("function", "look"), list(zip(("reap_jobs", "expire_pending", "give_up_unknown"), LOOKS, strict=True))
)
async def test_planned_but_once_a_look_would_read_all_jobs(database_url: str, function: str, look: Look) -> None:
    assert await _jobs_read_for_a_look(database_url, look, f"ALTER FUNCTION {function} RESET plan_cache_mode") >= DAY


async def test_by_bitmaps_a_look_would_go_to_settled_jobs_each_time(database_url: str) -> None:
    by_bitmaps = "ALTER FUNCTION reap_jobs RESET enable_bitmapscan"
    assert await _jobs_read_for_a_look(database_url, LOOKS[0], by_bitmaps) >= DAY


async def _days_read_for_one_mailbox(url: str, *before: str) -> int:
    """How many days are read for the last one of a mailbox, by a plan from when there were none."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground = Ground(others)
        await ground.lay()
        for statement in (*before, "VACUUM ANALYZE mailbox_days"):
            await others.execute(statement)
        assert await days.load_days(db, [1]) == {}
        first, *_ = await ground.mailboxes(CROWD)
        read = await told(others, db, told=_DAYS)
        assert len(await days.load_days(db, [first])) == 1
        return await told(db, told=_DAYS) - read


async def _read_for_a_climb(url: str, *before: str) -> int:
    """How many entries are read when a ramp climbs, by a plan from when there were few mailboxes, and no changes."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        for statement in (*before, "TRUNCATE state_changes"):
            await others.execute(statement)
        worker, pairs = await ground.worker(), [await ground.pair(quota=1) for _ in range(2)]
        first, second = [await ground.grant(worker, ask(*pair)) for pair in pairs]
        assert await planned.settle(first, OutcomeKind.SENT) is JobStatus.SENT
        await others.execute(_CHANGES, NOON, CROWD)
        await ground.mailboxes(CROWD)
        read = await told(others, db, told=_CLIMB)
        assert await planned.settle(second, OutcomeKind.SENT) is JobStatus.SENT
        assert await others.fetchval("SELECT sum(ramp_days) FROM mailboxes") == len(pairs)
        return await told(others, db, told=_CLIMB) - read


@pytest.mark.parametrize(("look", "status"), list(zip(LOOKS, ("PROCESSING", "PENDING", "UNKNOWN"), strict=True)))
async def test_what_a_look_ends_is_had_by_its_keys(database_url: str, look: Look, status: str) -> None:
    late = _LATE.format(status, LATE)
    assert await _jobs_read_for_a_look(database_url, look, then=late, ended=LATE) < LATE * 20


async def _jobs_read_for_a_look(
    url: str, look: Look, *before: str, waiting: int = 0, then: str = "SELECT", ended: int = 0
) -> int:
    """How many jobs are read when the settled ones have been passed once, by a plan from when there was none."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground = Ground(others)
        await ground.lay()
        for statement in (*before, "VACUUM ANALYZE warmup_jobs"):
            await others.execute(statement)
        for _ in range(7):  # from the sixth time on a plan may be kept
            await look(db)
        await others.execute(A_DAY, TODAY, NOON, DAY)
        await others.execute("UPDATE warmup_jobs SET status = 'SENT', completed_at = picked_at")
        await others.execute(_WAIT, waiting)
        await look(db)
        await others.execute(then)
        read = await told(others, db, told=ROWS)
        assert await look(db) == ended
        return await told(db, told=ROWS) - read


def _without(function: str, safeguard: str, nothing: str) -> str:
    text = f"replace(pg_get_functiondef('{function}'::regproc), '{safeguard}', '{nothing}')"
    return f"DO $$ BEGIN EXECUTE {text}; END $$"


async def _rings_read_for_a_reservation(url: str, *before: str) -> int:
    """How many rings are read for one user, by a plan from when there were two users."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        worker, pairs = await ground.worker(), [await ground.pair() for _ in range(CROWD)]
        await ground.grant(worker, ask(*pairs[0]))
        for statement in (*before, "VACUUM ANALYZE cap_rings"):
            await others.execute(statement)
        await planned.grant(worker, ask(*pairs[0]), after(300))
        await ground.reserve(worker, *(ask(*pair) for pair in pairs[1:]), at=after(300))
        read = await told(others, db, told=_RINGS)
        await planned.grant(worker, ask(*pairs[1]), after(600))
        return await told(others, db, told=_RINGS) - read


async def _days_read_for_a_settlement(url: str, *before: str) -> int:
    """How many days are read where the planner knows that there are few, so that reading all looks cheap."""
    async with await Database.open(url, pool_size=1, application_name="tests") as db:
        ground = Ground(db)
        await ground.lay()
        worker, (sender, recipient, *_) = await ground.worker(), await ground.mailboxes(CROWD + 2)
        job = await ground.grant(worker, ask(sender, recipient))
        for statement in (*before, "VACUUM ANALYZE mailbox_days"):
            await db.execute(statement)
        read = await told(db, told=_DAYS)
        assert await ground.settle(job, OutcomeKind.SENT) is JobStatus.SENT
        return await told(db, told=_DAYS) - read


async def _jobs_read_for_a_settlement(url: str, kind: OutcomeKind, *before: str, analysed: bool = True) -> int:
    """How many jobs are read when a first message and an answer are settled, by plans from when there were but four."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        for statement in (*before, *(["VACUUM ANALYZE warmup_jobs"] if analysed else ())):
            await others.execute(statement)
        worker = await ground.worker()
        first, second = [await _message_and_answer(ground, worker) for _ in range(2)]
        for job in first:
            assert await planned.settle(job, OutcomeKind.SENT) is JobStatus.SENT
        await others.execute(A_DAY, TODAY, NOON, DAY)
        read = await told(others, db, told=ROWS)
        for job in second:
            assert await planned.settle(job, kind) is not None
        return await told(others, db, told=ROWS) - read


async def _message_and_answer(ground: Ground, worker: Worker) -> list[Job]:
    """A first message, and the answer to another one, both reserved."""
    sender, recipient, another = await ground.mailboxes(3)
    parent = await ground.grant(worker, ask(sender, recipient))
    await ground.settle(parent, OutcomeKind.SENT)
    answer = await ground.grant(worker, retry(await ground.answer(parent)))
    return [await ground.grant(worker, ask(another, recipient)), answer]


async def _rows_read_for_a_retry(url: str, *before: str, analysed: bool = True) -> int:
    """How many jobs are read when a retry is reserved, by a plan from when there were but two."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        for statement in (*before, *(["VACUUM ANALYZE warmup_jobs"] if analysed else ())):
            await others.execute(statement)
        worker, (recipient, first, second, *senders) = await ground.worker(), await ground.mailboxes(CROWD + 3)
        granted = [await ground.grant(worker, ask(sender, recipient)) for sender in (first, second)]
        for waiting in [await ground.deferred(job, after(300)) for job in granted]:
            read = await told(others, db, told=ROWS)
            await planned.grant(worker, retry(waiting), after(300))
            rows = await told(db, told=ROWS) - read
            await ground.reserve(worker, *(ask(one, recipient) for one in senders), at=after(300))
        return rows


async def _scans_of_grown_tables(url: str, *before: str) -> int:
    """How often tables are scanned for days and accounts, once a few rows have come that no plan knows of."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        for statement in (*before, *(f"VACUUM ANALYZE {table}" for table in READ)):
            await others.execute(statement)
        ground = Ground(others)
        await ground.lay()
        for _ in range(7):  # from the sixth time on a statement's plan is kept
            await days.load_days(db, [1])
            await days.open_days(db, [])
            await accounts.load_accounts(db, [1])
        await ground.mailboxes(20)
        loaded = await mailboxes.load_mailboxes(others, DEFAULTS)
        scans = await told(others, db)
        wanted = [(one, TODAY + dt.timedelta(days=1), _tomorrow(), BUDGET) for one in loaded]
        ids = [one.id for one in loaded]
        assert len(await days.open_days(db, wanted)) == len(await days.load_days(db, ids)) == 20
        assert len(await accounts.load_accounts(db, ids)) == 20
        return await told(db) - scans


async def told(*told_by: Database, told: str = _SCANS) -> int:
    for db in told_by:
        await db.execute("SELECT pg_stat_force_next_flush()")
    number: int = await told_by[-1].fetchval(told, *([READ] if told == _SCANS else ()))
    return number


def _tomorrow() -> Window:
    return Window(opens_at=OPENS + dt.timedelta(days=1), closes_at=CLOSES + dt.timedelta(days=1))
