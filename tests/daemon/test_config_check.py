"""What the doctor says of who may come in."""

import pytest

from warmupd.config import Config
from warmupd.daemon.config_check import check_config

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
    found = [finding for finding in check_config(Config.isolated(keys)) if finding.check in {"auth", "links"}]
    assert [finding.check for finding in found] == checks
    assert all(finding.remedy for finding in found)
