"""Adding one mailbox by page and API: who is let in is saved, whoever is not learns why."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.http.conftest import OTHER, OWNER, House
from tests.http.mail_world import ANNA, BERT, MailWorld, password_world, post
from warmupd.http import trials
from warmupd.store.enrolment import known_addresses

STREAM = {"accept": "application/x-ndjson"}


@pytest.fixture
async def mail(house: House) -> AsyncIterator[MailWorld]:
    async with password_world(house) as world:
        yield world


async def enrolled(house: House) -> set[str]:
    return set(await known_addresses(house.site.db, [ANNA, BERT]))


async def test_mailbox_that_both_servers_let_in_is_saved_and_told_line_by_line(house: House, mail: MailWorld) -> None:
    browser = await house.browser(OWNER)
    answer = await post(browser, "/add", mail.form(labels="client-a"), headers=STREAM)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["grade"] for line in lines if line.get("check") in {"smtp", "imap"}] == ["ok", "ok"], answer.text
    assert lines[-1]["done"]
    assert lines[-1]["address"] == ANNA
    assert await enrolled(house) == {ANNA}


async def test_page_without_scripts_says_the_same(house: House, mail: MailWorld) -> None:
    answer = await post(await house.browser(OWNER), "/add", mail.form())
    assert answer.status_code == 200
    assert f"{ANNA} takes part" in answer.text
    assert "let us in" in answer.text


async def test_wrong_password_saves_nothing_and_is_not_shown_again(house: House, mail: MailWorld) -> None:
    answer = await post(await house.browser(OWNER), "/add", mail.form(password="wrong-hush", name="Anna"))
    assert answer.status_code == 422
    assert "was not let in" in answer.text
    assert 'value="Anna"' in answer.text
    assert "hush" not in answer.text
    assert await enrolled(house) == set()


async def test_each_wrong_field_is_named(house: House, mail: MailWorld) -> None:
    answer = await post(
        await house.browser(OWNER),
        "/add",
        mail.form(email="nobody", smtp_port="99999", timezone="Mars/One"),
        headers=STREAM,
    )
    (line,) = answer.text.splitlines()
    assert json.loads(line)["errors"].keys() == {"email", "smtp_port", "timezone"}


async def test_only_checking_saves_nothing(house: House, mail: MailWorld) -> None:
    answer = await post(await house.browser(OWNER), "/add", mail.form(do="check"), headers=STREAM)
    assert json.loads(answer.text.splitlines()[-1]) == {"done": True, "id": None, "address": ANNA}
    assert await enrolled(house) == set()


async def test_host_inside_is_not_connected_to(house: House, mail: MailWorld) -> None:
    answer = await post(await house.browser(OWNER), "/add", mail.form(smtp_host="10.0.0.1"))
    assert answer.status_code == 422
    assert "may not be connected to" in answer.text


async def test_provider_is_told_by_the_address(house: House, mail: MailWorld) -> None:
    browser = await house.browser(OWNER)
    told = (await browser.get("/add/provider", params={"address": "ann@gmail.com"})).json()
    assert (told["name"], told["smtp"]["host"], told["issuer"]) == ("Gmail", "smtp.gmail.com", "google")
    assert "app password" in told["hint"]
    outlook = (await browser.get("/add/provider", params={"address": "ann@outlook.com"})).json()
    assert outlook["tone"] == "warn"
    assert "Connect Microsoft" in outlook["hint"]


async def test_form_of_another_site_adds_nothing(house: House, mail: MailWorld) -> None:
    answer = await (await house.browser(OWNER)).post("/add", data={**mail.form(), "csrf": "forged"})
    assert answer.status_code == 403


async def test_api_enrols_and_shows_no_secret(house: House, mail: MailWorld) -> None:
    client = await house.as_user(OWNER)
    answer = await client.post("/api/warmup/mailboxes", json=mail.new(labels=["a", "b"], target_daily=20))
    assert answer.status_code == 201, answer.text
    assert answer.json()["address"] == ANNA
    assert answer.json()["user"] == OWNER
    assert "hush" not in answer.text
    again = await client.post("/api/warmup/mailboxes", json=mail.new())
    assert (again.status_code, again.json()["detail"]) == (409, f"{ANNA} is enrolled already")


async def test_api_names_the_field_that_cannot_be_used(house: House, mail: MailWorld) -> None:
    client = await house.as_user(OWNER)
    answer = await client.post("/api/warmup/mailboxes", json=mail.new(timezone="Mars/One", smtp_host="a b"))
    assert answer.status_code == 422
    assert {one["field"] for one in answer.json()["errors"]} == {"timezone", "smtp_host"}


async def test_plan_that_is_full_is_said_before_any_server_is_asked(house: House, mail: MailWorld) -> None:
    await house.site.db.execute("UPDATE plans SET mailbox_limit = 0")
    client = await house.as_user(OWNER)
    answer = await client.post("/api/warmup/mailboxes", json=mail.new(imap_port=9))
    assert (answer.status_code, "allows 0 mailboxes" in answer.text) == (409, True)


async def test_nobody_but_an_admin_enrols_for_others_or_without_a_check(house: House, mail: MailWorld) -> None:
    client = await house.as_user(OWNER)
    for field in ({"user": OTHER}, {"user": "nobody@site.test"}, {"check": False}):
        assert (await client.post("/api/warmup/mailboxes", json=mail.new(**field))).status_code == 403
    assert await enrolled(house) == set()


async def test_who_tries_too_often_is_told_when_to_come_back(
    house: House, mail: MailWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "OF_USER", 0)
    answer = await (await house.as_user(OWNER)).post("/api/warmup/mailboxes", json=mail.new())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
