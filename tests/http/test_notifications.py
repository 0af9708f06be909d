"""Notifications by the API and on their page: what a user chooses, what is told of it, and that it is theirs alone."""

import datetime as dt
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, House, known_token
from tests.mail.hook_server import HookServer
from warmupd.core.notice import Kind, Notice
from warmupd.mail.webhook import sign
from warmupd.store.notices import add_notice
from warmupd.store.users import find_user

SETTINGS, TEST, NOTICES = "/api/warmup/notifications", "/api/warmup/notifications/test", "/api/warmup/notices"
CHOICE = {"email": False, "events": ["suspended"], "digest": True, "daily_hour": 18}


@pytest.fixture
async def hook(house: House) -> AsyncIterator[HookServer]:
    """A web server, which this installation's configuration vouches for."""
    security = house.site.config.security.model_copy(update={"allow_hosts": ("127.0.0.1",)})
    house.site.config = house.site.config.model_copy(update={"security": security})
    async with HookServer().running() as server:
        yield server


async def as_user(house: House, email: str) -> httpx.AsyncClient:
    client = house.open()
    client.headers["authorization"] = f"Bearer {await known_token(house, email)}"
    return client


async def tell(house: House, email: str | None, subject: str) -> None:
    user_id = (await find_user(house.site.db, email)).id if email else None
    notice = Notice(kind=Kind.TROUBLE, subject=subject, body="text")
    await add_notice(house.site.db, notice, user_id=user_id, to=[("EMAIL", "")], at=house.site.clock.now())


async def subjects(client: httpx.AsyncClient) -> list[str]:
    return sorted(item["subject"] for item in (await client.get(NOTICES)).json()["items"])


async def test_defaults_are_mail_at_once_about_everything(house: House) -> None:
    told = (await (await as_user(house, OWNER)).get(SETTINGS)).json()
    assert told["address"] == OWNER
    assert (told["address_confirmed"], told["mail_available"], told["email"], told["digest"]) == (
        False,
        False,
        True,
        False,
    )
    assert told["events"] == ["auth_failed", "suspended", "back_to_normal", "quota_missed"]
    assert told["webhook"] is None


async def test_what_is_chosen_holds(house: House) -> None:
    client = await as_user(house, OWNER)
    assert (await client.put(SETTINGS, json=CHOICE)).status_code == 200
    told = (await client.get(SETTINGS)).json()
    assert {name: told[name] for name in CHOICE} == CHOICE
    other = (await (await as_user(house, OTHER)).get(SETTINGS)).json()
    assert other["daily_hour"] == 8


async def test_secret_is_shown_when_it_is_made_and_never_again(house: House, hook: HookServer) -> None:
    client = await as_user(house, OWNER)
    first = await client.put(SETTINGS, json={"webhook": {"url": hook.url}})
    assert first.json()["webhook"] == {"host": "127.0.0.1", "form": "json"}
    secret = first.json()["webhook_secret"]
    assert secret.startswith("wus_")
    same = await client.put(SETTINGS, json={"webhook": {"form": "slack"}})
    assert (same.json()["webhook_secret"], same.json()["webhook"]["form"]) == (None, "slack")
    assert secret not in (await client.get(SETTINGS)).text
    assert "hush" not in first.text  # nor is the address, which holds a token
    for another in ({"new_secret": True}, {"url": hook.url + "2"}):
        made = (await client.put(SETTINGS, json={"webhook": another})).json()["webhook_secret"]
        assert made not in {None, secret}
    stored = await house.site.db.fetchval("SELECT webhook FROM notice_settings WHERE webhook IS NOT NULL")
    assert b"hush" not in stored


async def test_without_a_webhook_there_is_none_afterwards(house: House, hook: HookServer) -> None:
    client = await as_user(house, OWNER)
    await client.put(SETTINGS, json={"webhook": {"url": hook.url}})
    assert (await client.put(SETTINGS, json={})).json()["webhook"] is None


async def test_a_test_arrives_signed_and_the_answer_says_so(house: House, hook: HookServer) -> None:
    client = await as_user(house, OWNER)
    secret = (await client.put(SETTINGS, json={"webhook": {"url": hook.url}})).json()["webhook_secret"]
    answer = await client.post(TEST)
    assert [(one["channel"], one["state"]) for one in answer.json()["deliveries"]] == [("webhook", "delivered")]
    (came,) = hook.came
    assert json.loads(came.body)["type"] == "test"
    at = dt.datetime.fromtimestamp(int(came.headers["x-warmupd-signature"].split(",")[0][2:]), dt.UTC)
    assert came.headers["x-warmupd-signature"] == sign(secret, came.body, at)


async def test_a_test_that_does_not_arrive_is_tried_once_and_says_why(house: House, hook: HookServer) -> None:
    client = await as_user(house, OWNER)
    await client.put(SETTINGS, json={"webhook": {"url": hook.url}})
    hook.status = 404
    (told,) = (await client.post(TEST)).json()["deliveries"]
    assert (told["state"], told["tries"], told["error"]) == ("failed", 1, "it answered 404")


