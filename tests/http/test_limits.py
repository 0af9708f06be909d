"""What an owner may not do: send more than a provider takes, and have servers asked without end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.http.conftest import ADMIN, OWNER, House
from tests.http.mail_world import ANNA, PASSWORDS, MailWorld, password_world, post
from tests.http.test_mailboxes import add
from warmupd.daemon.login_check import LoginCheck
from warmupd.http import trials
from warmupd.http.trials import Trials

GOOGLE = "smtp.gmail.com"


@pytest.fixture
async def mail(house: House) -> AsyncIterator[MailWorld]:
    async with password_world(house) as world:
        yield world


@pytest.fixture
def let_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Servers that let everybody in; who came."""
    came: list[str] = []

    async def check(_: LoginCheck, account: Any, __: Any = None) -> list[Any]:
        came.append(account.address)
        return []

    monkeypatch.setattr(LoginCheck, "check", check)
    return came


@pytest.fixture
def two_a_minute(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "A_MINUTE", 2)
    house.app.state.trials = Trials()


@pytest.mark.parametrize(
    ("row", "patch", "status"),
    [
        ({"provider": "other", "provider_limit": 90_000}, {"provider": "gmail"}, 403),
        ({"provider": "gmail"}, {"provider_limit": 501}, 403),
        ({"provider": "gmail", "smtp_host": GOOGLE}, {"provider": "other", "provider_limit": 90_000}, 403),
        ({"provider": "gmail", "smtp_host": GOOGLE}, {"provider": "other"}, 403),
        ({"provider": "gmail", "provider_limit": 900}, {"provider_limit": 900, "language": ""}, 200),
        ({"provider": "gmail", "provider_limit": 900}, {"provider_limit": None}, 200),
        ({"provider": "gmail"}, {"provider": "other", "provider_limit": 400}, 200),
    ],
)
async def test_limit_is_judged_by_what_the_row_will_say(
    house: House, let_in: list[str], row: dict[str, Any], patch: dict[str, Any], status: int
) -> None:
    box = await add(house, OWNER, "anna@one.test", **row)
    client = await house.as_user(OWNER)
    answer = await client.patch(f"/api/warmup/mailboxes/{box}", json={**patch, "password": "pw"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("more", [{}, {"provider": "other", "smtp_host": GOOGLE}])
async def test_new_mailbox_sends_no_more_than_its_provider_takes(
    house: House, mail: MailWorld, more: dict[str, str]
) -> None:
    said: dict[str, Any] = {"provider": "gmail", "provider_limit": 90_000, **more}
    client, browser = await house.as_user(OWNER), await house.browser(OWNER)
    assert (await client.post("/api/warmup/mailboxes", json=mail.new(**said))).status_code == 403
    form = {name: str(value) for name, value in said.items()}
    assert (await post(browser, "/add", mail.form(**form))).status_code == 403
    assert await house.site.db.fetchval("SELECT count(*) FROM mailboxes") == 0


async def test_row_of_a_file_sends_no_more_than_its_provider_takes(house: House, mail: MailWorld) -> None:
    said = {"email": ANNA, "password": PASSWORDS[ANNA], "provider": "gmail", "provider_limit": "90000", **mail.servers}
    sheet = ",".join(said) + "\n" + ",".join(said.values())
    for user, state in ((OWNER, "rejected"), (ADMIN, "enrolled")):
        client = await house.as_user(user)
        answer = await client.post("/api/warmup/mailboxes/import", content=sheet, headers={"content-type": "text/csv"})
        assert answer.json()["counts"][state] == 1, answer.text


async def test_logins_of_a_mailbox_that_is_there_are_counted(
    house: House, let_in: list[str], two_a_minute: None
) -> None:
    box = await add(house, OWNER, "anna@one.test")
    client, path = await house.as_user(OWNER), f"/api/warmup/mailboxes/{box}"
    assert (await client.post(f"{path}/check")).status_code == 200
    guess = {"smtp_username": "boss", "password": "guess"}
    assert [(await client.patch(path, json=guess)).status_code for _ in range(2)] == [200, 429]
    answer = await client.post(f"{path}/check")
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)


async def test_many_logins_are_counted_one_by_one(house: House, two_a_minute: None) -> None:
    boxes = [await add(house, OWNER, f"box{n}@one.test") for n in range(4)]
    browser = await house.browser(OWNER)
    fields = {"action": "check", "ids": [str(box) for box in boxes]}
    page = await post(browser, "/mailboxes/act", fields)  # type: ignore[arg-type]  # httpx takes lists
    assert page.text.count("not tried: too many mailboxes were checked") == 2


async def test_only_an_admin_changes_a_server_without_a_check(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test")
    client, path = await house.as_user(OWNER), f"/api/warmup/mailboxes/{box}"
    assert (await client.patch(path, json={"smtp_username": "boss", "check": False})).status_code == 403
    assert (await client.patch(path, json={"display_name": "Anna", "check": False})).status_code == 200
