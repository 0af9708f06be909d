"""A webhook's POST: signed, to nowhere inside the operator's network, and no further than to where it was judged."""

import datetime as dt
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address

import pytest

from tests.mail.certificates import Authority
from tests.mail.hook_server import HookServer
from warmupd.errors import UsageError
from warmupd.mail import hosts
from warmupd.mail.hosts import Address, HostPolicy
from warmupd.mail.tls import client_context
from warmupd.mail.webhook import (
    MOST_BYTES,
    Webhook,
    WebhookFailed,
    as_json,
    as_slack,
    check_reachable,
    check_url,
    post_webhook,
)

AT = dt.datetime(2026, 6, 3, 10, tzinfo=dt.UTC)
LOOPBACK, NOBODY = HostPolicy(allow_hosts=("127.0.0.1",)), HostPolicy()
BODY = as_json({"id": "1", "subject": "ü"})


@pytest.fixture
async def server() -> AsyncIterator[HookServer]:
    async with HookServer().running() as server:
        yield server


async def post(
    url: str,
    *,
    secret: str = "s3cret",
    body: bytes = BODY,
    policy: HostPolicy | None = LOOPBACK,
    context: ssl.SSLContext | None = None,
    patience: float = 5.0,
) -> None:
    hook = Webhook(url=url, secret=secret)
    context = context or client_context()
    await post_webhook(hook, body, notice_id="n1", at=AT, policy=policy, context=context, patience=patience)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Names that the resolver knows; may be changed at any time."""
    known: dict[str, str] = {}

    async def ask(name: str) -> tuple[Address, ...]:
        return tuple(ip_address(text) for text in known[name].split())

    monkeypatch.setattr(hosts, "_ask", ask)
    monkeypatch.setattr(hosts, "_cache", {})
    return known


async def test_body_comes_as_it_is_with_a_signature_over_time_and_body(server: HookServer) -> None:
    await post(server.url)
    (came,) = server.came
    assert came.line == "POST /hook?token=hush HTTP/1.1"
    assert came.body == BODY
    digest = hmac.new(b"s3cret", f"{int(AT.timestamp())}.".encode() + BODY, hashlib.sha256).hexdigest()
    assert came.headers["x-warmupd-signature"] == f"t={int(AT.timestamp())},v1={digest}"
    assert came.headers["x-warmupd-notice"] == "n1"
    assert came.headers["host"] == f"127.0.0.1:{server.port}"


async def test_without_a_secret_nothing_is_signed(server: HookServer) -> None:
    await post(server.url, secret="")
    assert "x-warmupd-signature" not in server.came[0].headers


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[fe80::1]/x",
        "https://0.0.0.0/x",
        "https://8.8.8.8:25/x",  # a mail server would take lines of a request for commands
        "https://8.8.8.8:6379/x",
    ],
)
async def test_addresses_inside_and_odd_ports_are_not_connected_to(url: str) -> None:
    with pytest.raises(WebhookFailed, match="may not be connected to"):
        await post(url, policy=NOBODY)
    with pytest.raises(UsageError, match="may not be connected to"):
        await check_reachable(url, NOBODY)


async def test_a_public_name_that_leads_inside_is_not_connected_to(named: dict[str, str]) -> None:
    named["hooks.example.test"] = "10.1.2.3"
    with pytest.raises(WebhookFailed, match="may not be connected to"):
        await post("https://hooks.example.test/x", policy=NOBODY)


async def test_the_address_that_was_judged_is_the_one_connected_to(authority: Authority, named: dict[str, str]) -> None:
    """No second look at the name, which could lead elsewhere by then; the certificate is that of the name."""
    named["elsewhere.test"] = "127.0.0.1"  # nobody else knows it
    context = client_context(str(authority.ca_file))
    async with HookServer(context=authority.server_context(authority.wrong_host)).running() as server:
        await post(f"https://elsewhere.test:{server.port}/x", policy=LOOPBACK, context=context)
        assert server.names == ["elsewhere.test"]
        assert server.came[0].headers["host"] == f"elsewhere.test:{server.port}"


async def test_a_certificate_of_another_name_is_refused(authority: Authority, named: dict[str, str]) -> None:
    named["localhost"] = "127.0.0.1"
    context = client_context(str(authority.ca_file))
    async with HookServer(context=authority.server_context(authority.wrong_host)).running() as server:
        with pytest.raises(WebhookFailed, match="certificate is not valid"):
            await post(f"https://localhost:{server.port}/x", policy=LOOPBACK, context=context)
    assert server.came == []


async def test_redirects_are_not_followed(server: HookServer) -> None:
    server.status, server.headers = 307, {"Location": f"http://127.0.0.1:{server.port}/elsewhere"}
    with pytest.raises(WebhookFailed, match="307, a redirect"):
        await post(server.url)
    assert len(server.came) == 1


async def test_an_answer_other_than_2xx_is_a_failure_and_410_is_for_good(server: HookServer) -> None:
    for status, for_good in ((500, False), (404, False), (410, True)):
        server.status = status
        with pytest.raises(WebhookFailed, match=str(status)) as caught:
            await post(server.url)
        assert caught.value.for_good is for_good


async def test_who_asks_for_time_is_heard(server: HookServer) -> None:
    server.status, server.headers = 429, {"Retry-After": "120"}
    with pytest.raises(WebhookFailed) as caught:
        await post(server.url)
    assert caught.value.retry_after == 120.0


async def test_a_server_that_never_answers_is_given_up(server: HookServer) -> None:
    server.go_on.clear()
    with pytest.raises(WebhookFailed, match="no answer within"):
        await post(server.url, patience=0.05)


async def test_no_failure_tells_the_address_or_the_secret(free_port: int) -> None:
    with pytest.raises(WebhookFailed) as caught:
        await post(f"http://127.0.0.1:{free_port}/T0/hush-hush")
    assert "hush" not in f"{caught.value} {caught.value!r}"
    assert "hush" not in repr(Webhook(url="https://x.test/hush", secret="hush"))


async def test_a_body_that_is_too_long_is_not_sent(server: HookServer) -> None:
    with pytest.raises(WebhookFailed, match="longer than") as caught:
        await post(server.url, body=b"x" * (MOST_BYTES + 1))
    assert caught.value.for_good
    assert server.came == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.test/x",
        "ftp://x.test/",
        "http://hooks.example.test/x",  # notices would go there in clear
        "https://user:password@x.test/",
        "https:///x",
        "https://x.test:0/",
        "https://x.test:99999/",
        "https://x.test/\r\nHost: y",
        "https://x.test/a b",
        "https://x.test/ü",
        "https://[::1/x",
        "https://x.test/" + "y" * 2000,
        "file:///etc/passwd",
    ],
)
def test_what_is_no_https_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url, NOBODY)


def test_slack_form_escapes_what_is_special_there() -> None:
    told = json.loads(as_slack("a *b*", "<!channel> & more"))
    assert told == {"text": "*a b*\n&lt;!channel&gt; &amp; more"}
