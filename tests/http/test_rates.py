"""How often one may ask: log-ins by client and address, requests by user and client."""

import pytest
from fastapi import Request

from tests.http.conftest import OTHER, OWNER, PASSWORD, House, config
from warmupd.http import limiter
from warmupd.http.client import client_of, lane_of
from warmupd.http.limiter import Limiter
from warmupd.http.login import CLIENTS

PATH = "/api/auth/tokens"
WRONG = {"email": OWNER, "password": "wrong password"}


async def statuses(house: House, number: int, *, client: str = "192.0.2.1", **login: str) -> list[int]:
    browser = house.open(client)
    return [(await browser.post("/api/auth/token", json={**WRONG, **login})).status_code for _ in range(number)]


async def test_guesses_of_one_client_are_limited(house: House) -> None:
    house.site.go_by(config(**{"auth.rate_limit": 2}))
    answers = [await house.open().post("/api/auth/token", json=WRONG) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 30
    assert (await house.open().post("/sign-in", data=WRONG)).status_code == 429


async def test_log_ins_that_succeed_are_not_counted(house: House) -> None:
    house.site.go_by(config(**{"auth.rate_limit": 2}))
    assert await statuses(house, 5, password=PASSWORD) == [200] * 5


async def test_guesses_at_one_address_are_limited_from_wherever_they_come(house: House) -> None:
    house.site.go_by(config(**{"auth.rate_limit": 1}))
    told = [(await statuses(house, 1, client=f"192.0.2.{n}"))[0] for n in range(CLIENTS + 1)]
    assert told == [401] * CLIENTS + [429]


async def test_no_single_client_locks_anybody_out(house: House) -> None:
    house.site.go_by(config(**{"auth.rate_limit": 2}))
    assert 429 in await statuses(house, 20)
    assert await statuses(house, 1, client="192.0.2.2", password=PASSWORD) == [200]


async def test_clients_behind_a_trusted_proxy_are_told_apart(house: House) -> None:
    house.site.go_by(config(**{"auth.rate_limit": 1, "auth.trusted_proxies": ["192.0.2.0/24"]}))
    browser = house.open("192.0.2.1")
    for client, status in (("198.51.100.1", 401), ("198.51.100.2", 401), ("198.51.100.1", 429)):
        headers = {"x-forwarded-for": f"203.0.113.{status % 7}, {client}"}  # what stands before it is a stranger's word
        answer = await browser.post("/api/auth/token", json={**WRONG, "email": "x@y.test"}, headers=headers)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("9.9.9.9, 1.2.3.4:5555", "1.2.3.4"),
        ("9.9.9.9, [2001:db8::1]:5555", "2001:db8::1"),
        ("9.9.9.9, [2001:db8::1]", "2001:db8::1"),
        ("9.9.9.9, 1.2.3.4:5555, 192.0.2.7:80", "1.2.3.4"),
        ("9.9.9.9, unknown", "192.0.2.1"),
        ("9.9.9.9, unknown, 192.0.2.7", "192.0.2.7"),
        ("9.9.9.9,", "192.0.2.1"),
    ],
)
def test_stranger_does_not_choose_their_address_by_what_a_proxy_writes(said: str, client: str) -> None:
    headers = [(b"x-forwarded-for", said.encode())]
    request = Request({"type": "http", "client": ("192.0.2.1", 40000), "headers": headers})
    assert client_of(request, ["192.0.2.0/24"]) == client


async def test_nobody_chooses_their_own_address(house: House) -> None:
    house.site.go_by(config(**{"auth.rate_limit": 1}))
    told = [
        (await house.open().post("/api/auth/token", json=WRONG, headers={"x-forwarded-for": f"203.0.113.{n}"}))
        for n in range(2)
    ]
    assert [answer.status_code for answer in told] == [401, 429]


async def test_requests_of_one_user_are_limited_and_not_anothers(house: House) -> None:
    owner, other = await house.as_user(OWNER), await house.as_user(OTHER)
    house.site.go_by(config(**{"auth.api_rate_limit": 3}))
    told = [await owner.get(PATH) for _ in range(4)]
    assert [answer.status_code for answer in told] == [200, 200, 200, 429]
    assert 0 < int(told[-1].headers["retry-after"]) <= 20
    assert (await other.get(PATH)).status_code == 200


async def test_pages_count_as_requests(house: House) -> None:
    browser = await house.browser(OWNER)
    house.site.go_by(config(**{"auth.api_rate_limit": 2}))
    assert [(await browser.get("/account")).status_code for _ in range(3)] == [200, 200, 429]


async def test_guesses_at_tokens_are_limited_by_client(house: House) -> None:
    house.site.go_by(config(**{"auth.api_rate_limit": 2}))
    guessing, honest = house.open("192.0.2.1"), house.open("192.0.2.2")
    for client in (guessing, honest):
        client.headers["authorization"] = "Bearer wup_guess"
    assert [(await guessing.get(PATH)).status_code for _ in range(3)] == [401, 401, 429]
    assert (await honest.get(PATH)).status_code == 401


async def test_token_of_prometheus_may_be_changed_at_any_time(house: House) -> None:
    scraper = house.open("192.0.2.1")
    scraper.headers["authorization"] = "Bearer a token of prometheus"
    assert (await scraper.get("/metrics")).status_code == 401
    house.site.go_by(config(**{"auth.scrape_token": "a token of prometheus"}))
    assert (await scraper.get("/metrics")).status_code == 200


@pytest.mark.parametrize(
    ("client", "lane"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("unknown", "unknown"),
    ],
)
def test_addresses_that_one_client_chooses_among_count_as_one(client: str, lane: str) -> None:
    assert lane_of(client) == lane


def test_limiter_forgets_who_asked_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "MOST_KEYS", 2)
    goes = Limiter(per_minute=1)
    assert [goes.take(key, now=0.0) for key in "abca"] == [0.0] * 4
    assert goes.take("c", now=0.0) > 0


def test_limit_may_be_changed_at_any_time() -> None:
    goes = Limiter(per_minute=10)
    goes.take("a", now=0.0)
    goes.per_minute = 1
    assert [goes.take("a", now=0.0), goes.take("a", now=0.0)] == [0.0, 60.0]
