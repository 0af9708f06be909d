"""Whose mailbox an address is, and that what the table says of providers can be used as it stands."""

import pytest

from warmupd.core.provider import Provider
from warmupd.core.provider_match import lane, match_provider, owns_domain, provider_of
from warmupd.core.providers import PROVIDERS, TABLE


@pytest.mark.parametrize(
    ("address", "exchanges", "hosts", "word", "imap"),
    [
        ("a@gmail.com", [], [], "gmail", "imap.gmail.com"),
        ("A@GoogleMail.com", [], [], "gmail", "imap.gmail.com"),
        ("a@north.test", ["ASPMX.L.Google.com."], [], "google", "imap.gmail.com"),
        ("a@north.test", ["north-test.mail.protection.outlook.com"], [], "microsoft", "outlook.office365.com"),
        ("a@north.test", ["north-test.r-v1.mx.microsoft"], [], "microsoft", "outlook.office365.com"),
        ("a@hotmail.nl", ["hotmail-nl.olc.protection.outlook.com"], [], "outlook", "outlook.office365.com"),
        ("a@north.test", ["mx1-eu.mail.am0.yahoodns.net"], [], "yahoo", "imap.mail.yahoo.com"),
        ("a@aol.com", ["mx-aol.mail.gm0.yahoodns.net"], [], "aol", "imap.aol.com"),
        ("a@zohomail.eu", [], [], "zoho", "imap.zoho.eu"),
        ("a@north.test", ["mx2.zoho.eu", "mx.zoho.eu"], [], "zoho", "imappro.zoho.eu"),
        ("a@north.test", ["mx00.ionos.de"], [], "ionos", "imap.ionos.de"),
        ("a@north.test", ["mx00.kundenserver.de"], [], "ionos", "imap.1und1.de"),
        ("a@gmx.com", [], [], "gmx", "imap.gmx.com"),
        ("a@north.test", ["mx1.mail.ovh.net"], [], "ovh", "ssl0.ovh.net"),
        ("a@north.test", ["mx01.mail.icloud.com"], [], "icloud", "imap.mail.me.com"),
        ("a@north.test", ["in1-smtp.messagingengine.com"], [], "fastmail", "imap.fastmail.com"),
        ("a@north.test", ["north.test"], [], "own", "mail.north.test"),
        ("a@north.test", ["mx.north.test."], [], "own", "mail.north.test"),
    ],
)
def test_a_provider_is_known_by_domain_or_mx(
    address: str, exchanges: list[str], hosts: list[str], word: str, imap: str
) -> None:
    found = match_provider(address, exchanges=exchanges, hosts=hosts)
    assert found.imap is not None
    assert (found.provider.word, found.imap.host) == (word, imap)


@pytest.mark.parametrize(
    ("address", "hosts", "word"),
    [
        ("a@north.test", ["smtp.gmail.com", "imap.gmail.com"], "google"),
        ("a@gmail.com", ["smtp.gmail.com"], "gmail"),
        ("a@hotmail.com", ["smtp-mail.outlook.com"], "outlook"),
        ("a@north.test", ["outlook.office365.com"], "microsoft"),
        ("a@gmail.com", ["127.0.0.1"], "gmail"),
        ("a@gmail.com", ["imap.fastmail.com"], "fastmail"),
    ],
)
def test_servers_that_the_owner_named_tell_before_the_domain(address: str, hosts: list[str], word: str) -> None:
    assert match_provider(address, hosts=hosts).provider.word == word


@pytest.mark.parametrize("exchange", ["mx.east.test", "notgoogle.com", "google.com.evil.test", "evilnorth.test"])
def test_what_only_looks_alike_is_nobody_known(exchange: str) -> None:
    found = match_provider("a@north.test", exchanges=[exchange])
    assert (found.provider.word, found.smtp, found.imap) == ("other", None, None)


def test_user_names_are_as_the_provider_wants_them() -> None:
    names = [match_provider(address).imap for address in ("anna@web.de", "anna@gmx.de", "anna@icloud.com")]
    assert [server.username for server in names if server] == ["anna", "anna@gmx.de", "anna"]


def test_all_servers_of_a_provider_are_counted_together() -> None:
    assert lane("smtp.gmail.com") == lane("IMAP.googlemail.com.")
    assert lane("smtp-mail.outlook.com") == lane("smtp.office365.com")
    assert lane("smtp.gmail.com") != lane("smtp.office365.com")
    assert lane("Mail.North.test") == "mail.north.test" != lane("mail.south.test")


def test_a_provider_owns_the_domains_that_it_hands_out_addresses_of() -> None:
    assert owns_domain(provider_of("zoho"), "zohomail.eu")
    assert not owns_domain(provider_of("google"), "north.test")


def test_a_word_that_is_known_no_more_is_an_unknown_provider() -> None:
    assert provider_of("compuserve").word == "other"


@pytest.mark.parametrize("row", TABLE, ids=[f"{number} {row.word}" for number, row in enumerate(TABLE)])
def test_a_row_can_be_used_as_it_stands(row: Provider) -> None:
    for server in (row.smtp, row.imap):
        if server is not None:
            assert (server.port, server.security) in {(465, "TLS"), (587, "STARTTLS"), (993, "TLS")}
    assert row.word.isidentifier()


def test_rows_of_one_word_differ_in_places_alone() -> None:
    places = {"smtp", "imap", "domains", "exchanges"}
    for row in TABLE:
        first = PROVIDERS[row.word]
        habits = [{n: getattr(one, n) for n in type(one).__slots__ if n not in places} for one in (row, first)]
        assert habits[0] == habits[1]


def test_no_provider_allows_fewer_connections_than_a_mailbox_has() -> None:
    assert all(row.connections is None or row.connections >= 2 for row in TABLE)  # one that sends, one that reads


def test_no_domain_belongs_to_two_rows() -> None:
    domains = [domain for row in TABLE for domain in row.domains]
    assert len(domains) == len(set(domains))
