"""What an owner sets, for one mailbox or for all: whose word holds, what is refused, and that workers go by it."""

from uuid import UUID

import pytest

from tests.store.rows import NOON, Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.config import Config
from warmupd.core.engagement import EngagementPolicy
from warmupd.core.habits import Habits
from warmupd.core.mailbox import Mailbox
from warmupd.daemon.options import defaults_of
from warmupd.daemon.owner_settings import set_for_mailboxes, set_for_user
from warmupd.errors import UsageError
from warmupd.store.accounts import load_accounts
from warmupd.store.mailboxes import change_clock, changed_since, load_mailboxes
from warmupd.store.user_settings import user_settings

CONFIG = Config.isolated({})


async def _for_all(ground: Ground, user: UUID, **changes: object) -> bool:
    return await set_for_user(ground.db, CONFIG, user, changes, actor="owner@site.test", at=NOON)


async def _loaded(ground: Ground, box: int) -> Mailbox:
    (mailbox,) = await load_mailboxes(ground.db, defaults_of(CONFIG), [box])
    return mailbox


async def test_a_mailbox_goes_by_its_own_word_then_its_users_then_the_default(ground: Ground) -> None:
    user = await ground.user()
    own, users = await ground.pair(user_id=user)
    await _for_all(ground, user, start_hour=8, target_daily=50, reply_rate=0.5)
    await set_for_mailboxes(ground.db, CONFIG, [own], {"start_hour": 9, "reply_rate": 0.0})
    assert (await _loaded(ground, own)).hours.start == 9
    assert (await _loaded(ground, users)).hours.start == 8
    assert (await _loaded(ground, own)).ramp.target == (await _loaded(ground, users)).ramp.target == 50
    assert (await _loaded(ground, own)).habits == Habits(reply_rate=0.0)
    assert (await _loaded(ground, users)).habits == Habits(reply_rate=0.5)
    (stranger,) = await ground.mailboxes(1)
    assert (await _loaded(ground, stranger)).hours.start == 6
    assert (await _loaded(ground, stranger)).habits == Habits()


async def test_a_reset_mailbox_goes_by_its_users_word_again(ground: Ground) -> None:
    user = await ground.user()
    (box,) = await ground.mailboxes(1, user)
    await _for_all(ground, user, warmup_folder="Ours", visits_per_day=3)
    await set_for_mailboxes(ground.db, CONFIG, [box], {"warmup_folder": "Mine", "visits_per_day": 9})
    assert (await load_accounts(ground.db, [box]))[box].warmup_folder == "Mine"
    await set_for_mailboxes(ground.db, CONFIG, [box], {"warmup_folder": None, "visits_per_day": None})
    assert (await load_accounts(ground.db, [box]))[box].warmup_folder == "Ours"
    assert (await _loaded(ground, box)).habits.visits_per_day == 3


async def test_the_gap_between_a_users_sends_goes_by_what_is_set_for_all(ground: Ground) -> None:
    user = await ground.user()
    (box,) = await ground.mailboxes(1, user)
    before = (await _loaded(ground, box)).user_gap
    await _for_all(ground, user, target_daily=2 * CONFIG.quota.target_daily)
    assert (await _loaded(ground, box)).user_gap == before / 2


async def test_workers_find_every_mailbox_of_a_user_who_changed_a_setting(ground: Ground) -> None:
    user = await ground.user()
    boxes, (stranger,) = await ground.mailboxes(3, user), await ground.mailboxes(1)
    await ground.db.execute("UPDATE mailboxes SET changed_at = now() - interval '1 hour'")
    since = await change_clock(ground.db)
    await _for_all(ground, user, timezone="Europe/Berlin")
    found = await changed_since(ground.db, since)
    assert set(found) == set(boxes)
    assert stranger not in found
    assert (await _loaded(ground, boxes[0])).zone == "Europe/Berlin"


@pytest.mark.parametrize(
    "changes",
    [
        {"start_hour": 23},  # the default ends at 22
        {"min_daily": 90},  # above the default target
        {"target_daily": 2001},
        {"reply_rate": 1.01},
        {"visits_per_day": 0},
        {"retention_days": 0},
        {"warmup_folder": "inbox"},
        {"warmup_folder": " "},
        {"timezone": "Mars/Olympus"},
    ],
)
async def test_what_cannot_be_is_refused_for_all_and_for_one(ground: Ground, changes: dict[str, object]) -> None:
    user = await ground.user()
    (box,) = await ground.mailboxes(1, user)
    with pytest.raises(UsageError):
        await _for_all(ground, user, **changes)
    with pytest.raises(UsageError):
        await set_for_mailboxes(ground.db, CONFIG, [box], changes)
    assert not any((await user_settings(ground.db, user)).values())


async def test_a_setting_that_does_not_go_with_a_mailboxs_own_is_refused_with_its_address(ground: Ground) -> None:
    user = await ground.user()
    (box,) = await ground.mailboxes(1, user)
    address = await ground.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", box)
    await set_for_mailboxes(ground.db, CONFIG, [box], {"end_hour": 10})
    with pytest.raises(UsageError, match=address):
        await _for_all(ground, user, start_hour=12)
    await _for_all(ground, user, start_hour=9)
    with pytest.raises(UsageError, match="open at hour 9"):
        await set_for_mailboxes(ground.db, CONFIG, [box], {"end_hour": 9})


async def test_a_mailbox_is_not_reset_into_what_cannot_be(ground: Ground) -> None:
    user = await ground.user()
    (box,) = await ground.mailboxes(1, user)
    await _for_all(ground, user, start_hour=12, end_hour=20)
    await set_for_mailboxes(ground.db, CONFIG, [box], {"start_hour": 8, "end_hour": 11})
    with pytest.raises(UsageError, match="open at hour 12 and close at hour 11"):
        await set_for_mailboxes(ground.db, CONFIG, [box], {"start_hour": None})


async def test_the_history_tells_what_was_set_by_whom_and_once(ground: Ground) -> None:
    user = await ground.user()
    assert await _for_all(ground, user, rescue=False)
    assert not await _for_all(ground, user, rescue=False)
    (row,) = await ground.db.fetch("SELECT * FROM state_changes WHERE subject = 'user' AND what = 'settings'")
    assert (row["actor"], row["was"], row["became"]) == ("owner@site.test", "rescue default", "rescue False")
    assert row["owner_id"] == user


def test_a_policy_is_overruled_by_habits_where_they_say_something() -> None:
    policy = EngagementPolicy(reply_rate=0.3, star_rate=0.2, rescue=True, retention_days=14)
    assert policy.of(Habits()) is policy
    own = policy.of(Habits(reply_rate=0.0, rescue=False))
    assert (own.reply_rate, own.star_rate, own.rescue, own.retention_days) == (0.0, 0.2, False, 14)


def test_every_habit_that_a_policy_has_is_honoured() -> None:
    values = {"reply_rate": 0.9, "star_rate": 0.8, "rescue": False, "file_after_hours": 5.0, "retention_days": 3.0}
    own = EngagementPolicy().of(Habits(visits_per_day=2, **values))  # type: ignore[arg-type]
    assert {name: getattr(own, name) for name in values} == values
