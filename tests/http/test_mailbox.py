"""What the API tells of one mailbox: performance, settings, explain; and nothing of other users'."""

import datetime as dt

import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, House
from tests.http.postbag import Postbag
from warmupd.core.capacity import CapUse
from warmupd.store import caps

HERE = "/api/warmup"


@pytest.fixture
def bag(house: House) -> Postbag:
    return Postbag(db=house.site.db)


async def test_performance_tells_days_ramp_and_placement(house: House, bag: Postbag) -> None:
    box, friend = (
        await bag.mailbox(OWNER, "anna@own.test"),
        await bag.mailbox(OWNER, "ben@own.test", provider="outlook"),
    )
    await bag.day(box, ago=1, quota=14, sent=14, inbox=12, spam=2)
    await bag.day(box, quota=17, sent=3)
    await bag.job(box, friend, found="SPAM")
    told = (await (await house.as_user(OWNER)).get(f"{HERE}/mailbox?id={box}")).json()
    assert [(day["quota"], day["sent"], day["spam"]) for day in told["days"]] == [(14, 14, 2), (17, 3, 0)]
    assert (told["ramp_day"], told["ramp_days"]) == (5, 13)
    assert told["coming"][0] | {"opens_at": 0, "closes_at": 0} == {
        "day": "2026-06-04", "opens_at": 0, "closes_at": 0, "quota": 20, "ramp_day": 6, "ramp": 20,
    }  # fmt: skip
    assert told["placement_by_provider"] == {"outlook": {"INBOX": 0, "SPAM": 1, "OTHER": 0, "MISSING": 0}}


async def test_performance_of_all_comes_in_pages(house: House, bag: Postbag) -> None:
    boxes = []
    for n in range(3):
        boxes.append(await bag.mailbox(OWNER, f"m{n}@own.test"))
        await bag.mailbox(OTHER, f"strange{n}@other.test")
    client, seen, cursor = await house.as_user(OWNER), [], ""
    for _ in range(2):
        page = (await client.get(f"{HERE}/mailbox?limit=2{cursor}")).json()
        seen += [item["mailbox"]["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == boxes
    assert page["next_cursor"] is None


async def test_settings_are_shown_without_a_secret(house: House, bag: Postbag) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test")
    told = (await (await house.as_user(OWNER)).get(f"{HERE}/mailboxes/{box}")).json()
    assert told["settings"]["smtp_host"] == "mail.test"
    assert not [name for name in told["settings"] if "secret" in name]


@pytest.mark.parametrize("path", ["mailbox?id={}", "mailboxes/{}", "mailboxes/{}/explain", "jobs?mailbox={}"])
async def test_mailbox_of_another_answers_as_one_that_does_not_exist(house: House, bag: Postbag, path: str) -> None:
    box = await bag.mailbox(OTHER, "strange@other.test")
    client = await house.as_user(OWNER)
    theirs, none = [await client.get(f"{HERE}/{path.format(number)}") for number in (box, box + 1000)]
    assert theirs.status_code == none.status_code == 404
    assert theirs.text == none.text
    assert (await (await house.as_user(ADMIN)).get(f"{HERE}/{path.format(box)}")).status_code == 200


async def test_explain_is_what_the_command_prints(house: House, bag: Postbag) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test")
    await bag.day(box, sent=3)
    told = (await (await house.as_user(ADMIN)).get(f"{HERE}/mailboxes/{box}/explain")).json()
    assert told["verdict"]["why"] == "no_worker"
    assert told["budget"]["factors"] == [["ramp", 17]]
    assert [cap["cap"] for cap in told["caps"]] == ["global_hour", "global_minute", "user_hour", "user_minute"]
    assert told["recipients"] is not None


async def test_owner_learns_that_the_fleet_cap_binds_and_no_number(
    house: House, bag: Postbag, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test", pool="shared")
    await bag.mailbox(OTHER, "strange@other.test", pool="shared")
    await bag.day(box, quota=17, sent=3)
    await hold_all_slots(house)
    own = [CapUse(cap="user_hour", limit=300, used=4), CapUse(cap="user_minute", limit=8, used=0)]
    spent = CapUse(cap="global_hour", limit=9431, used=9431, free_at=NOW + dt.timedelta(hours=1))

    async def caps_of(*_: object, **__: object) -> dict[object, list[CapUse]]:
        return {await bag.user_id(OWNER): [spent, *own]}

    monkeypatch.setattr(caps, "caps_of", caps_of)
    answer = await (await house.as_user(OWNER)).get(f"{HERE}/mailboxes/{box}/explain")
    told = answer.json()
    assert told["verdict"]["why"] == "cap"
    assert "all that the whole fleet may send an hour" in told["verdict"]["text"]
    assert told["caps_reached"] == ["global_hour"]
    assert [cap["cap"] for cap in told["caps"]] == ["user_hour", "user_minute"]
    assert (told["recipients"], told["holder"], told["has_worker"]) == (None, None, True)
    assert "9431" not in answer.text
    assert "9,431" not in answer.text


async def test_words_of_a_server_do_not_name_others(house: House, bag: Postbag) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test")
    await house.site.db.execute(
        "UPDATE mailboxes SET last_error = $2, last_error_at = $3 WHERE id = $1",
        box,
        "550 <strange@other.test> refused by mail of anna@own.test",
        NOW,
    )
    told = (await (await house.as_user(OWNER)).get(f"{HERE}/mailboxes/{box}")).json()["mailbox"]["last_error"]
    assert told == "550 <[another user's address]> refused by mail of anna@own.test"


async def hold_all_slots(house: House) -> None:
    """A worker looks after every slot."""
    await house.site.db.execute(
        "WITH w AS (INSERT INTO workers (id, name, started_at, seen_at) VALUES (gen_random_uuid(), 'w', $1, $1)"
        " RETURNING id) UPDATE slots SET owner = w.id, lease_until = $1::timestamptz + interval '1 day' FROM w",
        NOW,
    )
