"""Records of a domain, asked of a real name server on loopback."""

import pytest

from tests.mail.name_server import name_server, text
from warmupd.mail.records import DnsUnanswered, Records

ZONES = {
    ("north.test", "MX"): ["20 mx2.North.test.", "10 mx1.north.test."],
    ("north.test", "TXT"): [text("v=spf1 ", "mx -all"), text("other")],
    ("closed.test", "MX"): ["0 ."],
    ("mx1.north.test", "A"): ["192.0.2.1"],
    ("mx1.north.test", "AAAA"): ["2001:db8::1"],
    ("alias.test", "CNAME"): ["north.test"],
}


async def test_mx_hosts_come_in_order_of_preference() -> None:
    async with name_server(ZONES) as server:
        records = Records([server.address])
        assert await records.exchanges("North.Test") == ("mx1.north.test", "mx2.north.test")
        assert await records.exchanges("closed.test") == ("",)


async def test_the_parts_of_a_text_are_joined() -> None:
    async with name_server(ZONES) as server:
        assert set(await Records([server.address]).texts("alias.test")) == {"v=spf1 mx -all", "other"}


async def test_what_a_stranger_wrote_can_be_shown() -> None:
    async with name_server({("north.test", "TXT"): ['"v=spf1 \\027[31m\\010 -all"']}) as server:
        assert await Records([server.address]).texts("north.test") == ("v=spf1 ?[31m? -all",)


async def test_both_kinds_of_addresses_are_found() -> None:
    async with name_server(ZONES) as server:
        assert await Records([server.address]).addresses("mx1.north.test") == ("192.0.2.1", "2001:db8::1")


@pytest.mark.parametrize("domain", ["south.test", "mx1.north.test", "a" * 64 + ".test", "a..test", "x" * 300])
async def test_what_is_not_there_is_nothing(domain: str) -> None:
    async with name_server(ZONES) as server:
        assert await Records([server.address]).exchanges(domain) == ()


async def test_a_domain_is_asked_for_once() -> None:
    async with name_server(ZONES) as server:
        records = Records([server.address])
        for _ in range(3):
            await records.exchanges("north.test")
        assert server.asked["north.test MX"] == 1


async def test_silence_and_refusal_are_not_absence() -> None:
    async with name_server(ZONES, silent=["silent.test"], refused=["refused.test"]) as server:
        records = Records([server.address], seconds=0.3)
        with pytest.raises(DnsUnanswered, match=r"within 0\.3 seconds"):
            await records.exchanges("silent.test")
        with pytest.raises(DnsUnanswered, match="cannot tell the MX records of refused"):
            await records.exchanges("refused.test")


@pytest.mark.parametrize("domain", ["north.test", "anna.example.com", "EXAMPLE.org", "mail.localhost"])
async def test_reserved_names_are_never_asked_of_the_machines_name_servers(
    domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records()
    monkeypatch.setattr(records, "_resolve", None)  # would fail if it were used
    assert not records.can_know(domain)
    assert await records.exchanges(domain) == ()


@pytest.mark.parametrize("server", ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353"])
def test_a_name_server_is_an_address_with_or_without_port(server: str) -> None:
    assert Records([server]).can_know("north.test")


@pytest.mark.parametrize("server", ["ns.north.test", "192.0.2.53:port", ""])
def test_a_name_is_no_name_server(server: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|invalid literal"):
        Records([server])
