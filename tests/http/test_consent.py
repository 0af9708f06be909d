"""Connecting a mailbox at a provider: there and back, once, with the same browser and account."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.http.conftest import OTHER, OWNER, House
from tests.http.mail_world import ANNA, MailWorld, post, token_world
from tests.mail.certificates import Authority, make_authority
from tests.mail.token_server import TokenServer
from warmupd.core.mailbox import MailboxState
from warmupd.http import trials
from warmupd.mail.consent import challenge_of
from warmupd.store.enrolment import known_addresses
from warmupd.store.grants import load_grant
from warmupd.store.states import change_state

World = tuple[TokenServer, MailWorld]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def world(house: House, authority: Authority) -> AsyncIterator[World]:
    async with token_world(house, authority) as world:
        yield world


async def go(browser: httpx.AsyncClient, mail: MailWorld, provider: str = "google", **fields: str) -> str:
    answer = await post(browser, f"/connect/{provider}", {"email": ANNA, **mail.servers, **fields})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def back(provider: TokenServer, place: str) -> str:
    """The provider asks, its owner agrees, and the browser is sent back."""
    assert place.startswith(provider.authorize_url)
    return provider.consent(urlsplit(place).query).removeprefix("http://site.test")


async def states(house: House) -> list[tuple[str, str]]:
    rows = await house.site.db.fetch("SELECT address, state::text AS state FROM mailboxes WHERE state <> 'REMOVED'")
    return [(row["address"], row["state"]) for row in rows]


@pytest.mark.parametrize(
    ("provider", "parameters"),
    [
        ("google", {"scope": "https://mail.google.com/", "access_type": "offline", "prompt": "consent"}),
        (
            "microsoft",
            {
                "scope": "offline_access https://outlook.office.com/SMTP.Send"
                " https://outlook.office.com/IMAP.AccessAsUser.All"
            },
        ),
    ],
)
async def test_consent_is_asked_for_as_the_provider_wants_it(
    house: House, world: World, provider: str, parameters: dict[str, str]
) -> None:
    place = await go(await house.browser(OWNER), world[1], provider)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(place).query).items()}
    assert parameters.items() <= asked.items()
    assert asked["redirect_uri"] == f"http://site.test/connect/{provider}/callback"
    assert (asked["login_hint"], asked["code_challenge_method"], asked["response_type"]) == (ANNA, "S256", "code")
    assert (provider == "microsoft") == ("prompt" not in asked)


async def test_mailbox_is_enrolled_by_its_owners_consent(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    answer = await browser.get(back(provider, await go(browser, mail, labels="client-a", name="Anna")))
    assert answer.status_code == 303, answer.text
    shown = await browser.get(answer.headers["location"])
    assert f"{ANNA} takes part" in shown.text
    (row,) = await house.site.db.fetch("SELECT id, labels, display_name, smtp_secret FROM mailboxes")
    assert (row["labels"], row["display_name"], row["smtp_secret"]) == (["client-a"], "Anna", None)
    grant = await load_grant(house.site.db, row["id"])
    assert grant is not None
    assert grant.provider == "GOOGLE"


async def test_state_serves_once(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    place = back(provider, await go(browser, mail))
    assert (await browser.get(place)).status_code == 303
    again = await browser.get(place)
    assert again.status_code == 409
    assert "has ended already" in again.text


async def test_consent_outlives_a_wait_for_a_turn(house: House, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    place = back(provider, await go(browser, mail))
    with monkeypatch.context() as patch:
        patch.setattr(trials, "OF_USER", 0)
        refused = await browser.get(place)
    assert (refused.status_code, "oad this page again" in refused.text) == (429, True)
    assert int(refused.headers["retry-after"]) > 0
    assert (await browser.get(place)).status_code == 303
    assert [address for address, _ in await states(house)] == [ANNA]


async def test_state_serves_the_browser_that_began_it_alone(house: House, world: World) -> None:
    provider, mail = world
    place = back(provider, await go(await house.browser(OWNER), mail))
    for email in (OWNER, OTHER):
        assert (await (await house.browser(email)).get(place)).status_code == 409
    assert await states(house) == []


async def test_state_is_over_after_ten_minutes(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    place = back(provider, await go(browser, mail))
    (left,) = await house.site.db.fetch("SELECT expires_at - clock_timestamp() AS left FROM consents")
    assert 590 < left["left"].total_seconds() <= 600
    await house.site.db.execute("UPDATE consents SET expires_at = clock_timestamp()")
    assert (await browser.get(place)).status_code == 409


async def test_state_of_one_provider_is_none_of_the_other(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    place = back(provider, await go(browser, mail))
    assert (await browser.get(place.replace("/google/", "/microsoft/"))).status_code == 409


async def test_code_without_its_verifier_is_worth_nothing(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    place = back(provider, await go(browser, mail))
    for asked in provider.codes.values():
        asked["code_challenge"] = challenge_of("another verifier")
    answer = await browser.get(place)
    assert answer.status_code == 422
    assert "does not take this consent" in answer.text
    assert "hush" not in answer.text


async def test_another_accounts_consent_opens_nothing(house: House, world: World) -> None:
    provider, mail = world
    provider.account = "bert@north.test"
    browser = await house.browser(OWNER)
    answer = await browser.get(back(provider, await go(browser, mail)))
    assert answer.status_code == 422
    assert f"choose the account {ANNA}" in answer.text
    assert "hush" not in answer.text
    assert await states(house) == []


@pytest.mark.parametrize(
    ("denial", "told"),
    [
        ({"error": "access_denied"}, "was not allowed to let us in"),
        ({"error": "access_denied", "error_description": "AADSTS65004: declined"}, "AADSTS65004"),
        ({"error": "invalid_request", "error_description": "AADSTS90095: admin"}, "administrator"),
    ],
)
async def test_what_the_provider_says_is_told_in_words(
    house: House, world: World, denial: dict[str, str], told: str
) -> None:
    provider, mail = world
    provider.denial = denial
    browser = await house.browser(OWNER)
    answer = await browser.get(back(provider, await go(browser, mail)))
    assert answer.status_code == 422
    assert told in answer.text


async def test_words_of_a_stranger_are_not_shown(house: House, world: World) -> None:
    browser = await house.browser(OWNER)
    answer = await browser.get("/connect/google/callback?error=x&error_description=call+this+number&state=forged")
    assert answer.status_code == 409
    assert "call this number" not in answer.text


async def test_consent_without_mail_is_not_enough(house: House, world: World) -> None:
    provider, mail = world
    provider.granted = "openid"
    browser = await house.browser(OWNER)
    answer = await browser.get(back(provider, await go(browser, mail)))
    assert "access to the mail" in answer.text
    assert await states(house) == []


async def test_mailbox_that_has_failed_is_connected_anew_and_resumes(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    await browser.get(back(provider, await go(browser, mail)))
    (row,) = await house.site.db.fetch("SELECT id FROM mailboxes")
    await change_state(
        house.site.db, row["id"], MailboxState.AUTH_FAILED, actor="daemon", reason="revoked", at=house.site.clock.now()
    )
    before = await load_grant(house.site.db, row["id"])
    page = await browser.get("/connect/google", params={"mailbox": row["id"]})
    assert ANNA in page.text
    answer = await browser.get(back(provider, await go(browser, mail, mailbox=str(row["id"]))))
    assert answer.status_code == 303, answer.text
    assert await states(house) == [(ANNA, "ACTIVE")]
    assert await load_grant(house.site.db, row["id"]) != before


async def test_another_users_mailbox_is_not_there_to_connect(house: House, world: World) -> None:
    provider, mail = world
    browser = await house.browser(OWNER)
    await browser.get(back(provider, await go(browser, mail)))
    assert ANNA in await known_addresses(house.site.db, [ANNA])
    (row,) = await house.site.db.fetch("SELECT id FROM mailboxes")
    stranger = await house.browser(OTHER)
    for there in (row["id"], row["id"] + 999):
        assert (await stranger.get("/connect/google", params={"mailbox": there})).status_code == 404
        assert (await post(stranger, "/connect/google", {"mailbox": str(there)})).status_code == 404


async def test_nothing_of_a_consent_is_stored_in_clear(house: House, world: World) -> None:
    place = await go(await house.browser(OWNER), world[1])
    asked = {name: values[0] for name, values in parse_qs(urlsplit(place).query).items()}
    (row,) = await house.site.db.fetch("SELECT consents::text AS text FROM consents")
    assert asked["state"] not in row["text"]
    assert asked["state"].encode().hex() not in row["text"]
