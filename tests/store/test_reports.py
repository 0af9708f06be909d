"""Reports read what is there: days, caps, workers, and the mailboxes that need somebody."""

import asyncio
import datetime as dt
from uuid import UUID, uuid4

import pytest

from warmupd.core.health import IN_SPAM_REMEDY, HealthRules
from warmupd.core.mailbox import Defaults, Hours, MailboxState, Ramp
from warmupd.core.ramp import resolve_budget
from warmupd.core.window import window_of
from warmupd.errors import UsageError
from warmupd.store import caps, diagnosis, enrolment, fleet, mailbox_report, mended, reports, roster, slots, users
from warmupd.store.accounts import NewMailbox
from warmupd.store.database import Database
from warmupd.store.days import open_days
from warmupd.store.mailboxes import load_mailboxes
from warmupd.store.partitions import make_partitions
from warmupd.store.states import change_state, note_error, rest_mailbox

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DEFAULTS = Defaults(zone="UTC", hours=Hours(start=0, end=24), ramp=Ramp(start=40, step=1, target=40, floor=30))


async def user(db: Database, email: str = "owner@example.com") -> UUID:
    return await users.add_user(db, email=email, role=users.Role.USER, actor="test", at=NOW)


async def mailbox(db: Database, owner: UUID, address: str) -> int:
    new = NewMailbox(
        user_id=owner,
        address=address,
        display_name="",
        smtp_host="smtp.example.com",
        smtp_port=587,
        smtp_security="STARTTLS",
        smtp_username=address,
        imap_host="imap.example.com",
        imap_port=993,
        imap_security="TLS",
        imap_username=address,
    )
    wish = enrolment.Wish(new=new, seal=lambda _: enrolment.Sealed(smtp=b"smtp", imap=b"imap"))
    (mailbox_id,) = await enrolment.enrol(db, owner, [wish], actor="test", at=NOW)
    assert isinstance(mailbox_id, int)
    return mailbox_id


async def open_today(db: Database, mailbox_id: int) -> None:
    (found,) = await load_mailboxes(db, DEFAULTS, [mailbox_id])
    window = window_of(NOW.date(), found.zone, found.hours)
    assert window is not None
    await open_days(
        db, [(found, NOW.date(), window, resolve_budget(found, NOW.date(), variance=0.1, rules=HealthRules()))]
    )


async def use_cap(db: Database, scope: str, ref: UUID, sends: int, head: dt.datetime) -> None:
    """As if `sends` had been granted in the second of `head`."""
    ring = "array_fill(0, ARRAY[{0} - 1]) || $4::integer"
    await db.execute(
        "INSERT INTO cap_rings (scope, ref, head, head_s, seconds, halves)"
        f" VALUES ($1, $2, $3, floor(extract(epoch FROM $3::timestamptz)), {ring.format(122)}, {ring.format(124)})"
        " ON CONFLICT (scope, ref) DO UPDATE SET head = excluded.head, head_s = excluded.head_s,"
        " seconds = excluded.seconds, halves = excluded.halves",
        scope,
        ref,
        head,
        sends,
    )


async def test_open_day_is_reported_with_what_made_its_quota(db: Database) -> None:
    anna = await mailbox(db, await user(db), "anna@example.com")
    await open_today(db, anna)
    counts = (await reports.days_of(db, [anna]))[anna]
    budget = await mailbox_report.budget_of(db, anna, NOW.date())
    assert budget is not None
    assert budget.factors[0] == ("ramp", 40)
    assert counts.day.quota == budget.quota == budget.factors[-1][1]
    assert (counts.sent, counts.failed, budget.ramp_day) == (0, 0, 1)


async def test_mailbox_without_a_day_is_not_reported(db: Database) -> None:
    anna = await mailbox(db, await user(db), "anna@example.com")
    assert await reports.days_of(db, [anna]) == {}


async def test_states_are_counted_without_removed_mailboxes(db: Database) -> None:
    owner = await user(db)
    anna = await mailbox(db, owner, "anna@example.com")
    await mailbox(db, owner, "bert@example.com")
    await change_state(db, anna, MailboxState.REMOVED, actor="test", reason="", at=NOW)
    assert await reports.state_counts(db) == {"ACTIVE": 1}


async def test_rest_is_reported_until_it_ends(db: Database) -> None:
    anna = await mailbox(db, await user(db), "anna@example.com")
    until = NOW + dt.timedelta(hours=1)
    await rest_mailbox(db, anna, until=until, reason="rate", message="450", remedy="", at=NOW)
    assert await reports.resting(db, at=NOW) == {anna: until}
    assert await reports.resting(db, at=until) == {}


