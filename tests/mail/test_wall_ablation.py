"""Ablation: each wall between users and what is inside is taken out once, and its test must fail."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.ablation import take_out
from tests.mail import test_smtp as of_smtp
from tests.mail import test_walls as of_walls
from tests.mail.test_smtp import AccountAt, StartSmtp
from warmupd.errors import WarmupdError
from warmupd.mail import connection, hosts, smtp_line
from warmupd.mail.smtp import SmtpSender

pytestmark = pytest.mark.ablation

RESOLVED: list[tuple[Callable[..., Any], str, str, Callable[[pytest.MonkeyPatch], Awaitable[None]]]] = [
    (
        connection.connect_public,
        "        address,\n",
        "        host,\n",
        of_walls.test_second_answer_of_a_resolver_is_not_asked_for,
    ),
    (hosts.resolve_public, "and is_public(one)", "", of_walls.test_name_that_turns_inward_later_is_refused_then),
    (
        hosts.resolve_public,
        "if version in {None, address.version}",
        "",
        of_walls.test_servers_are_reached_at_addresses_of_the_sources_family,
    ),
    (
        hosts.refuse_forbidden,
        "if port not in MAIL_PORTS and not policy.names(host)",
        "if False",
        of_walls.test_odd_port_is_refused_even_where_the_name_is_not_known_yet,
    ),
]
FROM = "local_addr=(source_address, 0) if source_address else None"


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), RESOLVED, ids=[one[1] for one in RESOLVED])
async def test_wall_of_names_is_missed(
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[pytest.MonkeyPatch], Awaitable[None]],
) -> None:
    monkeypatch.setattr(hosts, "_cache", {})
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, WarmupdError, pytest.fail.Exception)):
        await test(monkeypatch)


@pytest.mark.parametrize("host", ["127.1"])
async def test_wall_of_addresses_is_missed(
    monkeypatch: pytest.MonkeyPatch, start_smtp: StartSmtp, trusting: ssl.SSLContext, account_at: AccountAt, host: str
) -> None:
    take_out(monkeypatch, hosts.resolve_public, "(port in ports and is_public(one))", "True")
    with pytest.raises((AssertionError, WarmupdError)):
        await of_walls.test_no_form_of_an_inside_address_is_connected_to(start_smtp, trusting, account_at, host)


@pytest.mark.parametrize("banner", [of_walls.BANNERS[0], of_walls.BANNERS[4]], ids=range(2))
async def test_silence_about_banners_is_missed(
    monkeypatch: pytest.MonkeyPatch, sender: SmtpSender, account_at: AccountAt, banner: str
) -> None:
    take_out(monkeypatch, smtp_line._garbage, 'error.message if error.message in _OWN_WORDS else ""', "error.message")
    with pytest.raises(AssertionError):
        await of_walls.test_what_is_not_smtp_is_never_shown(sender, account_at, banner)


async def test_source_address_is_missed(
    monkeypatch: pytest.MonkeyPatch, start_smtp: StartSmtp, trusting: ssl.SSLContext, account_at: AccountAt
) -> None:
    take_out(monkeypatch, connection.connect_public, FROM, "local_addr=None")
    with pytest.raises(AssertionError):
        await of_smtp.test_connection_comes_from_the_source_address(start_smtp, trusting, account_at)
