"""The account page: one's password, tokens, sessions."""

import io
import re
import zipfile

import httpx
import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, PASSWORD, House, config
from warmupd.http.pages.account import browser_named

NEW = "quite another password"
CHANGE = {"old": PASSWORD, "password": NEW, "again": NEW}


async def send(browser: httpx.AsyncClient, path: str, **data: object) -> httpx.Response:
    csrf = re.findall(r'name="csrf" value="([^"]+)"', (await browser.get("/account")).text)[0]
    return await browser.post(path, data={"csrf": csrf, **data})


async def test_new_password_goes_on_here_and_ends_everything_else(house: House) -> None:
    browser, elsewhere, program = await house.browser(OWNER), await house.browser(OWNER), await house.as_user(OWNER)
    before = browser.cookies["warmupd"]
    answer = await send(browser, "/account/password", **CHANGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=password")
    assert browser.cookies["warmupd"] != before
    assert "Your password is changed" in (await browser.get("/account?done=password")).text
    assert (await elsewhere.get("/account")).status_code == 303
    assert (await program.get("/api/auth/tokens")).status_code == 401
    assert await house.token(OWNER, NEW)


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"old": "wrong password"}, 422, "not your present password"),
        ({"again": "not the same"}, 422, "not the same"),
        ({"password": "short", "again": "short"}, 422, "shorter than 10"),
        ({"password": OWNER, "again": OWNER}, 422, "the e-mail address"),
    ],
)
async def test_password_stays_unless_all_is_well(house: House, change: dict[str, str], status: int, told: str) -> None:
    browser = await house.browser(OWNER)
    answer = await send(browser, "/account/password", **{**CHANGE, **change})
    assert (answer.status_code, told in answer.text) == (status, True)
    assert await house.token(OWNER)


async def test_old_password_is_not_guessed_at_by_a_stolen_session(house: House) -> None:
    browser = await house.browser(OWNER)
    house.site.go_by(config(**{"auth.rate_limit": 2}))
    told = [(await send(browser, "/account/password", **{**CHANGE, "old": "wrong"})).status_code for _ in range(3)]
    assert told == [422, 422, 429]


async def test_token_is_shown_once_on_the_page(house: House) -> None:
    browser = await house.browser(OWNER)
    answer = await send(browser, "/account/tokens", name="report <b>", scope=["read", "mailboxes"], days="30")
    token = re.findall(r"wup_[\w-]{43}", answer.text)[0]
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    again = (await browser.get("/account")).text
    assert token not in again
    assert "report &lt;b&gt;" in again
    assert "read, mailboxes" in again


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "a\0b"}, {"scope": []}, {"scope": ["admin"]}, {"days": "9999"}]
)
async def test_token_that_cannot_be_is_told_why(house: House, wrong: dict[str, object]) -> None:
    browser = await house.browser(OWNER)
    answer = await send(browser, "/account/tokens", **{"name": "report", "scope": ["read"], "days": "", **wrong})
    assert answer.status_code == 422
    assert "token" in answer.text
    assert "wup_" not in answer.text


async def test_admins_scope_is_offered_to_admins(house: House) -> None:
    seen = [('value="admin"' in (await (await house.browser(email)).get("/account")).text) for email in (ADMIN, OWNER)]
    assert seen == [True, False]


async def test_token_is_revoked_by_its_user_alone(house: House) -> None:
    browser, other = await house.browser(OWNER), await house.browser(OTHER)
    await send(browser, "/account/tokens", name="report", scope=["read"])
    assert (await send(other, "/account/tokens/1/revoke")).status_code == 404
    assert (await send(browser, "/account/tokens/1/revoke")).status_code == 303
    assert "report" not in (await browser.get("/account")).text.split("Make a token")[0].split("Service tokens")[1]


async def test_sessions_elsewhere_are_ended_one_by_one_or_all(house: House) -> None:
    first, second, third = [await house.browser(OWNER) for _ in range(3)]
    ids = re.findall(r"/account/sessions/(\d+)/end", (await first.get("/account")).text)
    assert len(ids) == 2
    assert (await send(first, f"/account/sessions/{max(ids)}/end")).status_code == 303
    assert (await third.get("/account")).status_code == 303
    assert (await send(first, "/account/sessions/end")).status_code == 303
    assert (await second.get("/account")).status_code == 303
    assert (await first.get("/account")).status_code == 200


async def test_anothers_session_is_not_ended(house: House) -> None:
    browser, other = await house.browser(OWNER), await house.browser(OTHER)
    ids = await house.site.db.fetch("SELECT id FROM browser_sessions")
    for row in ids:
        await send(other, f"/account/sessions/{row['id']}/end")
    assert (await browser.get("/account")).status_code == 200


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5", "curl/8.5"),
        ("", "an unknown browser"),
    ],
)
def test_browser_is_named_in_words(agent: str, named: str) -> None:
    assert browser_named(agent) == named


async def test_own_data_is_downloaded_from_the_page(house: House) -> None:
    browser = await house.browser(OWNER)
    assert 'href="/account/export"' in (await browser.get("/account")).text
    answer = await browser.get("/account/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert OWNER in archive.read("profile.json").decode()


async def test_what_one_asks_about_oneself_counts_nobody_elses_mailboxes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(*_: object) -> None:
        raise AssertionError("its time would tell how many there are")

    monkeypatch.setattr("warmupd.store.plans.list_plans", count)
    assert (await (await house.as_user(OWNER)).get("/api/account")).json()["plan"]["name"] == "default"
