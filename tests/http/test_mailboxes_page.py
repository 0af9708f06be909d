"""The page of all mailboxes: what it shows, and what its buttons do."""

import re
from typing import Any

import httpx
import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, House
from tests.http.test_mailboxes import add, six


async def csrf_of(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/mailboxes")).text)
    assert found
    return found[1]


async def press(browser: httpx.AsyncClient, path: str = "/mailboxes/act", **entered: Any) -> httpx.Response:
    return await browser.post(path, data={"csrf": await csrf_of(browser), **entered})


async def states(house: House) -> dict[str, str]:
    rows = await house.site.db.fetch("SELECT address, state FROM mailboxes")
    return {row["address"]: row["state"] for row in rows}


def shown(page: str) -> list[str]:
    return re.findall(r"<a href=\"/mailboxes/\d+\">([^<]+)<wbr>@", page)


async def test_page_shows_the_owners_mailboxes_with_what_ails_them(house: House) -> None:
    await six(house)
    box = await add(house, OWNER, "frida@one.test")
    await house.site.db.execute(
        "UPDATE mailboxes SET last_error = '550 no such user ' || 'x@secret.test', last_remedy = 'ask' WHERE id = $1",
        box,
    )
    page = (await (await house.browser(OWNER)).get("/mailboxes")).text
    assert shown(page) == ["anna", "Bert", "cleo", "dora", "emil", "frida"]
    assert "6 mailboxes" in page
    assert "Login refused" in page
    assert "550 no such user" in page
    assert "x@secret.test" not in page  # nobody learns by an error whom a message went to
    assert "other.test" not in page


async def test_filters_and_order_are_those_of_the_api(house: House) -> None:
    await six(house)
    browser = await house.browser(OWNER)
    assert shown((await browser.get("/mailboxes?label=red&sort=newest")).text) == ["Bert", "anna"]
    assert shown((await browser.get("/mailboxes?status=behind")).text) == ["Bert"]
    odd = (await browser.get("/mailboxes?state=nope&status=nope&sort=nope&cursor=nope&search=%00")).text
    assert len(shown(odd)) == 5


async def test_next_page_goes_on_where_the_first_one_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await six(house)
    monkeypatch.setattr("warmupd.http.pages.mailboxes.ROWS", 3)
    browser = await house.browser(OWNER)
    first = (await browser.get("/mailboxes")).text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    assert shown(first) + shown((await browser.get(following[1].replace("&amp;", "&"))).text) == [
        "anna", "Bert", "cleo", "dora", "emil",
    ]  # fmt: skip


async def test_empty_pages_say_what_to_do(house: House) -> None:
    browser = await house.browser(OWNER)
    assert "Add two or more" in (await browser.get("/mailboxes")).text
    assert "Clear the filters" in (await browser.get("/mailboxes?search=nobody")).text


async def test_ticked_mailboxes_are_paused_and_each_is_told(house: House) -> None:
    await six(house)
    ids = [row["id"] for row in await house.site.db.fetch("SELECT id FROM mailboxes ORDER BY id")]
    answer = await press(await house.browser(OWNER), action="pause", ids=ids)  # the last one is another user's
    assert answer.status_code == 200
    assert "Active → Paused, its ramp is at its first day" in answer.text
    assert "4 done" in answer.text
    assert "1 unchanged" in answer.text
    assert "anna@other.test" not in answer.text
    assert (await states(house))["anna@other.test"] == "ACTIVE"


async def test_removal_is_asked_about_first_and_can_be_undone(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test")
    browser = await house.browser(OWNER)
    csrf = await csrf_of(browser)
    asked = await browser.post("/mailboxes/act", data={"csrf": csrf, "action": "remove", "ids": box})
    assert "Remove 1 mailbox?" in asked.text
    assert (await states(house))["anna@one.test"] == "ACTIVE"
    await browser.post("/mailboxes/act", data={"csrf": csrf, "action": "remove", "ids": box, "sure": "yes"})
    assert (await states(house))["anna@one.test"] == "REMOVED"
    assert "anna@one.test" in (await browser.get("/mailboxes/removed")).text
    assert "No mailbox was removed" in (await (await house.browser(OTHER)).get("/mailboxes/removed")).text
    await browser.post("/mailboxes/act", data={"csrf": csrf, "action": "undo", "ids": box})
    assert (await states(house))["anna@one.test"] == "ACTIVE"


async def test_all_that_fit_are_meant_only_after_a_question(house: House) -> None:
    await six(house)
    browser = await house.browser(OWNER)
    entered = {"action": "pause", "every": "yes", "label": "red"}
    assert "Pause 2 mailboxes?" in (await press(browser, **entered)).text
    assert list((await states(house)).values()).count("PAUSED") == 1
    assert "2 done" in (await press(browser, **entered, sure="yes")).text
    found = await states(house)
    assert (found["anna@one.test"], found["Bert@two.test"]) == ("PAUSED", "PAUSED")
    assert found["anna@other.test"] == "ACTIVE"


async def test_all_that_are_behind_are_labelled(house: House) -> None:
    await six(house)
    entered = {"action": "label", "word": "late", "every": "yes", "status": "behind", "sure": "yes"}
    await press(await house.browser(ADMIN), **entered)
    rows = await house.site.db.fetch("SELECT address FROM mailboxes WHERE 'late' = ANY (labels)")
    assert [row["address"] for row in rows] == ["Bert@two.test"]


@pytest.mark.parametrize(
    ("entered", "told"),
    [
        ({"action": "label", "word": "two words"}, "is not a label"),
        ({"action": "set"}, "No setting was entered"),
        ({"action": "set", "target_daily": "many"}, "is not a number"),
        ({"action": "set", "target_daily": "5000"}, "is not possible"),
        ({"action": "set", "start_hour": "23", "end_hour": "2"}, "would open at hour 23"),
        ({"action": "set", "timezone": "Mars"}, "There is no time zone"),
    ],
)
async def test_what_cannot_be_is_told_and_changes_nothing(house: House, entered: dict[str, str], told: str) -> None:
    box = await add(house, OWNER, "anna@one.test")
    answer = await press(await house.browser(OWNER), ids=box, **entered)
    assert answer.status_code == 422
    assert told in answer.text
    assert "Nothing was changed." in answer.text


async def test_settings_of_many_are_changed_at_once(house: House) -> None:
    ids = [await add(house, OWNER, f"m{n}@one.test", target_daily=20) for n in range(3)]
    answer = await press(await house.browser(OWNER), action="set", ids=ids, target_daily="default", ramp_step="4")
    assert "daily target the default, ramp step 4" in answer.text
    rows = await house.site.db.fetch("SELECT DISTINCT target_daily, ramp_step FROM mailboxes")
    assert [tuple(row) for row in rows] == [(None, 4)]


@pytest.mark.parametrize("action", ["pause", "resume", "check", "remove", "undo"])
async def test_button_of_anothers_mailbox_leads_nowhere(house: House, action: str) -> None:
    box = await add(house, OTHER, "anna@other.test")
    await add(house, OWNER, "mine@one.test")
    browser = await house.browser(OWNER)
    theirs = await press(browser, f"/mailboxes/{box}/{action}")
    nobodys = await press(browser, f"/mailboxes/999/{action}")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.content == nobodys.content
    assert (await states(house))["anna@other.test"] == "ACTIVE"


@pytest.mark.parametrize("path", ["/mailboxes/act", "/mailboxes/1/pause"])
async def test_form_of_another_site_is_refused(house: House, path: str) -> None:
    box = await add(house, OWNER, "anna@one.test")
    browser = await house.browser(OWNER)
    assert (await browser.post(path, data={"action": "pause", "ids": box})).status_code == 403


async def test_odd_numbers_choose_nobody(house: House) -> None:
    await add(house, OWNER, "anna@one.test")
    answer = await press(await house.browser(OWNER), action="pause", ids=["x", "-1", "9" * 30, "²"])
    assert "Nothing was done" in answer.text