async def test_worst_mailboxes_come_first(db: Database) -> None:
    owner = await user(db)
    well, resting, suspended, refused = [await mailbox(db, owner, f"{name}@example.com") for name in "wrsf"]
    await rest_mailbox(
        db, resting, until=NOW + dt.timedelta(hours=1), reason="rate", message="450 slow", remedy="wait", at=NOW
    )
    await change_state(db, suspended, MailboxState.SUSPENDED, actor="daemon", reason="550 spam", at=NOW)
    await change_state(db, refused, MailboxState.AUTH_FAILED, actor="daemon", reason="535 no", at=NOW)
    found = await reports.attention(db, at=NOW, limit=10)
    assert [(one.address[0], one.what) for one in found] == [("f", "535 no"), ("s", "550 spam"), ("r", "450 slow")]
    assert well


async def test_old_error_is_no_remedy_for_a_suspension_for_spam_nor_for_a_rest(db: Database) -> None:
    owner = await user(db)
    resting, sick = [await mailbox(db, owner, f"{name}@example.com") for name in "rs"]
    until = NOW + dt.timedelta(hours=1)
    await rest_mailbox(db, resting, until=until, reason="rate", message="450 slow", remedy="wait", at=NOW)
    for box in (resting, sick):
        await note_error(db, box, message="535 no", remedy="check the password", at=NOW)
    await change_state(db, sick, MailboxState.SUSPENDED, actor="daemon", reason="95 % in spam", at=NOW)
    await db.execute("UPDATE mailboxes SET health = 'SUSPENDED', health_at = $2 WHERE id = $1", sick, NOW)
    found = await reports.attention(db, at=NOW, limit=10)
    assert [(one.what, one.remedy) for one in found] == [("95 % in spam", IN_SPAM_REMEDY), ("450 slow", "wait")]


async def test_pool_with_one_mailbox_is_narrow_and_one_with_two_is_not(db: Database) -> None:
    alone, pair = await user(db, "alone@example.com"), await user(db, "pair@example.com")
    await mailbox(db, alone, "a@example.com")
    for name in "bc":
        await mailbox(db, pair, f"{name}@example.com")
    (narrow,) = await reports.narrow_pools(db)
    assert narrow.pool == "the private pool of alone@example.com"


async def test_unproven_mailboxes_with_three_messages_do_not_count_as_recipients(db: Database) -> None:
    owner = await user(db)
    anna, bert, carl = [await mailbox(db, owner, f"{name}@example.com") for name in "abc"]
    await db.execute("UPDATE proofs SET unproven_sends = 3 WHERE mailbox_id = ANY ($1)", [bert, carl])
    recipients = (await roster.recipients(db, [anna], at=NOW))[anna]
    assert (recipients.others, recipients.receiving, recipients.available) == (2, 2, 0)
    assert await reports.narrow_pools(db) == []  # nobody has looked yet
    await db.execute("UPDATE mailbox_visits SET last_visit_at = now()")
    (narrow,) = await reports.narrow_pools(db)
    assert (narrow.receiving, narrow.exhausted) == (3, 2)


@pytest.mark.parametrize(("age", "used_minute", "used_hour"), [(0, 8, 8), (30, 8, 8), (90, 0, 8), (3700, 0, 0)])
async def test_caps_are_counted_over_sliding_windows(db: Database, age: int, used_minute: int, used_hour: int) -> None:
    owner = await user(db)
    await use_cap(db, "USER", owner, 8, NOW - dt.timedelta(seconds=age))
    use = {cap.cap: cap for cap in (await caps.caps_of(db, [owner], at=NOW))[owner]}
    assert (use["user_minute"].used, use["user_hour"].used) == (used_minute, used_hour)
    assert (use["user_minute"].limit, use["global_minute"].used) == (8, 0)
    free_at = use["user_minute"].free_at
    assert free_at is None if used_minute < 8 else free_at is not None and free_at > NOW


async def test_user_who_never_sent_has_used_nothing(db: Database) -> None:
    owner = await user(db)
    await mailbox(db, owner, "anna@example.com")
    (used,) = await caps.user_caps(db, at=NOW)
    assert (used.email, used.used_hour, used.per_hour, used.by_plan) == ("owner@example.com", 0, 300, False)


async def test_plan_overrules_the_settings(db: Database) -> None:
    await mailbox(db, await user(db), "anna@example.com")
    await db.execute("UPDATE plans SET per_hour = 50")
    (used,) = await caps.user_caps(db, at=NOW)
    assert (used.per_hour, used.per_minute, used.by_plan) == (50, 8, True)


async def test_live_worker_is_listed_with_its_slots_until_it_stops(db: Database) -> None:
    worker = uuid4()
    limits = {"global_per_hour": 5}
    await slots.register_worker(
        db, worker, name="host:1", http_address="127.0.0.1:3000", version="1", limits=limits, at=NOW
    )
    await slots.claim_slots(db, worker, ttl=30.0, most=10, at=NOW)
    (listed,) = await fleet.live_workers(db, at=NOW)
    assert (listed.name, listed.slots, listed.limits) == ("host:1", 10, limits)
    assert (await fleet.fleet_settings(db, at=NOW)).slots_held == 10
    await slots.release_slots(db, worker, at=NOW)
    assert await fleet.live_workers(db, at=NOW) == []


