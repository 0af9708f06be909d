"""What follows from a provider's habits."""

import pytest

from warmupd.core.provider_match import match_provider, provider_of
from warmupd.core.provider_rules import allows_at_once, may_keep_sent, password_advice
from warmupd.core.providers import TABLE


@pytest.mark.parametrize("address", ["ann@outlook.com", "ann@hotmail.de"])
def test_who_needs_oauth_is_told_so_with_the_way_out(address: str) -> None:
    advice = password_advice(match_provider(address).provider)
    assert advice is not None
    assert "Outlook.com takes no passwords" in advice.text
    assert "--oauth microsoft" in advice.remedy


def test_who_takes_passwords_is_told_nothing() -> None:
    assert [row.word for row in TABLE if not row.needs_oauth and password_advice(row)] == []


def test_every_provider_that_needs_oauth_says_what_to_do() -> None:
    assert all(row.hint for row in TABLE if row.needs_oauth)


@pytest.mark.parametrize(("word", "may"), [("gmail", True), ("yahoo", True), ("other", True), ("own", False)])
def test_sent_mail_is_looked_into_unless_it_is_known_to_hold_no_copies(word: str, may: bool) -> None:
    assert may_keep_sent(provider_of(word)) is may


def test_a_send_and_a_visit_at_once_are_allowed_everywhere() -> None:
    assert all(allows_at_once([host], 2) for row in TABLE for host in row.hosts)


@pytest.mark.parametrize(
    ("hosts", "most"),
    [(["smtp.office365.com"], 3), (["mail.own.test", "outlook.office365.com"], 3), (["imap.gmail.com"], 15)],
)
def test_strictest_provider_of_a_server_says_how_many_at_once(hosts: list[str], most: int) -> None:
    assert (allows_at_once(hosts, most), allows_at_once(hosts, most + 1)) == (True, False)


def test_unknown_server_allows_any() -> None:
    assert allows_at_once(["mail.own.test"], 100)
