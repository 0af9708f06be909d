"""What a server says of a message is written down so that neither end's owner reads of the other."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.daemon.model import OK, Answer, says
from tests.daemon.rig import Rig, after
from warmupd.core.reply import Phase
from warmupd.core.veil import HIDDEN
from warmupd.mail.account import Account
from warmupd.mail.message import Message

ANNA, BOB, CARL = "anna@own-client.test", "bob@secret-client.test", "carl@own-client.test"


async def enrol(rig: Rig, *, same_user: bool = False) -> Sequence[int]:
    """Anna and Bob, who write to each other."""
    user = await rig.world.user()
    (anna,) = await rig.world.enrol(1, user, quota=1, end_hour=9, address=ANNA)
    (bob,) = await rig.world.enrol(1, user if same_user else None, quota=1, end_hour=9, address=BOB, state="RECEIVE_ONLY")
    return anna, bob


async def lived(rig: Rig, answer: Answer) -> list[dict[str, Any]]:
    """All rows in which words of servers are kept, after a morning on which Anna's server answered so once."""
    answers = iter([answer])

    def rule(account: Account, message: Message) -> Answer:
        return next(answers, OK) if account.address == ANNA else OK

    rig.server.rule = rule
    async with rig.running():
        await rig.until(after(9.5))
    return [
        dict(row)
        for statement in (
            "SELECT id, state_reason, last_error, rest_message FROM mailboxes WHERE address = $1",
            "SELECT reason FROM state_changes WHERE $1 <> ''",
            "SELECT reason FROM notice_standings WHERE $1 <> ''",
            "SELECT error_message FROM warmup_jobs WHERE $1 <> ''",
            "SELECT message FROM host_rests WHERE $1 <> ''",
        )
        for row in await rig.db.fetch(statement, ANNA)
    ]


WORDS = f"your message to {BOB} (from {ANNA}) was refused; see mx1.secret-client.test"


@pytest.mark.parametrize(
    "answer",
    [
        says(550, f"5.7.1 sender blocked: {WORDS}", phase=Phase.MAIL, enhanced="5.7.1"),
        says(450, f"slow down: {WORDS}", enhanced="4.2.1"),
        says(450, f"daily user sending limit exceeded: {WORDS}", enhanced="5.4.5"),
        says(535, WORDS, phase=Phase.AUTH),
        says(421, f"try again in 60 seconds: {WORDS}", phase=Phase.CONNECT),
    ],
)
async def test_a_senders_owner_reads_nothing_of_anothers_recipient(rig: Rig, answer: Answer) -> None:
    await enrol(rig)
    written = str(await lived(rig, answer))
    assert HIDDEN in written
    assert "bob" not in written
    assert "secret-client" not in written


async def test_an_owner_reads_of_the_other_mailbox_when_it_is_theirs(rig: Rig) -> None:
    await enrol(rig, same_user=True)
    (anna, *_) = await lived(rig, says(450, f"slow down: {WORDS}", enhanced="4.2.1"))
    assert BOB in anna["last_error"]
    assert HIDDEN not in anna["last_error"]


async def test_mailboxes_of_others_on_a_server_read_nothing_of_whom_it_refused(rig: Rig) -> None:
    await enrol(rig)
    written = await lived(rig, says(421, f"try again in 60 seconds: {WORDS}", phase=Phase.CONNECT))
    (rest,) = [row["message"] for row in written if "message" in row]
    assert HIDDEN in rest
    assert "anna" not in rest


async def test_a_recipient_reads_of_its_own_address_and_not_of_who_wrote(rig: Rig) -> None:
    _, bob = await enrol(rig)
    await rig.world.enrol(1, quota=1, end_hour=9, address=CARL)
    rig.server.rule = lambda account, message: says(550, f"<{BOB}> unknown, says {account.address}", enhanced="5.1.1")
    async with rig.running():
        await rig.until(after(9.5))
    row = await rig.world.mailbox(bob)
    assert row["state"] == "SUSPENDED"
    assert row["last_error"] == f"550 5.1.1 <{BOB}> unknown, says {HIDDEN}"
