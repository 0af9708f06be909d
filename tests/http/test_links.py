"""Links that work once: invitations, forgotten passwords, confirmed addresses."""

import asyncio
import datetime as dt
import re

import pytest
import structlog.testing

from tests.http.conftest import ADMIN, OWNER, House, config
from tests.http.post import RELAY, Post, opened_post  # noqa: F401  opened_post is a fixture
from warmupd.errors import NotFound, UsageError
from warmupd.http.bearer import token_hash
from warmupd.http.letters import GAP, GOOD_FOR, Letter, forgotten, invite, reset_link
from warmupd.store.access import Access, access_by_email, end_everything
from warmupd.store.links import LinkKind, confirm_email, link_of, list_invitations, reset_password
from warmupd.store.users import Role, add_user

NEW = "quite another password"
GUEST = "guest@site.test"


async def access(house: House, email: str = OWNER) -> Access:
    found = await access_by_email(house.site.db, email)
    assert found is not None
    return found


async def invited(house: House, email: str = GUEST) -> Letter:
    return await invite(house.site, email=email, role=Role.USER, plan="default", actor=ADMIN)


def shift(house: House, by: dt.timedelta) -> None:
    house.site.clock._start += by  # type: ignore[attr-defined]  # time is the clock's


def token_in(path: str) -> bytes:
    return token_hash(path.rpartition("/")[2])


async def test_invited_guest_becomes_a_user_with_a_confirmed_address(house: House, post: Post) -> None:
    assert (await invited(house)).link == ""
    path, browser = await post.path(), house.open()
    assert GUEST in (await browser.get(path)).text
    answer = await browser.post(path, data={"name": "Gus", "password": NEW, "again": NEW})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    guest = await access(house, GUEST)
    assert (guest.role, guest.email_confirmed_at is not None) == (Role.USER, True)
    assert (await browser.get("/account")).status_code == 200
    assert (await house.open().get(path)).status_code == 410


async def test_link_that_was_handed_over_confirms_nothing(house: House) -> None:
    letter = await invited(house)
    assert (letter.mailed, letter.why) == (False, "no relay is set")
    path = letter.link.removeprefix("http://127.0.0.1:3000")
    assert (await house.open().post(path, data={"password": NEW, "again": NEW})).status_code == 303
    assert (await access(house, GUEST)).email_confirmed_at is None


async def test_invitation_of_an_admin_stands_for_what_it_says(house: House, post: Post) -> None:
    await invite(house.site, email=GUEST, role=Role.ADMIN, plan="default", actor=ADMIN)
    await house.open().post(await post.path(), data={"password": NEW, "again": NEW})
    assert (await access(house, GUEST)).role is Role.ADMIN


async def test_user_is_not_invited_again(house: House) -> None:
    with pytest.raises(UsageError, match="there is a user"):
        await invited(house, OWNER.upper())


async def test_relay_that_fails_leaves_a_link_to_hand_over(house: House, post: Post) -> None:
    post.fails = True
    letter = await invited(house)
    assert (letter.mailed, letter.why) == (False, "the relay did not take it")
    assert (await house.open().get(letter.link.removeprefix("http://site.test"))).status_code == 200


async def test_forgotten_password_is_chosen_anew_and_everybody_is_thrown_out(house: House, post: Post) -> None:
    elsewhere, program = await house.browser(OWNER), await house.as_user(OWNER)
    answer = await house.open().post("/reset", data={"email": OWNER.upper()})
    assert answer.status_code == 200
    path, browser = await post.path(), house.open()
    assert (await browser.post(path, data={"password": NEW, "again": NEW})).headers["location"] == "/"
    assert (await browser.get("/account")).status_code == 200
    assert (await elsewhere.get("/account")).status_code == 303
    assert (await program.get("/api/auth/tokens")).status_code == 401
    assert await house.token(OWNER, NEW)
    assert (await house.open().post(path, data={"password": NEW, "again": NEW})).status_code == 410


async def test_who_exists_is_not_told(house: House, post: Post) -> None:
    known = await house.open().post("/reset", data={"email": OWNER})
    nobody = await house.open().post("/reset", data={"email": "nobody@site.test"})
    odd = await house.open().post("/reset", data={"email": "no\0body@site.test"})
    assert known.text == nobody.text == odd.text
    assert [to for to, _ in await post.settled()] == [OWNER]


