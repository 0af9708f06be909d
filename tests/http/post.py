"""A relay of the tests: what would have been mailed."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.http.conftest import House, config
from warmupd.http import letters
from warmupd.mail.relay import RelayFailed

RELAY = {"notifications.smtp_host": "relay.test", "notifications.sender": "warmupd@site.test"}


@dataclass
class Post:
    """Letters as (to, text)."""

    house: House
    sent: list[tuple[str, str]] = field(default_factory=list)
    fails: bool = False

    async def take(self, *_: Any, to: str, text: str, **__: Any) -> None:
        if self.fails:
            raise RelayFailed("the relay did not take it")
        self.sent.append((to, text))

    async def settled(self) -> list[tuple[str, str]]:
        """What was mailed, when nothing is on its way any more."""
        for errand in tuple(self.house.site.errands):
            await errand
        return self.sent

    async def path(self) -> str:
        """Of the link in the last letter."""
        _, text = (await self.settled())[-1]
        found = re.search(r"http://site\.test(/\S+)", text)
        assert found is not None, text
        return found[1]


@pytest.fixture(name="post")
def opened_post(house: House, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post(house)
    monkeypatch.setattr(letters, "relay_mail", made.take)
    house.site.go_by(config(**RELAY, **{"http.public_url": "http://site.test"}))
    return made
