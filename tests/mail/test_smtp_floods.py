"""Deliveries to a server that answers without end, or with a line of 100 MB: cut off early, and others do not wait."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from tests.mail.fault_smtp import Action, Fault, Stage
from tests.mail.memory import at_most
from tests.mail.test_smtp import LOOPBACK, STAGES, AccountAt, Hasty, Mail, StartSmtp, always
from warmupd.core.outcome import OutcomeKind, Phase, Trouble, classify
from warmupd.mail.smtp import SmtpSender

BOUND = 4 << 20  # octets: no reply of SMTP needs more than some kB; the test's own server holds the rest
FLOODS: tuple[Action, ...] = ("huge", "endless")


@pytest.fixture
async def patient(trusting: ssl.SSLContext) -> AsyncIterator[SmtpSender]:
    """So that it is the bound that ends it, and not the time."""
    sender = SmtpSender(context=trusting, policy=LOOPBACK)
    yield sender
    await sender.close()


@pytest.mark.parametrize("action", FLOODS)
@pytest.mark.parametrize("stage", STAGES)
async def test_flood_is_garbage_and_takes_no_memory(
    start_smtp: StartSmtp, patient: SmtpSender, account_at: AccountAt, stage: Stage, action: Action
) -> None:
    server = await start_smtp(faults={stage: Fault(action)})
    async with asyncio.timeout(20):
        with at_most(BOUND):
            reply = await patient.deliver(account_at(server), Mail(), may_proceed=always)
        await server.ended.wait()
    assert (reply.phase, reply.trouble) == (STAGES[stage], Trouble.GARBAGE)
    assert classify(reply).kind is (OutcomeKind.UNKNOWN if reply.phase is Phase.BODY else OutcomeKind.DEFERRED)


@pytest.mark.parametrize("action", ["huge", "endless", "drip", "hang"])
async def test_no_other_delivery_waits(
    start_smtp: StartSmtp, hasty: Hasty, patient: SmtpSender, account_at: AccountAt, action: Action
) -> None:
    bad, good = await start_smtp(faults={"mail": Fault(action)}), await start_smtp()
    sender = hasty("mail")
    trouble = [asyncio.create_task(sender.deliver(account_at(bad), Mail(), may_proceed=always)) for _ in range(4)]
    async with asyncio.timeout(9):
        reply = await patient.deliver(account_at(good), Mail(), may_proceed=always)
    assert reply.accepted
    assert not any(reply.accepted for reply in await asyncio.gather(*trouble))
