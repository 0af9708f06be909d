"""What an owner sets over HTTP: for all or for one, and never for another's."""

import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, House
from tests.http.test_reports import fill
from warmupd.http.setting_fields import FIELDS, GROUPS
from warmupd.store.changes import SETTABLE

PATH = "/api/warmup/settings"


async def test_what_is_set_holds_and_what_is_left_out_stays(house: House) -> None:
    client = await house.as_user(OWNER)
    await client.patch(PATH, json={"start_hour": 8, "reply_rate": 0.5, "name": "Anna", "timezone": "Europe/Berlin"})
    told = (await client.patch(PATH, json={"start_hour": None, "rescue": False})).json()
    settings = {column: value for column, value in told["settings"].items() if value is not None}
    assert settings == {"reply_rate": 0.5, "rescue": False, "timezone": "Europe/Berlin"}
    assert told["name"] == "Anna"
    assert told["defaults"]["start_hour"] == 6
    assert (await client.get(PATH)).json() == told
    assert not any((await (await house.as_user(OTHER)).get(PATH)).json()["settings"].values())


@pytest.mark.parametrize(
    "changes",
    [{"start_hour": 23}, {"reply_rate": 2}, {"timezone": "Nowhere"}, {"colour": "red"}, {"warmup_folder": "INBOX"},
     {"warmup_folder": "a\u0000b"}, {"warmup_folder": ""}, {"target_daily": 10**30}, {"name": "a\nb"}, {"end_hour": 0}],
)  # fmt: skip
async def test_what_cannot_be_is_refused(house: House, changes: dict[str, object]) -> None:
    client = await house.as_user(OWNER)
    assert (await client.patch(PATH, json=changes)).status_code == 422
    assert not any((await client.get(PATH)).json()["settings"].values())


def test_every_setting_has_a_field_on_the_page() -> None:
    assert set(FIELDS) == {*SETTABLE, "timezone"}
    assert sum(map(len, GROUPS.values())) == len(FIELDS)


def _form(text: str, **values: str) -> dict[str, str]:
    return {"csrf": text.split('name="csrf" value="')[1].split('"', maxsplit=1)[0], **values}


async def test_the_page_sets_for_all_and_shows_it(house: House) -> None:
    client = await house.browser(OWNER)
    form = _form((await client.get("/settings")).text, name="Anna", start_hour="8", reply_rate="12.5 %", rescue="no")
    answer = await client.post("/settings", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?done=all")
    told = (await (await house.as_user(OWNER)).get(PATH)).json()
    assert (told["settings"]["reply_rate"], told["settings"]["rescue"], told["settings"]["start_hour"]) == (
        0.125,
        False,
        8,
    )
    text = (await client.get("/settings")).text
    assert 'name="reply_rate" type="text" value="12.5"' in text


async def test_the_page_keeps_what_was_entered_and_says_what_is_wrong(house: House) -> None:
    client = await house.browser(OWNER)
    form = _form((await client.get("/settings")).text, start_hour="8", end_hour="late", reply_rate="300")
    answer = await client.post("/settings", data=form)
    assert answer.status_code == 422
    for told in ("Give a whole number.", "Give 0 to 100.", 'value="late"', 'value="8"'):
        assert told in answer.text
    form = _form(answer.text, start_hour="9", end_hour="9")
    answer = await client.post("/settings", data=form)
    assert answer.status_code == 422
    assert "would open at hour 9 and close at hour 9" in answer.text


async def test_one_mailbox_gets_its_own_word_and_gives_it_up_again(house: House) -> None:
    (box,) = await fill(house.site.db, OWNER, 1, sent=0)
    client = await house.browser(OWNER)
    answer = await client.get("/settings", params={"mailbox": "BOX1@owner.test"})
    assert answer.headers["location"] == f"/settings/{box}"
    page = (await client.get(f"/settings/{box}")).text
    await client.post(f"/settings/{box}", data=_form(page, target_daily="25", warmup_folder="Ours"))
    row = await house.site.db.fetchrow("SELECT target_daily, warmup_folder FROM mailboxes WHERE id = $1", box)
    assert tuple(row or ()) == (25, "Ours")
    assert "1 mailbox has a word of its own" in (await client.get("/settings")).text
    await client.post(f"/settings/{box}", data=_form(page))
    row = await house.site.db.fetchrow("SELECT target_daily, warmup_folder FROM mailboxes WHERE id = $1", box)
    assert tuple(row or ()) == (None, None)


async def test_anothers_mailbox_is_as_one_that_does_not_exist(house: House) -> None:
    (theirs,) = await fill(house.site.db, OTHER, 1, sent=0)
    client = await house.browser(OWNER)
    form = _form((await client.get("/settings")).text, target_daily="1")
    answers = [
        [await client.get(f"/settings/{one}"), await client.post(f"/settings/{one}", data=form)]
        for one in (theirs, 10**12)
    ]
    assert {answer.status_code for pair in answers for answer in pair} == {404}
    assert [answer.text for answer in answers[0]] == [answer.text for answer in answers[1]]
    asked = [(await client.get("/settings", params={"mailbox": one})) for one in ("box1@other.test", "box9@other.test")]
    assert {answer.status_code for answer in asked} == {404}
    assert await house.site.db.fetchval("SELECT target_daily FROM mailboxes WHERE id = $1", theirs) is None
    assert (await (await house.browser(ADMIN)).get(f"/settings/{theirs}")).status_code == 200