async def test_slot_count_is_adopted_only_before_the_first_claim(db: Database) -> None:
    assert await fleet.adopt_slot_count(db, 4) == 4
    worker = uuid4()
    await slots.register_worker(db, worker, name="host:1", http_address="", version="1", limits={}, at=NOW)
    assert len(await slots.claim_slots(db, worker, ttl=30.0, most=10, at=NOW)) == 4
    assert await fleet.adopt_slot_count(db, 8) == 4


async def test_more_slots_than_a_fleet_can_have_are_refused(db: Database) -> None:
    with pytest.raises(UsageError, match="more than a fleet can have"):
        await fleet.adopt_slot_count(db, 5000)
    assert await slots.slot_count(db) == 64


@pytest.mark.parametrize(("reason", "rests"), [("bad_credentials", False), ("daily_limit", True)])
async def test_only_a_rest_that_its_owner_can_mend_ends(db: Database, reason: str, rests: bool) -> None:
    anna = await mailbox(db, await user(db), "anna@example.com")
    until = NOW + dt.timedelta(hours=1)
    await rest_mailbox(db, anna, until=until, reason=reason, message="", remedy="", at=NOW)
    await mended.end_rest(db, [anna])
    assert (anna in await reports.resting(db, at=NOW)) is rests


async def test_doctor_tries_the_mailbox_with_the_last_error(db: Database) -> None:
    owner = await user(db)
    anna, bert = [await mailbox(db, owner, f"{name}@example.com") for name in "ab"]
    assert await diagnosis.mailbox_to_try(db) == anna
    await rest_mailbox(db, bert, until=NOW, reason="rate", message="450", remedy="", at=NOW)
    assert await diagnosis.mailbox_to_try(db) == bert
    sample = await diagnosis.sample_sealed(db, limit=5)
    assert [(one.mailbox_id, one.purpose) for one in sample] == [
        (anna, "imap"),
        (anna, "smtp"),
        (bert, "imap"),
        (bert, "smtp"),
    ]
    assert (await diagnosis.ask_server(db)).most_connections > 0


async def test_stop_is_stored_once_and_told(db: Database) -> None:
    assert await fleet.set_sending(db, stopped=True, actor="test", at=NOW)
    assert not await fleet.set_sending(db, stopped=True, actor="test", at=NOW)
    assert (await fleet.fleet_settings(db, at=NOW)).sending_stopped
    assert await fleet.set_sending(db, stopped=False, actor="test", at=NOW)
    rows = await db.fetch("SELECT subject_id, was, became FROM state_changes WHERE subject = 'fleet' ORDER BY id")
    assert [tuple(row) for row in rows] == [("sending", "STARTED", "STOPPED"), ("sending", "STOPPED", "STARTED")]


async def worker_with_slots(db: Database, *, ttl: float, most: int = 64) -> UUID:
    worker = uuid4()
    await slots.register_worker(db, worker, name="host:1", http_address="", version="1", limits={}, at=NOW)
    await slots.claim_slots(db, worker, ttl=ttl, most=most, at=NOW)
    return worker


async def test_new_slots_are_claimed_only_when_the_last_old_lease_is_over(db: Database) -> None:
    first = await worker_with_slots(db, ttl=10.0, most=3)
    await worker_with_slots(db, ttl=30.0)
    assert await fleet.resize(db, 8, actor="test", at=NOW) == 64
    assert await slots.renew_slots(db, first, ttl=30.0, demand=0, at=NOW) == {}
    late = NOW + dt.timedelta(seconds=29.9)
    assert await slots.claim_slots(db, first, ttl=30.0, most=64, at=late) == {}
    over = NOW + dt.timedelta(seconds=30)
    assert sorted(await slots.claim_slots(db, first, ttl=30.0, most=64, at=over)) == list(range(8))


async def test_size_that_was_set_is_not_replaced_by_the_next_workers_count(db: Database) -> None:
    await fleet.resize(db, 8, actor="test", at=NOW)
    assert await fleet.adopt_slot_count(db, 4) == 8
    assert await fleet.resize(db, 8, actor="test", at=NOW) == 8
    with pytest.raises(UsageError, match="more than a fleet can have"):
        await fleet.resize(db, 5000, actor="test", at=NOW)


async def waiting(db: Database, statements: int) -> None:
    """Until so many statements wait for locks."""
    async with asyncio.timeout(10):
        while await db.fetchval("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted") < statements:
            pass


