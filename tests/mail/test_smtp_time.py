"""Time in a conversation: each phase has its own, all together have theirs, and a rest has neither."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import uvloop

from tests.mail.fault_smtp import Fault, Stage
from tests.mail.test_smtp import STAGES, AccountAt, Mail, SenderWith, StartSmtp, always
from warmupd.core.outcome import OutcomeKind, Phase, Trouble, classify
from warmupd.mail.account import Endpoint, Security
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.smtp import SmtpSender, Timeouts
from warmupd.mail.smtp_conversation import Conversation, Manner
from warmupd.mail.smtp_line import Line
from warmupd.mail.tls import client_context

Pass = Callable[[float], None]


@pytest.fixture
async def let_pass(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Has the loop believe that so many seconds more went by: what was due meanwhile happens late, and at once."""
    loop, passed = asyncio.get_running_loop(), list[float]()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + sum(passed))
    return passed.append


@pytest.fixture
async def troubles() -> list[dict[str, Any]]:
    """What callbacks of the loop died of."""
    troubles = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    return troubles


def alive() -> set[int]:
    gc.collect()
    return {id(one) for one in gc.get_objects() if isinstance(one, Conversation | Line)}


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_phases_together_are_bounded(
    start_smtp: StartSmtp, sender_with: SenderWith, account_at: AccountAt
) -> None:
    server = await start_smtp(faults={"rcpt": Fault("hang")})
    sender = sender_with(timeouts=Timeouts(total=0.3))
    async with asyncio.timeout(20):
        reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble) == (Phase.RCPT, Trouble.TIMEOUT)


async def test_a_phase_lasts_its_own_time_whatever_the_one_before_was_given(
    start_smtp: StartSmtp, sender_with: SenderWith, account_at: AccountAt, let_pass: Pass
) -> None:
    server = await start_smtp(pondering={"auth": partial(let_pass, 110), "mail": partial(let_pass, 60)})
    sender = sender_with(timeouts=Timeouts(connect=100, auth=150, mail=90, total=1000))
    assert (await sender.deliver(account_at(server), Mail(), may_proceed=always)).accepted


@pytest.mark.parametrize("stage", ["ehlo", "auth", "mail", "rcpt", "data", "dot"])
async def test_reply_that_comes_with_the_end_of_its_time_is_too_late_and_nothing_follows_it(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, let_pass: Pass, stage: Stage
) -> None:
    """A process that stood still finds both at once."""
    server = await start_smtp(pondering={stage: partial(let_pass, 70)})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    if stage == "dot":  # nothing more is to be said: what was heard counts
        assert reply.accepted
    else:
        assert (reply.phase, reply.trouble, classify(reply).kind) == (
            STAGES[stage],
            Trouble.TIMEOUT,
            OutcomeKind.DEFERRED,
        )
        assert (bytes(server.body), server.taken) == (b"", [])


async def test_time_that_is_over_is_over_when_the_wait_for_tls_hides_it(
    start_smtp: StartSmtp, sender_with: SenderWith, account_at: AccountAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_tls = Line.start_tls

    async def deaf(line: Line, *args: Any, **options: Any) -> Any:
        response = await start_tls(line, *args, **options)
        with suppress(asyncio.CancelledError):  # as Python 3.11's wait_for, when both come at once
            await asyncio.Event().wait()
        return response

    monkeypatch.setattr(Line, "start_tls", deaf)
    server = await start_smtp()
    sender = sender_with(timeouts=Timeouts(tls=0.2))
    async with asyncio.timeout(5):
        reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble) == (Phase.STARTTLS, Trouble.TIMEOUT)


async def test_a_login_may_rest_for_longer_than_any_phase(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, let_pass: Pass, troubles: list[Any]
) -> None:
    server = await start_smtp()
    login = await sender.log_in(account_at(server))
    let_pass(1000)
    await turns()
    assert (await sender.deliver(account_at(server), Mail(), may_proceed=always, login=login)).accepted
    assert troubles == []


async def test_the_rest_of_a_login_that_nobody_used_counts_for_no_phase(
    start_smtp: StartSmtp, sender_with: SenderWith, account_at: AccountAt, let_pass: Pass
) -> None:
    server, seen = await start_smtp(), dict[Phase, float]()
    sender = sender_with(observe=seen.__setitem__)
    login = await sender.log_in(account_at(server))
    let_pass(1000)
    login.end()
    assert seen[Phase.AUTH] < 900


@pytest.mark.parametrize("how", ["delivered", "login refused", "login cancelled"])
async def test_nothing_of_a_conversation_is_left_when_it_is_over(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, let_pass: Pass, troubles: list[Any], how: str
) -> None:
    before = alive()
    server = await start_smtp(faults={"auth": Fault("hang")} if how == "login cancelled" else {})
    if how == "delivered":
        await sender.deliver(account_at(server), Mail(), may_proceed=always)
    elif how == "login refused":
        await sender.log_in(account_at(server, password="wrong"))
    else:
        login = asyncio.create_task(sender.log_in(account_at(server)))
        await server.struck.wait()
        login.cancel()
        await asyncio.wait([login])
        del login
    async with asyncio.timeout(20):
        await server.ended.wait()
    await turns()
    assert alive() - before == set()
    let_pass(1000)
    await turns()
    assert troubles == []


def test_time_is_over_at_the_first_ring_on_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timers ring up to a millisecond early, and it would be asked again and again until that is over."""
    rings, ring = list[Conversation](), Conversation._ring

    def heard(talk: Conversation) -> None:
        rings.append(talk)
        ring(talk)

    monkeypatch.setattr(Conversation, "_ring", heard)
    endpoint = Endpoint(host="localhost", port=1, security=Security.TLS, username="ann", password="secret")
    manner = Manner(context=client_context(""), policy=HostPolicy())

    async def wait_for(seconds: float) -> None:
        talk = Conversation(manner, endpoint)
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as talk.limit:
                talk._enter(Phase.AUTH, seconds)
                await asyncio.Event().wait()

    async def wait() -> None:
        await asyncio.gather(*(wait_for(0.01 + 0.0003 * number) for number in range(100)))

    uvloop.run(wait())
    assert len(rings) == 100
