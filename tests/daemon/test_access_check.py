"""What the doctor says of who may come in."""

import pytest

from warmupd.config import Config
from warmupd.daemon.access_check import look_at_access

SECRET = {"auth.secret": "a secret of the tests that has more than thirty-two bytes"}
RELAY = {"notifications.smtp_host": "relay.test", "notifications.sender": "me@example.com"}


@pytest.mark.parametrize(
    ("keys", "checks"),
    [
        (SECRET, []),
        ({}, ["auth"]),
        ({**SECRET, **RELAY}, ["links"]),
        ({**SECRET, **RELAY, "http.public_url": "https://warmup.example.com"}, []),
    ],
)
def test_what_keeps_people_out_is_named_with_the_remedy(keys: dict[str, object], checks: list[str]) -> None:
    found = list(look_at_access(Config.isolated(keys)))
    assert [finding.check for finding in found] == checks
    assert all(finding.remedy for finding in found)
