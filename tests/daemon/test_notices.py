"""Notices from the event to the mail and the webhook: each arrives, none is a storm, whatever dies in between."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.daemon.informed import SECRET, Informed
from tests.mail.certificates import Authority, make_authority
from tests.mail.fault_smtp import Fault, FaultServer
from tests.mail.hook_server import HookServer
from warmupd.clock import SystemClock
from warmupd.core.mailbox import MailboxState
from warmupd.core.notice_pace import MOST_TRIES
from warmupd.core.notice_words import trial_notice
from warmupd.daemon import notif_post, notifying
from warmupd.daemon.notif_fleet import troubles
from warmupd.daemon.notif_settings import WebhookWish, Wish, change_settings
from warmupd.daemon.overview import fleet_condition
from warmupd.daemon.rotation import rotate
from warmupd.errors import DatabaseUnavailable
from warmupd.mail.vault import Vault
from warmupd.mail.webhook import sign
from warmupd.store.database import Database
from warmupd.store.notice_owners import tell_troubles
from warmupd.store.notice_settings import load_notice_settings, save_notice_settings
from warmupd.store.notices import add_notice, claim_deliveries
from warmupd.store.resuming import resume_mailbox


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def told(db: Database, authority: Authority) -> AsyncIterator[Informed]:
    async with FaultServer(context=authority.server_context()).running() as smtp, HookServer().running() as hook:
        yield Informed(db, authority, smtp, hook)


async def test_refused_login_comes_by_mail_and_by_webhook(told: Informed) -> None:
    owner = await told.owner(hook="JSON")
    (box,) = await told.world.enrol(1, owner)
    await told.fail(box)
    await told.live(120)
    address = await told.world.address(box)
    (mail,), (came,) = told.mails, told.hook.came
    assert mail["Subject"] == f"{address}: cannot log in"
    assert "535 5.7.8 bad credentials" in mail.get_content()
    assert "https://house.test/notifications" in mail.get_content()
    assert mail["List-Unsubscribe"] == "<https://house.test/notifications>"
    (document,) = told.documents
    assert document["type"] == "trouble"
    assert document["events"][0]["mailboxes"][0]["mailbox"] == address
    at = dt.datetime.fromtimestamp(int(came.headers["x-warmupd-signature"].split(",")[0][2:]), dt.UTC)
    assert came.headers["x-warmupd-signature"] == sign(SECRET, came.body, at)
    assert await told.states() == [("delivered", 1, "")] * 2


async def test_slack_gets_its_own_form(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(confirmed=False, hook="SLACK"))
    await told.fail(box)
    await told.live(120)
    assert list(told.documents[0]) == ["text"]


async def test_an_address_that_is_not_confirmed_gets_nothing(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(confirmed=False))
    await told.fail(box)
    await told.live(120)
    assert told.mails == []
    assert await told.db.fetchval("SELECT count(*) FROM notices") == 1  # it is on the page


async def test_an_address_that_is_not_confirmed_any_more_gets_nothing_either(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner())
    told.smtp.faults["mail"] = Fault("reply", "451 later")
    await told.fail(box)
    await told.live(90)
    await told.db.execute("UPDATE users SET email_confirmed_at = NULL")
    del told.smtp.faults["mail"]
    await told.live(600)
    assert told.mails == []
    assert [state for state, *_ in await told.states()] == ["failed"]


async def test_a_storm_of_1000_events_is_a_few_notices(told: Informed) -> None:
    """200 mailboxes of one owner fall and come back, again and again, all day long."""
    boxes = await told.world.enrol(200, await told.owner())
    for _ in range(5):
        await told.db.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
            " SELECT $1, 'daemon', 'mailbox', id::text, 'ACTIVE', 'AUTH_FAILED', 'no' FROM mailboxes",
            told.clock.now(),
        )
        await told.live(3600, step=300)
        await told.db.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
            " SELECT $1, 'cli', 'mailbox', id::text, 'AUTH_FAILED', 'ACTIVE', 'mended' FROM mailboxes",
            told.clock.now(),
        )
        await told.live(3600, step=300)
    assert 2 <= len(told.mails) <= 6
    assert told.subjects[0] == f"{len(boxes)} mailboxes cannot log in"


async def test_back_to_normal_is_told(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner())
    await told.fail(box, state=MailboxState.SUSPENDED)
    await told.live(120)
    await resume_mailbox(told.db, box, actor="cli", reason="mended", at=told.clock.now())
    await told.live(1200)
    assert [subject.partition(": ")[2] for subject in told.subjects] == ["suspended", "back to normal"]


async def test_what_was_not_taken_is_tried_again_until_it_is(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(confirmed=False, hook="JSON"))
    told.hook.status = 503
    await told.fail(box)
    await told.live(300)
    assert 2 <= len(told.hook.came) <= 4
    told.hook.status = 200
    await told.live(1200)
    assert len({document["id"] for document in told.documents}) == 1
    assert [(state, error) for state, _, error in await told.states()] == [("delivered", "")]


async def test_tries_end(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(confirmed=False, hook="JSON"))
    told.hook.status = 500
    await told.fail(box)
    await told.live(3 * 86400, step=900)
    assert await told.states() == [("failed", MOST_TRIES, "it answered 500")]
    assert len(told.hook.came) == MOST_TRIES


async def test_a_hook_that_is_gone_for_good_is_left_alone(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(confirmed=False, hook="JSON"))
    told.hook.status = 410
    await told.fail(box)
    await told.live(3600)
    assert len(told.hook.came) == 1


async def test_who_dies_between_delivery_and_mark_leaves_it_to_another_with_the_same_id(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(hook="JSON"))
    await told.fail(box)
    told.clock.advance(90)

    async def dies(*_: object, **__: object) -> bool:
        raise asyncio.CancelledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notif_post, "end_delivery", dies)
        with pytest.raises(asyncio.CancelledError):
            await told.notifying.round()
    assert (len(told.mails), len(told.hook.came)) == (1, 1)
    assert not await told.worker().round()  # it is still the other's
    told.notifying = told.worker()
    await told.live(notif_post.LASTS + 60)
    assert (len(told.mails), len(told.hook.came)) == (2, 2)
    assert len({str(mail["Message-ID"]) for mail in told.mails}) == 1
    assert len({came.headers["x-warmupd-notice"] for came in told.hook.came}) == 1
    assert [(state, tries) for state, tries, _ in await told.states()] == [("delivered", 2)] * 2


async def test_a_worker_whose_clock_is_ahead_takes_nothing_from_another(told: Informed) -> None:
    class Ahead(SystemClock):
        def now(self) -> dt.datetime:
            return super().now() + dt.timedelta(seconds=2 * notif_post.LASTS)

    to, at = [("WEBHOOK", "")], SystemClock().now()
    await add_notice(told.db, trial_notice(), user_id=await told.owner(hook="JSON"), to=to, at=at)
    assert len(await claim_deliveries(told.db, limit=1, lasts=notif_post.LASTS, at=None)) == 1
    ahead = notif_post.Postman(replace(told.ground, clock=Ahead()), told.config, lambda: told.vault)
    assert not await ahead.round()
    assert told.hook.came == []


async def test_a_stop_lets_what_is_under_way_end_and_be_marked(told: Informed) -> None:
    (box,) = await told.world.enrol(1, await told.owner(confirmed=False, hook="JSON"))
    await told.fail(box)
    told.clock.advance(90)
    told.hook.go_on.clear()
    running = asyncio.create_task(told.notifying.run())
    await told.hook.arrived.wait()
    running.cancel()
    await asyncio.sleep(0)  # a turn of the loop, in which the cancellation comes
    told.hook.go_on.set()
    await asyncio.wait([running])
    assert await told.states() == [("delivered", 1, "")]


async def test_a_webhook_is_resealed_with_the_newest_key(told: Informed) -> None:
    owner = await told.owner(confirmed=False, hook="JSON")
    newest = Vault.new_key()
    config = told.config(**{"secrets.keys": [newest, told.key]})
    for resealed in (1, 0):
        rotated = await rotate(told.db, config, told.clock, progress=lambda _: None)
        assert (rotated.resealed, rotated.already_newest, rotated.not_opened) == (resealed, 1 - resealed, [])
    told.vault = Vault([newest])  # the old one is gone
    (box,) = await told.world.enrol(1, owner)
    await told.fail(box)
    await told.live(120)
    assert len(told.hook.came) == 1


async def test_a_webhook_that_no_key_opens_is_named_by_its_user(told: Informed) -> None:
    await told.owner(hook="JSON")
    config = told.config(**{"secrets.keys": [Vault.new_key()]})
    (shut,) = (await rotate(told.db, config, told.clock, progress=lambda _: None)).not_opened
    assert shut.address.endswith("@owners.test")
    assert shut.purpose == "webhook"


async def test_a_notice_that_is_too_long_comes_shortened(told: Informed) -> None:
    boxes = await told.world.enrol(20, await told.owner(confirmed=False, hook="JSON"))
    await told.fail(*boxes)
    await told.db.execute("UPDATE mailboxes SET last_remedy = repeat('ü', 3000)")
    await told.live(120)
    (document,) = told.documents
    assert document["shortened"] is True
    assert document["subject"] == "20 mailboxes cannot log in"


async def test_an_oddity_of_one_owner_keeps_nobody_else_from_being_told(
    told: Informed, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, other = await told.owner(), await told.owner()
    await told.fail(*await told.world.enrol(1, odd), *await told.world.enrol(1, other))
    telling = tell_troubles

    async def trips(db: Database, owner: UUID, **given: Any) -> bool:
        if owner == odd:
            raise ValueError
        return await telling(db, owner, **given)

    monkeypatch.setattr(notifying, "tell_troubles", trips)
    await told.live(120)
    assert len(told.mails) == 1
    monkeypatch.undo()
    await told.live(60)
    assert len(told.mails) == 2  # nothing of it is lost


@pytest.mark.parametrize("fails", [True, False])
async def test_a_full_round_is_followed_by_another_unless_all_of_it_failed(
    told: Informed, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    async def nothing(*_: object, **__: object) -> bool:
        if fails:
            raise ValueError
        return False

    monkeypatch.setattr(notifying, "OWNERS", 2)
    monkeypatch.setattr(notifying, "look_back", nothing)
    for _ in range(2):
        await told.owner()
    assert await told.notifying.round() is not fails


async def test_one_hook_that_hangs_keeps_nobody_else_waiting(told: Informed, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, other = await told.owner(confirmed=False, hook="JSON"), await told.owner()
    boxes = [*await told.world.enrol(1, hanging), *await told.world.enrol(1, other)]
    told.hook.go_on.clear()
    await told.fail(*boxes)
    told.clock.advance(90)
    round_ = asyncio.create_task(told.notifying.round())
    await told.hook.arrived.wait()
    await told.smtp.ended.wait()
    assert len(told.mails) == 1
    told.hook.go_on.set()
    await round_


async def test_quota_that_was_missed_is_told_the_next_morning_once(told: Informed) -> None:
    boxes = await told.world.enrol(3, await told.owner())
    await close_days(told, boxes, 10, [10, 4, 9])
    await told.live(3 * 86400, step=1800)
    (mail,) = told.mails
    assert mail["Subject"] == "2 mailboxes missed yesterday's quota"
    assert "13 of 20 messages were sent" in mail.get_content()
    assert f"{await told.world.address(boxes[1])}: 4 of 10 on 2027-03-01; 2 sends failed" in mail.get_content()
    assert mail["Date"].datetime.hour == 8


async def test_one_send_of_thirty_is_no_missed_quota(told: Informed) -> None:
    boxes = await told.world.enrol(2, await told.owner())
    await close_days(told, boxes, 30, [29, 28])
    await told.live(2 * 86400, step=3600)
    assert told.subjects == [f"{await told.world.address(boxes[1])}: missed yesterday's quota"]


async def close_days(told: Informed, boxes: Sequence[int], quota: int, sent: Sequence[int]) -> None:
    """A day of each mailbox that closes in 16 hours and has sent so much then."""
    await told.db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken, sent,"
        " attempts, failed)"
        " SELECT id, $1::timestamptz::date, user_id, $1, $1::timestamptz + interval '16 hours', $3, 0, 1, s, s, 12, 2"
        " FROM unnest($2::bigint[], $4::integer[]) AS a(id, s) JOIN mailboxes USING (id)",
        told.clock.now(),
        list(boxes),
        quota,
        list(sent),
    )


async def test_choices_that_cannot_be_saved_leave_the_webhook_and_its_secret(told: Informed) -> None:
    owner, config = await told.owner(hook="JSON"), told.config(**{"secrets.keys": [told.key]})
    before = (await load_notice_settings(told.db, owner)).webhook
    wish = Wish(
        email=True,
        events=[],
        digest=False,
        daily_hour=24,
        webhook=WebhookWish(url="", form="json", new_secret=True),
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await change_settings(told.db, config, owner, wish)
    assert (await load_notice_settings(told.db, owner)).webhook == before
    assert (await change_settings(told.db, config, owner, replace(wish, daily_hour=23))).secret != ""
    assert (await load_notice_settings(told.db, owner)).webhook != before


async def test_digest_takes_the_place_of_single_notices(told: Informed) -> None:
    owner = await told.owner()
    (box,) = await told.world.enrol(1, owner)
    await save_notice_settings(
        told.db, owner, email=True, events=["auth_failed", "back_to_normal"], digest=True, daily_hour=18
    )
    await told.live(3600)
    await told.fail(box)
    await told.live(2 * 86400, step=900)
    assert told.subjects == [
        f"Yesterday: nothing was to be sent; {await told.world.address(box)}: cannot log in",
        "Yesterday: nothing was to be sent",
    ]
    assert [mail["Date"].datetime.hour for mail in told.mails] == [18, 18]


async def test_operators_hear_of_the_fleet_once(told: Informed) -> None:
    await told.world.enrol(3, await told.owner(confirmed=False))
    told.notifying.config = told.config(
        **{
            "notifications.operator_emails": ["ops@house.test"],
            "notifications.webhook_url": told.hook.url,
            "notifications.webhook_secret": "operators-secret",
        }
    )
    await told.db.execute("UPDATE settings SET sending_stopped = true")
    await told.live(1800, step=60)
    assert [str(mail["To"]) for mail in told.mails] == ["ops@house.test"]
    assert told.subjects == ["The fleet is critical"]
    assert "no worker is alive" in told.mails[0].get_content()
    assert [document["type"] for document in told.documents] == ["fleet"]
    assert "x-warmupd-signature" in told.hook.came[0].headers


async def test_operators_hear_of_a_database_that_is_away_without_it(
    told: Informed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker tells it by itself, by mail and webhook, and that it is back."""
    told.notifying.config = told.config(
        **{"notifications.operator_emails": ["ops@house.test"], "notifications.webhook_url": told.hook.url}
    )
    away = asyncio.Event()

    async def at_once(_: float) -> None:
        """Pauses are of the machine's time."""

    async def round_() -> bool:
        if away.is_set():
            raise DatabaseUnavailable("it refused")
        return False

    monkeypatch.setattr(told.notifying, "round", round_)
    monkeypatch.setattr(told.clock, "pause", at_once)
    for change, turns in ((away.set, 8), (away.clear, 3)):
        change()
        for _ in range(turns):
            await told.notifying.turn()
            told.clock.advance(60)
    assert told.subjects == ["The database is away from w", "The database is back for w"]
    assert [document["database"] for document in told.documents] == ["away", "back"]


async def test_a_plan_that_is_too_small_for_one_user_is_no_trouble_of_the_fleet(told: Informed) -> None:
    await told.world.enrol(30, await told.owner())
    await told.db.execute("UPDATE plans SET per_hour = 1")
    now = told.clock.now()
    _, reasons, short = await fleet_condition(told.db, told.config(), at=now)
    assert "the quotas of today cannot be carried" in reasons
    assert [one.setting for one in short] == ["limits.user_per_hour"]
    found = await troubles(told.db, told.config(), at=now)
    assert {one.text for one in found} == {"no worker is alive"}


async def test_two_workers_look_after_the_fleet_as_one(told: Informed) -> None:
    await told.world.enrol(1, await told.owner(confirmed=False))
    told.notifying = told.worker(**{"notifications.operator_emails": ["ops@house.test"]})
    other = told.worker(**{"notifications.operator_emails": ["ops@house.test"]})
    for _ in range(10):
        told.clock.advance(60)
        await asyncio.gather(told.notifying.round(), other.round())
    assert told.subjects == ["The fleet is critical"]
