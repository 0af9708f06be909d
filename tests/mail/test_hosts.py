"""Which hosts may be connected to, and that the address that was judged is the one that is used."""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mail.certificates import Authority
from warmupd.mail import hosts
from warmupd.mail.hosts import ForbiddenHost, HostPolicy, UnresolvedHost, is_public, resolve_public
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context

NOBODY = HostPolicy()
FakeDns = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_cache", {})


@pytest.fixture
async def fake_dns(monkeypatch: pytest.MonkeyPatch) -> FakeDns:
    """Makes the resolver answer with the given addresses, whatever it is asked; returns the names asked."""
    asked: list[str] = []

    def answer(*addresses: str) -> list[str]:
        async def getaddrinfo(name: str, port: Any, **options: Any) -> list[Any]:
            asked.append(name)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        return asked

    return answer


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
async def test_special_address_is_forbidden(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(ForbiddenHost, match="public address"):
        await resolve_public(address, 587, NOBODY)


@given(st.ip_addresses(v=4))
def test_address_inside_another_is_judged_as_itself(inner: IPv4Address) -> None:
    mapped = IPv6Address(0xFFFF << 32 | int(inner))
    translated = IPv6Address(0x64FF9B << 96 | int(inner))
    assert is_public(mapped) == is_public(translated) == is_public(inner)


@given(st.ip_addresses())
def test_nothing_that_python_calls_special_is_public(address: IPv4Address | IPv6Address) -> None:
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if isinstance(address, IPv4Address) and (special or address.is_private):
        assert not is_public(address)
    if isinstance(address, IPv6Address) and special and address.ipv4_mapped is None:
        assert not is_public(address)


@pytest.mark.parametrize("port", [25, 465, 587, 2525, 143, 993])
async def test_mail_ports_are_allowed(port: int) -> None:
    assert await resolve_public("8.8.8.8", port, NOBODY) == "8.8.8.8"


@pytest.mark.parametrize("port", [22, 80, 443, 5432, 6379])
async def test_other_ports_are_forbidden(port: int) -> None:
    with pytest.raises(ForbiddenHost, match="not a mail port"):
        await resolve_public("8.8.8.8", port, NOBODY)


@pytest.mark.parametrize("entry", ["mail.inside", "MAIL.Inside.", "10.0.0.7", "10.0.0.0/8", "10.0.0.9/24"])
async def test_allowed_host_may_be_private_on_any_port(fake_dns: FakeDns, entry: str) -> None:
    fake_dns("10.0.0.7")
    assert await resolve_public("mail.inside", 1587, HostPolicy(allow_hosts=("other", entry))) == "10.0.0.7"


async def test_allowing_one_host_allows_no_other(fake_dns: FakeDns) -> None:
    fake_dns("10.0.1.7")
    policy = HostPolicy(allow_hosts=("mail.inside", "inside", "10.0.0.0/24"))
    with pytest.raises(ForbiddenHost):
        await resolve_public("evil.inside", 587, policy)


async def test_public_address_is_chosen_among_several(fake_dns: FakeDns) -> None:
    fake_dns("192.168.0.1", "8.8.4.4", "8.8.8.8")
    assert await resolve_public("mixed.test", 587, NOBODY) == "8.8.4.4"


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost"])
async def test_disguised_loopback_is_forbidden(host: str) -> None:
    with pytest.raises(ForbiddenHost):
        await resolve_public(host, 587, NOBODY)


@pytest.mark.parametrize("host", ["", " ", ".", ".test", "a..b", "x" * 64 + ".test", "a\x00b"])
async def test_impossible_host_is_unresolved(host: str) -> None:
    with pytest.raises(UnresolvedHost):
        await resolve_public(host, 587, NOBODY)


async def test_unknown_host_is_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*question: Any, **options: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(UnresolvedHost, match=r"nowhere\.test has no address: Name or service not known"):
        await resolve_public("nowhere.test", 587, NOBODY)


async def test_silent_name_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silence(*question: Any, **options: Any) -> list[Any]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", silence)
    monkeypatch.setattr(hosts, "DNS_SECONDS", 0.05)
    with pytest.raises(UnresolvedHost, match="did not answer"):
        await resolve_public("slow.test", 587, NOBODY)


async def test_answer_is_kept_for_a_minute(fake_dns: FakeDns, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_dns("8.8.8.8")
    for now in (0.0, 59.9, 60.1):
        monkeypatch.setattr(hosts, "time", SimpleNamespace(monotonic=lambda now=now: now))
        await resolve_public("Kept.test", 587, NOBODY)
        await resolve_public("kept.test.", 465, NOBODY)
    assert asked == ["kept.test", "kept.test"]


async def test_kept_answer_is_judged_anew(fake_dns: FakeDns) -> None:
    fake_dns("10.0.0.7")
    assert await resolve_public("inside.test", 587, HostPolicy(allow_hosts=("inside.test",))) == "10.0.0.7"
    with pytest.raises(ForbiddenHost):
        await resolve_public("inside.test", 587, NOBODY)


async def test_memory_is_bounded(fake_dns: FakeDns, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dns("8.8.8.8")
    monkeypatch.setattr(hosts, "CACHE_HOSTS", 3)
    for number in range(10):
        await resolve_public(f"host{number}.test", 587, NOBODY)
        assert len(hosts._cache) <= 3


async def test_judged_address_is_connected_to_and_the_name_verified(
    fake_dns: FakeDns, start_smtp: Callable[..., Any], authority: Authority, account_at: Callable[..., Any]
) -> None:
    asked = fake_dns("127.0.0.1")
    server = await start_smtp(context=authority.server_context(authority.wrong_host))
    sender = SmtpSender(context=client_context(str(authority.ca_file)), policy=HostPolicy(allow_hosts=("127.0.0.1",)))
    reply = await sender.check_login(account_at(server, host="elsewhere.test"))
    await sender.close()
    assert (reply.code, asked) == (235, ["elsewhere.test"])