async def test_renewal_under_way_cannot_outlive_a_resize(db: Database) -> None:
    worker = await worker_with_slots(db, ttl=30.0)
    async with db.transaction() as connection:
        await connection.execute("SELECT FROM slots WHERE slot = 63 FOR UPDATE")
        resizing = asyncio.create_task(fleet.resize(db, 8, actor="test", at=NOW))
        await waiting(db, 1)  # it has locked all slots but the last
        renewal = asyncio.create_task(slots.renew_slots(db, worker, ttl=3600.0, demand=0, at=NOW))
        await waiting(db, 2)
    await resizing
    assert await renewal == {}


async def test_resize_counts_a_renewal_that_came_before(db: Database) -> None:
    worker = await worker_with_slots(db, ttl=30.0)
    async with db.transaction() as connection:
        await connection.execute("UPDATE slots SET lease_until = $1", NOW + dt.timedelta(seconds=50))
        resizing = asyncio.create_task(fleet.resize(db, 8, actor="test", at=NOW))
        await waiting(db, 1)
    await resizing
    late = NOW + dt.timedelta(seconds=49)
    assert await slots.claim_slots(db, worker, ttl=30.0, most=64, at=late) == {}


async def test_placement_of_one_mailbox_is_told_apart(db: Database) -> None:
    owner = await user(db)
    anna, bert = [await mailbox(db, owner, f"{name}@example.com") for name in "ab"]
    await make_partitions(db, NOW.date())
    for number, (sender, place) in enumerate([(anna, "INBOX"), (anna, "SPAM"), (bert, "INBOX")], start=1):
        await db.execute(
            "INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder,"
            " uidvalidity, uid, message_id, thread_depth, star, rescue, file_at, delete_at)"
            " VALUES ($1, $2, 0, $3, $4, $5, 1, '', 1, 1, '', 1, false, false, $5, $5)",
            *(NOW.date(), number, sender, place, NOW),
        )
    told = await reports.placements(db, at=NOW, sender_id=anna)
    assert told == {"INBOX": 1, "SPAM": 1, "OTHER": 0, "MISSING": 0}
    assert (await reports.placements(db, at=NOW))["INBOX"] == 2


async def test_placements_are_told_apart_by_the_recipients_provider(db: Database) -> None:
    owner = await user(db)
    anna, bert, carl = [await mailbox(db, owner, f"{name}@example.com") for name in "abc"]
    await db.execute("UPDATE mailboxes SET provider = 'gmail' WHERE id = $1", bert)
    await make_partitions(db, NOW.date())
    for number, (sender, recipient, place) in enumerate(
        [(anna, bert, "INBOX"), (anna, bert, "SPAM"), (anna, carl, "INBOX"), (carl, bert, "INBOX")], start=1
    ):
        await db.execute(
            "INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder,"
            " uidvalidity, uid, message_id, thread_depth, star, rescue, file_at, delete_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, 1, '', 1, 1, '', 1, false, false, $6, $6)",
            *(NOW.date(), number, recipient, sender, place, NOW),
        )
    told = await reports.placements_by_provider(db, at=NOW, sender_id=anna)
    assert {word: (found["INBOX"], found["SPAM"]) for word, found in told.items()} == {"gmail": (1, 1), "other": (1, 0)}
    assert (await reports.placements_by_provider(db, at=NOW))["gmail"]["INBOX"] == 2
    rows = await db.fetch("SELECT provider, samples FROM placement_by_provider_7d WHERE mailbox_id = $1", anna)
    assert {row["provider"]: row["samples"] for row in rows} == {"gmail": 2, "other": 1}


async def test_all_servers_of_a_provider_share_the_sends_at_once(db: Database) -> None:
    owner = await user(db)
    boxes = [await mailbox(db, owner, f"{name}@example.com") for name in "abc"]
    for box, host in zip(boxes, ("smtp.gmail.com", "smtp.googlemail.com", "Mail.North.test"), strict=True):
        await db.execute("UPDATE mailboxes SET smtp_host = $2 WHERE id = $1", box, host)
    lanes = {found.id: found.lane for found in await load_mailboxes(db, DEFAULTS)}
    assert [lanes[box] for box in boxes] == ["gmail", "gmail", "mail.north.test"]


async def test_a_providers_limit_holds_where_the_owner_names_none(db: Database) -> None:
    owner = await user(db)
    box = await mailbox(db, owner, "a@example.com")
    limits = []
    for change in ("provider = 'other'", "provider = 'gmail'", "provider_limit = 90", "provider = 'unheard_of'"):
        await db.execute(f"UPDATE mailboxes SET {change}")
        (found,) = await load_mailboxes(db, DEFAULTS, [box])
        limits.append([(limit.word, limit.sends) for limit in found.day_limits])
    assert limits == [[], [("provider", 500)], [("provider", 90)], [("provider", 90)]]
