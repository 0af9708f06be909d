"""Many logins at once: no server is asked more than it likes, and one that is dead holds up nobody else."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.daemon.login_check import LoginCheck, Refusal
from warmupd.daemon.login_lanes import GIVE_UP, LoginLanes
from warmupd.mail.account import Account, Endpoint, Security


class Servers(LoginCheck):
    """In place of servers: what each host answers, and how many are there at once. IMAP always lets in."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[int], Refusal | None]] = {}
        self.tries: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.go_on: dict[str, asyncio.Event] = {}  # a host that hangs until then

    async def try_smtp(self, account: Account) -> Refusal | None:
        host = account.smtp.host
        self.tries[host] += 1
        number = self.tries[host]
        self.at_once[host] += 1
        self.most[host] = max(self.most[host], self.at_once[host])
        self.most["all"] = max(self.most["all"], self.at_once.total())
        # A turn of the loop at least: else no two would ever be there at once.
        await (self.go_on[host].wait() if host in self.go_on else asyncio.sleep(0))
        self.at_once[host] -= 1
        return self.answers[host](number) if host in self.answers else None

    async def try_imap(self, account: Account) -> Refusal | None:
        return None


class Impatient(SystemClock):
    """Pauses are over at once, and noted."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)  # the others get their turn, as in a real pause


def refusal(*, reached: bool = True, passing: bool = False) -> Refusal:
    return Refusal(
        protocol="SMTP", host="h", port=465, message="no answer", remedy="mend it", reached=reached, passing=passing
    )


@pytest.fixture
def config() -> Config:
    return Config.isolated({"sending.max_concurrent": 8, "sending.per_host_concurrent": 5})


def boxes(host: str, number: int) -> list[Account]:
    found = []
    for n in range(number):
        smtp, imap = (
            Endpoint(host=name, port=465, security=Security.TLS, username="", password="")
            for name in (host, f"imap.{host}")
        )
        found.append(Account(mailbox_id=0, address=f"m{n}@{host}", display_name="", smtp=smtp, imap=imap))
    return found


async def test_dead_server_holds_up_nobody_else_and_is_given_up(config: Config) -> None:
    servers = Servers()
    servers.go_on["dead.test"] = asyncio.Event()
    servers.answers["dead.test"] = lambda _: refusal(reached=False)
    lanes = LoginLanes(config, servers, Impatient())
    dead = [asyncio.create_task(lanes.check(account)) for account in boxes("dead.test", 100)]
    alive = await asyncio.gather(*map(lanes.check, boxes("alive.test", 50)))
    assert alive == [[]] * 50
    assert not any(task.done() for task in dead)
    servers.go_on["dead.test"].set()
    told = [refusals[0].message for refusals in await asyncio.gather(*dead)]
    assert servers.tries["dead.test"] == GIVE_UP
    assert sum("not tried" in message for message in told) == 100 - GIVE_UP


async def test_server_that_dies_on_the_way_is_given_up_too(config: Config) -> None:
    servers = Servers()
    servers.answers["h.test"] = lambda n: None if n <= 10 else refusal(reached=False)
    await asyncio.gather(*map(LoginLanes(config, servers, Impatient()).check, boxes("h.test", 100)))
    assert 20 <= servers.tries["h.test"] <= 30


async def test_server_that_answers_is_never_given_up(config: Config) -> None:
    servers = Servers()
    servers.answers["h.test"] = lambda n: refusal(reached=n % GIVE_UP == 0)
    await asyncio.gather(*map(LoginLanes(config, servers, Impatient()).check, boxes("h.test", 30)))
    assert servers.tries["h.test"] == 30


async def test_server_gets_as_many_at_once_as_the_configuration_says(config: Config) -> None:
    servers = Servers()
    await asyncio.gather(*map(LoginLanes(config, servers, Impatient()).check, boxes("h.test", 30)))
    assert servers.most["h.test"] == 5


async def test_servers_of_one_provider_count_together(config: Config) -> None:
    servers = Servers()
    accounts = boxes("smtp.gmail.com", 20) + boxes("smtp.googlemail.com", 20)
    await asyncio.gather(*map(LoginLanes(config, servers, Impatient()).check, accounts))
    assert servers.most["all"] == 5


async def test_who_is_put_off_comes_back_later(config: Config) -> None:
    servers, clock = Servers(), Impatient()
    servers.answers["h.test"] = lambda n: refusal(passing=True) if n < 3 else None
    assert await LoginLanes(config, servers, clock).check(boxes("h.test", 1)[0]) == []
    assert clock.pauses == [5.0, 20.0]
