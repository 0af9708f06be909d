"""Own mail by the relay: encrypted, with proper headers, and no part of it can become another header or recipient."""

import email
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fault_smtp import Fault, FaultServer
from warmupd.clock import VirtualClock
from warmupd.mail import relay as of_relay
from warmupd.mail.relay import Relay, RelayFailed, relay_mail

CLOCK = VirtualClock(datetime(2026, 6, 3, 10, tzinfo=UTC))
USER, PASSWORD = "relay-user", "relay-hush-1234"


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[FaultServer]:
    server = FaultServer(context=authority.server_context(), users={USER: PASSWORD})
    async with server.running():
        yield server


@pytest.fixture
def relay(server: FaultServer, authority: Authority) -> Relay:
    return Relay(
        host="localhost",
        port=server.port,
        security="STARTTLS",
        username=USER,
        password=PASSWORD,
        sender="notices@house.test",
        ca_file=str(authority.ca_file),
    )


async def send(relay: Relay, **parts: Any) -> None:
    given = {"to": "owner@owners.test", "subject": "Subject", "text": "Text\n"} | parts
    await relay_mail(relay, CLOCK, **given)


def message(server: FaultServer) -> EmailMessage:
    return email.message_from_bytes(server.taken[-1].content, policy=default)


async def test_message_has_proper_headers(server: FaultServer, relay: Relay) -> None:
    await send(relay, message_id="0123", headers={"List-Unsubscribe": "<https://house.test/notifications>"})
    came, taken = message(server), server.taken[0]
    assert (taken.sender, taken.recipient) == ("notices@house.test", "owner@owners.test")
    assert came["From"] == "warmupd <notices@house.test>"
    assert came["To"] == "owner@owners.test"
    assert came["Date"] == "Wed, 03 Jun 2026 10:00:00 +0000"
    assert came["Message-ID"] == "<0123@house.test>"
    assert came["Auto-Submitted"] == "auto-generated"
    assert came["List-Unsubscribe"] == "<https://house.test/notifications>"
    assert came.get_content() == "Text\r\n"
    assert PASSWORD.encode() not in server.plaintext
    assert server.auth_attempts == 1


async def test_line_breaks_in_a_subject_are_spaces(server: FaultServer, relay: Relay) -> None:
    await send(relay, subject="a\r\nBcc: x@y.test\n\nbody\u2028\0")
    came = message(server)
    assert came["Subject"] == "a Bcc: x@y.test body"
    assert came["Bcc"] is None


@pytest.mark.parametrize("to", ["a@b.test\r\nRCPT TO:<x@y.test>", "a@b.test, x@y.test", "a@b.test>", "<a@b.test", "a"])
async def test_what_is_not_one_address_gets_nothing(server: FaultServer, relay: Relay, to: str) -> None:
    with pytest.raises(RelayFailed) as caught:
        await send(relay, to=to)
    assert caught.value.for_good
    assert server.connections == 0


async def test_a_header_that_would_be_two_is_refused(server: FaultServer, relay: Relay) -> None:
    with pytest.raises(RelayFailed):
        await send(relay, headers={"List-Unsubscribe": "<x>\r\nBcc: x@y.test"})
    assert server.connections == 0


async def test_text_may_hold_anything(server: FaultServer, relay: Relay) -> None:
    text = "ü ☂\n.\nFrom here\n" + "x" * 2000 + "\n"
    await send(relay, text=text, subject="ü" * 300)
    assert message(server).get_content() == text.replace("\n", "\r\n")
    assert max(map(len, server.taken[0].content.split(b"\r\n"))) <= 998


async def test_a_relay_without_encryption_gets_neither_password_nor_message(server: FaultServer, relay: Relay) -> None:
    server.starttls = False
    with pytest.raises(RelayFailed):
        await send(relay)
    assert server.taken == []
    assert server.auth_attempts == 0


async def test_a_wrong_password_is_shown_once_and_told_to_nobody(server: FaultServer, relay: Relay) -> None:
    server.users = {USER: "another"}
    server.faults["auth"] = Fault("reply", f"535 5.7.8 {PASSWORD} is wrong")
    with pytest.raises(RelayFailed, match="535") as caught:
        await send(relay)
    assert server.auth_attempts == 1
    assert PASSWORD not in f"{caught.value}{caught.value!r}{relay!r}"
    assert not caught.value.for_good


@pytest.mark.parametrize(
    ("stage", "reply", "for_good"),
    [
        ("rcpt", "550 5.1.1 nobody", True),
        ("rcpt", "451 4.7.1 later", False),
        ("dot", "554 5.7.1 no", True),
        ("dot", "452 full", False),
    ],
)
async def test_a_refusal_is_temporary_or_for_good(
    server: FaultServer, relay: Relay, stage: Any, reply: str, for_good: bool
) -> None:
    server.faults[stage] = Fault("reply", reply)
    with pytest.raises(RelayFailed, match=reply[:3]) as caught:
        await send(relay)
    assert caught.value.for_good is for_good


@pytest.mark.parametrize("action", ["hang", "drop", "rst", "garbage"])
async def test_a_relay_that_misbehaves_is_a_failure(
    server: FaultServer, relay: Relay, action: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_relay, "PATIENCE", 0.2)
    server.faults["mail"] = Fault(action)
    with pytest.raises(RelayFailed) as caught:
        await send(relay)
    assert not caught.value.for_good


async def test_a_certificate_of_another_host_is_refused(authority: Authority, relay: Relay) -> None:
    async with FaultServer(context=authority.server_context(authority.wrong_host)).running() as server:
        with pytest.raises(RelayFailed):
            await send(of_relay.Relay(**{**_values(relay), "port": server.port}))
        assert server.taken == []


def _values(relay: Relay) -> dict[str, Any]:
    return {name: getattr(relay, name) for name in Relay.__slots__}
