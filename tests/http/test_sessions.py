"""Browser sessions: their cookie, how long they last, and which forms they take."""

import datetime as dt
import re

import httpx
import pytest

from tests.http.conftest import OTHER, OWNER, PASSWORD, House, config
from warmupd.store import sessions
from warmupd.store.access import access_by_email, set_password

LOGIN = {"email": OWNER, "password": PASSWORD}


def shift(house: House, **by: float) -> None:
    house.site.clock._start += dt.timedelta(**by)  # type: ignore[attr-defined]  # time is the clock's


async def csrf(browser: httpx.AsyncClient) -> str:
    return str(re.findall(r'name="csrf" value="([^"]+)"', (await browser.get("/account")).text)[0])


async def test_behind_https_the_cookie_is_this_hosts_alone(house: House) -> None:
    house.site.go_by(config(**{"http.public_url": "https://site.test"}))
    answer = await house.open().post("/sign-in", data=LOGIN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-warmupd=")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_without_https_nothing_is_said_of_it(house: House) -> None:
    answer = await house.open().get("/sign-in")
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(("trusted", "secure"), [(["127.0.0.1"], True), ([], False)])
async def test_proxy_tells_of_https_only_where_it_is_trusted(house: House, trusted: list[str], secure: bool) -> None:
    house.site.go_by(config(**{"auth.trusted_proxies": trusted}))
    answer = await house.open().post("/sign-in", data=LOGIN, headers={"x-forwarded-proto": "https"})
    assert ("Secure" in answer.headers["set-cookie"]) is secure


async def test_session_ends_when_nobody_comes_back(house: House) -> None:
    browser = await house.browser(OWNER)
    shift(house, days=2.9)
    assert (await browser.get("/account")).status_code == 200
    shift(house, days=2.9)
    assert (await browser.get("/account")).status_code == 200
    shift(house, days=3.1)
    assert (await browser.get("/account")).headers["location"] == "/sign-in?then=/account"


async def test_session_that_nobody_ever_used_ends_as_soon(house: House) -> None:
    browser = await house.browser(OWNER)
    shift(house, days=3.1)
    assert (await browser.get("/account")).status_code == 303


async def test_session_ends_at_last_however_often_somebody_comes(house: House) -> None:
    browser = await house.browser(OWNER)
    for _ in range(6):
        shift(house, days=2)
        assert (await browser.get("/account")).status_code == 200
    shift(house, days=2)
    assert (await browser.get("/account")).status_code == 303


async def test_sign_in_leads_to_what_was_asked_for_with_its_query(house: House) -> None:
    browser = house.open()
    first = await browser.get("/account?done=revoked")
    form = (await browser.get(first.headers["location"])).text
    (then,) = re.findall(r'name="then" value="([^"]+)"', form)
    assert (await browser.post("/sign-in", data={**LOGIN, "then": then})).headers["location"] == "/account?done=revoked"


async def test_every_sign_in_is_another_session_and_ends_the_one_before(house: House) -> None:
    browser = await house.browser(OWNER)
    before = browser.cookies["warmupd"]
    await browser.post("/sign-in", data=LOGIN)
    assert browser.cookies["warmupd"] != before
    old = house.open()
    old.cookies.set("warmupd", before)
    assert (await old.get("/account")).status_code == 303


async def test_cookie_that_was_set_beforehand_is_not_taken_over(house: House) -> None:
    browser = house.open()
    browser.cookies.set("warmupd", "fixed by somebody", domain="site.test")
    answer = await browser.post("/sign-in", data=LOGIN)
    assert "fixed by somebody" not in answer.headers["set-cookie"]


async def test_session_that_begins_as_the_password_is_changed_does_not_go_on(house: House) -> None:
    db, now = house.site.db, house.site.clock.now()
    before = await access_by_email(db, OWNER)
    assert before is not None
    await set_password(db, before.user_id, "hash", actor="test", at=now)
    await sessions.begin_session(db, before, token_hash=b"x", csrf="", client="", agent="", at=now)
    assert await sessions.session_of(db, b"x", at=now) is None
    assert await sessions.list_sessions(db, before.user_id, at=now) == []


async def test_oldest_session_makes_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 2)
    browsers = []
    for _ in range(3):
        browsers.append(await house.browser(OWNER))
        shift(house, minutes=1)
    assert [(await browser.get("/account")).status_code for browser in browsers] == [303, 200, 200]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "none"}, 303),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://site.test"}, 403),
        ({"origin": "http://site.test"}, 303),
        ({"origin": "https://site.test"}, 303),
        ({"origin": "http://evil.test"}, 403),
        ({"origin": "http://site.test.evil.test"}, 403),
        ({"origin": "http://site.test:8080"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[evil"}, 403),
        ({}, 303),
    ],
)
async def test_form_of_another_site_is_refused_whatever_it_knows(
    house: House, headers: dict[str, str], status: int
) -> None:
    signing_in = await house.open().post("/sign-in", data=LOGIN, headers=headers)
    browser = await house.browser(OWNER)
    signing_out = await browser.post("/sign-out", data={"csrf": await csrf(browser)}, headers=headers)
    assert (signing_in.status_code, signing_out.status_code) == (status, status)


async def test_form_comes_from_the_address_that_is_configured(house: House) -> None:
    house.site.go_by(config(**{"http.public_url": "https://warmup.example.com"}))
    headers = {"origin": "https://warmup.example.com", "host": "inside:3000"}
    assert (await house.open().post("/sign-in", data=LOGIN, headers=headers)).status_code == 303


async def test_form_with_anothers_token_is_refused(house: House) -> None:
    browser, other = await house.browser(OWNER), await house.browser(OTHER)
    assert (await browser.post("/sign-out", data={"csrf": await csrf(other)})).status_code == 403
    assert (await browser.get("/account")).status_code == 200


async def test_database_holds_no_cookie(house: House) -> None:
    browser = await house.browser(OWNER)
    rows = await house.site.db.fetch("SELECT s::text FROM browser_sessions s")
    assert browser.cookies["warmupd"] not in rows[0][0]
