"""Ablation of own mail and webhooks: each safeguard is taken out once, and its test must fail."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.ablation import take_out
from tests.mail import test_relay as of_relay
from tests.mail import test_webhook as of_webhook
from tests.mail.certificates import Authority
from tests.mail.fault_smtp import FaultServer
from tests.mail.hook_server import HookServer
from tests.mail.test_relay import relay, server  # noqa: F401  fixtures
from tests.mail.test_webhook import named  # noqa: F401  a fixture
from warmupd.mail import hosts, webhook
from warmupd.mail import relay as mail_relay
from warmupd.mail.relay import Relay
from warmupd.mail.webhook import WebhookFailed

pytestmark = pytest.mark.ablation

MISSED = (AssertionError, pytest.fail.Exception, WebhookFailed)


async def test_redirects_that_are_followed_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, webhook._post, "follow_redirects=False", "follow_redirects=True")
    async with HookServer().running() as hook:
        with pytest.raises(MISSED):
            await of_webhook.test_redirects_are_not_followed(hook)


async def test_a_second_look_at_the_name_is_missed(
    authority: Authority,
    named: dict[str, str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_out(monkeypatch, webhook._post, "target.copy_with(host=address, port=port)", "target")
    with pytest.raises(MISSED):
        await of_webhook.test_the_address_that_was_judged_is_the_one_connected_to(authority, named)


async def test_a_certificate_that_is_judged_by_the_address_is_missed(
    authority: Authority,
    named: dict[str, str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_out(monkeypatch, webhook._post, '{"sni_hostname": host}', "{}")
    with pytest.raises(MISSED):
        await of_webhook.test_the_address_that_was_judged_is_the_one_connected_to(authority, named)


@pytest.mark.parametrize(
    ("safeguard", "nothing", "url"),
    [("and is_public(one)", "", "https://10.0.0.1/x"), ("port in ports and", "", "https://8.8.8.8:25/x")],
)
async def test_a_way_inside_is_missed(monkeypatch: pytest.MonkeyPatch, safeguard: str, nothing: str, url: str) -> None:
    def connected(*_: Any, **__: Any) -> None:
        raise AssertionError("it would have been connected to")

    monkeypatch.setattr("httpx.AsyncClient.stream", connected)
    take_out(monkeypatch, hosts.resolve_public, safeguard, nothing)
    with pytest.raises(MISSED):
        await of_webhook.test_addresses_inside_and_odd_ports_are_not_connected_to(url)


RELAY: list[tuple[Callable[..., Any], str, str, Callable[[FaultServer, Relay], Any]]] = [
    (
        mail_relay._hand_over,
        'start_tls=relay.security == "STARTTLS"',
        "start_tls=None",
        of_relay.test_a_relay_without_encryption_gets_neither_password_nor_message,
    ),
    (
        mail_relay._message,
        "clean(subject, LONGEST_SUBJECT)",
        "subject",
        of_relay.test_line_breaks_in_a_subject_are_spaces,
    ),
    (
        mail_relay._why,
        "conceal(words, forms_of(relay.password))",
        "words",
        of_relay.test_a_wrong_password_is_shown_once_and_told_to_nobody,
    ),
]


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), RELAY)
async def test_safeguard_of_the_relay_is_missed(
    server: FaultServer,  # noqa: F811
    relay: Relay,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[FaultServer, Relay], Any],
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, pytest.fail.Exception, mail_relay.RelayFailed)):
        await test(server, relay)
