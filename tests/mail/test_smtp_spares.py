"""Servers that say more than they were asked: what they say is no verdict."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
from aiosmtplib import SMTPResponseException

from tests.mail.fault_smtp import Fault, FaultServer, Stage
from warmupd.core.outcome import Action, OutcomeKind, Phase, Trouble, classify
from warmupd.mail.account import Account
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.smtp_line import Line

StartSmtp = Callable[..., Awaitable[FaultServer]]
AccountAt = Callable[..., Account]
Hasty = Callable[[Stage], SmtpSender]


@dataclass(frozen=True, kw_only=True)
class Mail:
    sender: str = "ann@one.test"
    recipient: str = "bob@two.test"
    content: bytes = b"Subject: hello\r\n\r\nA line.\r\n"


def always(_: Phase) -> None:
    return None


class Answering(asyncio.Transport):
    """A wire that answers the next command with `said`, then closes."""

    def __init__(self, line: Line, said: bytes) -> None:
        super().__init__()
        self.line = line
        self.said = said

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        self.line.data_received(self.said)
        self.line.eof_received()


@pytest.mark.parametrize(
    ("said", "last"),
    [(b"221 bye\r\n", True), (b"421 enough\r\n", True), (b"", True), (b"250 queued\r\n", False), (b"25", False)],
)
async def test_reply_is_the_last_when_only_a_farewell_follows(said: bytes, last: bool) -> None:
    line = Line(asyncio.get_running_loop())
    line.connection_made(Answering(line, said))
    line.data_received(b"451 not now\r\n")
    assert (await line.hear()).code == 451
    with nullcontext() if last else pytest.raises(SMTPResponseException, match="more replies"):
        await line.prove_last()


@pytest.mark.parametrize("replies", ["250 queued\r\n550 no", "451 not now\r\n250 queued", "250 queued\r\n2"])
async def test_two_replies_to_the_body_are_no_verdict(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, replies: str
) -> None:
    server = await start_smtp(faults={"dot": Fault("reply", replies)})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, reply.trouble) == (Phase.BODY, None, Trouble.GARBAGE)
    assert classify(reply).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("dot", [None, Fault("reply", "250 queued"), Fault("half")])
@pytest.mark.parametrize("early", ["550 5.7.1 no", "451 4.3.0 not now"])
async def test_refusal_amid_a_body_that_may_be_taken_is_no_verdict(
    start_smtp: StartSmtp, hasty: Hasty, account_at: AccountAt, early: str, dot: Fault | None
) -> None:
    faults = {"body": Fault("reply", early)} | ({"dot": dot} if dot else {})
    server = await start_smtp(faults=faults)
    reply = await hasty("dot").deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code) == (Phase.BODY, None)
    assert classify(reply).kind is OutcomeKind.UNKNOWN
    assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("early", "kind"),
    [
        ("451 4.3.0 not now", OutcomeKind.UNKNOWN),
        ("550 5.4.5 Daily user sending limit exceeded", OutcomeKind.UNKNOWN),  # it would be sent again tomorrow
        ("550 5.7.1 no", OutcomeKind.FAILED),  # wrongly, but nothing is sent twice
    ],
)
async def test_refusal_that_may_not_have_been_to_the_dot_never_leads_to_a_second_copy(
    start_smtp: StartSmtp, hasty: Hasty, account_at: AccountAt, early: str, kind: OutcomeKind
) -> None:
    server = await start_smtp(faults={"body": Fault("reply", early), "dot": Fault("hang")})
    reply = await hasty("dot").deliver(account_at(server), Mail(), may_proceed=always)
    assert classify(reply).kind is kind
    assert len(server.taken) == 1


async def test_limit_told_before_a_silence_is_heeded_all_the_same(
    start_smtp: StartSmtp, hasty: Hasty, account_at: AccountAt
) -> None:
    limit = Fault("reply", "550 5.4.5 Daily user sending limit exceeded")
    server = await start_smtp(faults={"dot": limit, "quit": Fault("hang")})
    outcome = classify(await hasty("dot").deliver(account_at(server), Mail(), may_proceed=always))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "daily_limit")
    assert outcome.action in {Action.REST_A_DAY, Action.REST_UNTIL_NEXT_DAY}


@pytest.mark.parametrize(
    ("refusal", "farewell", "code"),
    [
        ("451 4.3.0 not now", Fault("drop"), 451),
        ("451 4.3.0 not now", Fault("rst"), 451),
        ("451 4.3.0 not now", Fault("reply", "421 too many errors"), 451),
        ("451 4.3.0 not now", Fault("hang"), None),
        ("451 4.3.0 not now", Fault("garbage"), None),
        ("550 5.7.1 spam", Fault("drop"), 550),
        ("550 5.7.1 spam", Fault("hang"), 550),
        ("550 5.7.1 spam", Fault("garbage"), None),
        ("550 5.7.1 spam", Fault("half"), None),
    ],
)
async def test_refused_body_is_a_verdict_once_nothing_can_follow(
    start_smtp: StartSmtp, hasty: Hasty, account_at: AccountAt, refusal: str, farewell: Fault, code: int | None
) -> None:
    server = await start_smtp(faults={"dot": Fault("reply", refusal), "quit": farewell})
    sender = hasty("dot")
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code) == (Phase.BODY, code)
    await sender.close()
    await server.ended.wait()
    assert server.commands.count("QUIT") == 1
