"""Log-in by token and by browser: who gets in, and for how long."""

import datetime as dt
from uuid import UUID

import pytest

from tests.http.conftest import NOW, OWNER, PASSWORD, SECRET, House
from warmupd.http.bearer import Signer
from warmupd.http.limiter import Limiter
from warmupd.http.passwords import hash_password
from warmupd.store.access import access_by_email, set_password

NOW_USER = UUID(int=7)


async def test_password_gives_a_token_for_an_hour(house: House) -> None:
    answer = await house.open().post("/api/auth/token", json={"email": OWNER.upper(), "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 3600
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("email", [OWNER, "nobody@site.test"])
async def test_wrong_password_and_unknown_user_look_alike(house: House, email: str) -> None:
    answer = await house.open().post("/api/auth/token", json={"email": email, "password": "wrong password"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "address and password do not fit"


def test_token_is_over_after_its_time() -> None:
    signer = Signer(SECRET)
    token = signer.sign(NOW_USER, credentials_version=1, now=NOW, minutes=60)
    assert signer.read(token, now=NOW + dt.timedelta(minutes=59)) is not None
    assert signer.read(token, now=NOW + dt.timedelta(minutes=60)) is None


def test_token_of_another_key_is_none_and_of_an_older_one_counts() -> None:
    other = "another secret of the tests with more than thirty-two bytes"
    token = Signer(other).sign(NOW_USER, credentials_version=1, now=NOW, minutes=60)
    assert Signer(SECRET).read(token, now=NOW) is None
    assert Signer(SECRET, [other]).read(token, now=NOW) is not None


def test_short_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="shorter than 32 bytes"):
        Signer("too short")


async def test_browser_is_signed_in_by_a_cookie_that_scripts_cannot_read(house: House) -> None:
    answer = await house.open().post("/sign-in", data={"email": OWNER, "password": PASSWORD, "then": "/mailboxes"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/mailboxes"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


@pytest.mark.parametrize("then", ["//evil.test", "https://evil.test", "/\\evil.test", "javascript:alert(1)"])
async def test_sign_in_leads_nowhere_else(house: House, then: str) -> None:
    answer = await house.open().post("/sign-in", data={"email": OWNER, "password": PASSWORD, "then": then})
    assert answer.headers["location"] == "/"


async def test_form_without_the_sessions_token_is_refused(house: House) -> None:
    browser = await house.browser(OWNER)
    assert (await browser.post("/sign-out")).status_code == 403


async def test_stranger_is_sent_to_the_door(house: House) -> None:
    answer = await house.open().post("/sign-out")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


async def test_new_password_ends_sessions(house: House) -> None:
    browser = await house.browser(OWNER)
    access = await access_by_email(house.site.db, OWNER)
    assert access is not None
    await set_password(
        house.site.db, access.user_id, hash_password("quite another password"), actor="test", at=house.site.clock.now()
    )
    answer = await browser.post("/sign-out")
    assert answer.headers["location"].startswith("/sign-in?then=")


def test_limiter_tells_when_there_is_a_go_again() -> None:
    limiter = Limiter(per_minute=2)
    assert [limiter.take("a", now=0.0), limiter.take("a", now=0.0)] == [0.0, 0.0]
    assert limiter.take("a", now=0.0) == 30.0
    assert limiter.take("b", now=0.0) == 0.0
    assert limiter.take("a", now=30.0) == 0.0