async def test_answer_does_not_wait_for_the_relay(house: House, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = asyncio.Event()
    take = post.take

    async def slow(*given: object, **named: str) -> None:
        await let_go.wait()
        await take(*given, **named)

    monkeypatch.setattr("warmupd.http.letters.relay_mail", slow)
    assert (await house.open().post("/reset", data={"email": OWNER})).status_code == 200
    assert post.sent == []
    let_go.set()
    assert len(await post.settled()) == 1


async def test_letters_are_not_sent_one_after_the_other(house: House, post: Post) -> None:
    for _ in range(3):
        forgotten(house.site, OWNER)
        await post.settled()
    assert len(post.sent) == 1
    shift(house, GAP)
    forgotten(house.site, OWNER)
    assert len(await post.settled()) == 2


async def test_letter_that_failed_is_asked_for_again_at_once(house: House, post: Post) -> None:
    post.fails = True
    forgotten(house.site, OWNER)
    await post.settled()
    post.fails = False
    forgotten(house.site, OWNER)
    assert len(await post.settled()) == 1


async def test_stranger_does_not_end_a_link_that_was_handed_over(house: House, post: Post) -> None:
    path = (await reset_link(house.site, await access(house), actor="cli", by_mail=False)).link
    path = path.removeprefix("http://site.test")
    shift(house, GAP)
    forgotten(house.site, OWNER)
    assert await post.settled() == []
    assert (await house.open().get(path)).status_code == 200
    shift(house, GOOD_FOR[LinkKind.PASSWORD_RESET])
    forgotten(house.site, OWNER)
    assert len(await post.settled()) == 1


async def test_admin_may_mail_what_was_handed_over_before(house: House, post: Post) -> None:
    await reset_link(house.site, await access(house), actor="cli", by_mail=False)
    assert (await reset_link(house.site, await access(house), actor="cli")).mailed
    assert (await house.open().get(await post.path())).status_code == 200


@pytest.mark.parametrize("how", ["role = 'USER'", "removed_at = now()"])
async def test_link_of_an_admin_who_is_none_any_more_is_gone(house: House, post: Post, how: str) -> None:
    """An invitation as an admin, or another's new password: either way they would be back."""
    db, rogue = house.site.db, "rogue@site.test"
    await add_user(db, email=rogue, role=Role.ADMIN, actor="test", at=house.site.clock.now())
    letters = [
        await invite(house.site, email=GUEST, role=Role.ADMIN, plan="default", actor=rogue, by_mail=False),
        await reset_link(house.site, await access(house, ADMIN), actor=rogue, by_mail=False),
    ]
    paths, browser = [letter.link.removeprefix("http://site.test") for letter in letters], house.open()
    assert [(await browser.get(path)).status_code for path in paths] == [200, 200]
    await db.execute(f"UPDATE users SET {how} WHERE email = $1", rogue)
    for path in paths:
        assert (await browser.post(path, data={"password": NEW, "again": NEW})).status_code == 410
    assert await list_invitations(db, at=house.site.clock.now()) == []


async def test_newer_link_ends_the_older(house: House, post: Post) -> None:
    old = (await reset_link(house.site, await access(house), actor="cli", by_mail=False)).link
    new = (await reset_link(house.site, await access(house), actor="cli", by_mail=False)).link
    statuses = [(await house.open().get(link.removeprefix("http://site.test"))).status_code for link in (old, new)]
    assert statuses == [410, 200]


@pytest.mark.parametrize(("minutes", "status"), [(59, 200), (60, 410)])
async def test_reset_link_works_for_an_hour(house: House, post: Post, minutes: int, status: int) -> None:
    forgotten(house.site, OWNER)
    path = await post.path()
    shift(house, dt.timedelta(minutes=minutes))
    assert (await house.open().get(path)).status_code == status


async def test_of_two_who_use_a_link_at_once_one_succeeds(house: House, post: Post) -> None:
    forgotten(house.site, OWNER)
    token, at = token_in(await post.path()), house.site.clock.now()
    using = [reset_password(house.site.db, token, password_hash=f"hash {n}", at=at) for n in range(2)]
    ended = await asyncio.gather(*using, return_exceptions=True)
    assert [type(end) for end in ended if isinstance(end, Exception)] == [NotFound]


async def test_link_of_one_kind_is_none_of_another(house: House, post: Post) -> None:
    forgotten(house.site, OWNER)
    path = await post.path()
    assert (await house.open().get(path.replace("/reset/", "/invite/"))).status_code == 410
    with pytest.raises(NotFound):
        await confirm_email(house.site.db, token_in(path), at=house.site.clock.now())


async def test_link_of_a_user_who_was_removed_is_gone(house: House, post: Post) -> None:
    forgotten(house.site, OWNER)
    path = await post.path()
    await house.site.db.execute("UPDATE users SET removed_at = now() WHERE email = $1", OWNER)
    assert (await house.open().get(path)).status_code == 410


async def test_password_by_link_follows_the_rules(house: House, post: Post) -> None:
    forgotten(house.site, OWNER)
    path, browser = await post.path(), house.open()
    for password, again, why in (
        ("short", "short", "shorter"),
        (NEW, "other", "not the same"),
        (OWNER, OWNER, "address"),
    ):
        answer = await browser.post(path, data={"password": password, "again": again})
        assert (answer.status_code, why in answer.text) == (422, True)
    assert (await browser.get(path)).status_code == 200


async def test_address_is_confirmed_by_its_link_and_not_by_looking_at_it(house: House, post: Post) -> None:
    browser = await house.browser(OWNER)
    page = await browser.get("/account")
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
    assert (await browser.post("/account/confirm", data={"csrf": csrf})).status_code == 303
    path = await post.path()
    assert (await house.open().get(path)).status_code == 200
    assert (await access(house)).email_confirmed_at is None
    assert "Confirmed" in (await house.open().post(path)).text
    assert (await access(house)).email_confirmed_at is not None


async def test_another_address_is_not_confirmed_and_ends_links(house: House, post: Post) -> None:
    db = house.site.db
    forgotten(house.site, OWNER)
    token = token_in(await post.path())
    await db.execute("UPDATE users SET email_confirmed_at = now() WHERE email = $1", OWNER)
    await db.execute("UPDATE users SET email = 'new@site.test' WHERE email = $1", OWNER)
    assert (await access(house, "new@site.test")).email_confirmed_at is None
    assert await link_of(db, token, kind=LinkKind.PASSWORD_RESET, at=house.site.clock.now()) is None


async def test_links_page_tells_nobody_its_path(house: House, post: Post) -> None:
    forgotten(house.site, OWNER)
    answer = await house.open().get(await post.path())
    assert answer.headers["referrer-policy"] == "strict-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert 'href="http' not in answer.text


async def test_mailed_link_leads_where_the_configuration_says(house: House, post: Post) -> None:
    await house.open().post("/reset", data={"email": OWNER}, headers={"host": "evil.test"})
    _, text = (await post.settled())[-1]
    assert "evil" not in text


async def test_without_a_relay_the_page_says_who_helps(house: House) -> None:
    answer = await house.open().post("/reset", data={"email": OWNER})
    assert "warmupd user reset-link" in answer.text
    assert not house.site.errands


async def test_asking_is_limited(house: House, post: Post) -> None:
    house.site.go_by(config(**RELAY, **{"auth.rate_limit": 2}))
    asked = [await house.open().post("/reset", data={"email": f"{n}@site.test"}) for n in range(3)]
    assert [answer.status_code for answer in asked] == [200, 200, 429]
    assert int(asked[-1].headers["retry-after"]) > 0


async def test_database_holds_no_token(house: House, post: Post) -> None:
    forgotten(house.site, OWNER)
    token = (await post.path()).rpartition("/")[2]
    rows = await house.site.db.fetch("SELECT l::text FROM links l")
    assert rows
    assert not any(token in row[0] for row in rows)


async def test_log_of_a_failure_tells_no_token(house: House, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten(house.site, OWNER)
    path = await post.path()

    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("warmupd.http.pages.links.link_of", fails)
    with structlog.testing.capture_logs() as log:
        assert (await house.open().get(path)).status_code == 500
    assert next(line for line in log if line["event"] == "http.failed")["route"] == "/reset/{token}"
    assert path.rpartition("/")[2] not in str(log)


async def test_links_that_a_stolen_account_made_for_others_end_with_its_access(house: House, post: Post) -> None:
    """Else whoever stole it comes back by another admin's new password."""
    thief, other = await access(house, ADMIN), await access(house)
    letter = await reset_link(house.site, other, actor=ADMIN, by_mail=False)
    path, browser = letter.link.removeprefix("http://site.test"), house.open()
    assert (await browser.get(path)).status_code == 200
    await end_everything(house.site.db, thief.user_id, actor="cli", at=house.site.clock.now())
    assert (await browser.get(path)).status_code != 200