async def test_tests_are_limited(house: House, hook: HookServer) -> None:
    client = await as_user(house, OWNER)
    await client.put(SETTINGS, json={"webhook": {"url": hook.url}})
    answers = [await client.post(TEST) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "60"
    assert len(hook.came) == 3


async def test_a_test_to_nowhere_says_what_to_do(house: House) -> None:
    answer = await (await as_user(house, OWNER)).post(TEST)
    assert answer.status_code == 422
    assert answer.json()["remedy"] == "confirm your address, or set a webhook"


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook": {"url": "http://hooks.example.test/x"}},
        {"webhook": {"url": "https://127.0.0.1/x"}},
        {"webhook": {"url": "https://10.0.0.8/x"}},
        {"webhook": {"url": "https://[::1]/"}},
        {"webhook": {"url": "https://169.254.169.254/latest"}},
        {"webhook": {"url": "https://8.8.8.8:25/"}},
        {"webhook": {"url": "https://x.test/\0"}},
        {"webhook": {"url": "https://user:secret@x.test/"}},
        {"webhook": {"url": "https://" + "x" * 3000}},
        {"webhook": {}},
        {"webhook": {"form": "xml", "url": "https://x.test"}},
        {"events": ["everything"]},
        {"daily_hour": 24},
        {"daily_hour": 10**30},
        {"unknown": 1},
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(house: House, wrong: dict[str, object]) -> None:
    client = await as_user(house, OWNER)
    answer = await client.put(SETTINGS, json={**CHOICE, **wrong})
    assert answer.status_code == 422, answer.text
    assert "secret@" not in answer.text
    assert (await client.get(SETTINGS)).json()["daily_hour"] == 8


async def test_notices_are_ones_own_and_an_admin_sees_all(house: House) -> None:
    for email, subject in ((OWNER, "mine"), (OTHER, "theirs"), (None, "the fleet's")):
        await tell(house, email, subject)
    assert await subjects(await as_user(house, OWNER)) == ["mine"]
    assert await subjects(await as_user(house, ADMIN)) == ["mine", "the fleet's", "theirs"]


async def test_notices_come_in_pages_whose_cursors_are_checked(house: House) -> None:
    for number in range(5):
        await tell(house, OWNER, f"notice {number}")
    client, seen, cursor = await as_user(house, OWNER), [], None
    while True:
        answer = (await client.get(NOTICES, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["subject"] for item in answer["items"]]
        if (cursor := answer["next_cursor"]) is None:
            break
    assert seen == [f"notice {number}" for number in reversed(range(5))]
    for wrong in ("x", "WyIxIiwiMiJd", "WyIyMDI2LTAxLTAxIiwiYSJd", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwiMCJd"):
        assert (await client.get(NOTICES, params={"cursor": wrong})).status_code == 422


async def test_page_saves_shows_the_secret_once_and_sends_a_test(house: House, hook: HookServer) -> None:
    browser = await house.browser(OWNER)
    csrf = (await browser.get("/notifications")).text.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": csrf, "event": ["suspended", "auth_failed"], "digest": "false", "daily_hour": "7", "url": hook.url}
    made = await browser.post("/notifications", data=form)
    assert made.status_code == 201
    assert "wus_" in made.text
    again = await browser.post("/notifications", data={**form, "url": ""})
    assert again.headers["location"] == "/notifications?done=saved"
    text = (await browser.get("/notifications?done=saved")).text
    assert "127.0.0.1" in text
    assert "wus_" not in text
    assert "hush" not in text
    assert (await browser.post("/notifications/test", data={"csrf": csrf})).status_code == 303
    assert "webhook delivered" in (await browser.get("/notifications")).text
    assert len(hook.came) == 1


async def test_page_says_what_is_wrong_and_keeps_what_was_entered(house: House) -> None:
    browser = await house.browser(OWNER)
    csrf = (await browser.get("/notifications")).text.partition('name="csrf" value="')[2].partition('"')[0]
    answer = await browser.post("/notifications", data={"csrf": csrf, "url": "https://10.0.0.1/", "daily_hour": "17"})
    assert answer.status_code == 422
    assert "may not be connected to" in answer.text
    assert '<option value="17" selected>' in answer.text


async def test_page_escapes_what_servers_said(house: House) -> None:
    await tell(house, OWNER, "<script>alert(1)</script>")
    assert "<script>alert(1)" not in (await (await house.browser(OWNER)).get("/notifications")).text


async def test_a_webhook_that_no_key_opens_any_more_can_be_replaced(house: House, hook: HookServer) -> None:
    client = await as_user(house, OWNER)
    await client.put(SETTINGS, json={"webhook": {"url": hook.url}})
    await house.site.db.execute("UPDATE notice_settings SET webhook = '\\x01' WHERE webhook IS NOT NULL")
    assert (await client.get(SETTINGS)).json()["webhook"]["host"] == ""
    (told,) = (await client.post(TEST)).json()["deliveries"]
    assert told["error"].startswith("the webhook does not open")
    assert (await client.put(SETTINGS, json={"webhook": {"url": hook.url}})).json()["webhook_secret"]
