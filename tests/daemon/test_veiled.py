"""What a server says of a message is written down so that neither end's owner reads of the other."""

from typing import Any

from tests.daemon.model import Answer, says
from tests.daemon.rig import Rig, after
from warmupd.core.reply import Phase
from warmupd.core.veil import HIDDEN
from warmupd.mail.account import Account
from warmupd.mail.message import Message

ANNA, BOB = "anna@own-client.test", "bob@secret-client.test"
WORDS = f"your message to {BOB} was refused; see mx1.secret-client.test"
ANSWERS = {
    "blocked": says(550, f"bad outbound sender: {WORDS}", enhanced="5.1.8"),
    "slow": says(450, f"slow down: {WORDS}", enhanced="4.2.1"),
    "limit": says(450, f"daily user sending limit exceeded: {WORDS}", enhanced="5.4.5"),
    "login": says(535, WORDS, phase=Phase.AUTH),
    "away": says(421, f"try again in 60 seconds, anna.away@own-client.test: {WORDS}", phase=Phase.CONNECT),
}


async def enrol(rig: Rig, *, user: Any = None) -> int:
    """Bob's mailbox, to whom all others write."""
    (bob,) = await rig.world.enrol(1, user, quota=1, end_hour=9, address=BOB, state="RECEIVE_ONLY")
    return bob


async def test_senders_owners_read_nothing_of_anothers_recipient(rig: Rig) -> None:
    await enrol(rig)
    user = await rig.world.user()
    for name in ANSWERS:
        address = ANNA.replace("@", f".{name}@")
        await rig.world.enrol(1, user, quota=1, end_hour=7, address=address, host=f"{name}.sandbox.test")

    def rule(account: Account, message: Message) -> Answer:
        return ANSWERS[account.address.partition("@")[0].partition(".")[2]]

    rig.server.rule = rule
    async with rig.running():
        await rig.until(after(7.1))
    written = ""
    for statement, words in (
        (f"SELECT state_reason, last_error, rest_message FROM mailboxes WHERE address <> '{BOB}'", 8),
        ("SELECT reason FROM state_changes WHERE actor = 'daemon'", 3),
        ("SELECT reason FROM notice_standings", 2),
        ("SELECT error_message FROM warmup_jobs", 5),
        ("SELECT message FROM host_rests", 1),
    ):
        found = str([tuple(row) for row in await rig.db.fetch(statement)])
        assert found.count("your message to") >= words, (statement, found)
        written += found
    assert HIDDEN in written
    assert "bob" not in written
    assert "secret-client" not in written
    assert "anna" not in str(await rig.db.fetch("SELECT message FROM host_rests"))


async def test_owner_reads_of_the_other_mailbox_when_it_is_theirs(rig: Rig) -> None:
    user = await rig.world.user()
    await enrol(rig, user=user)
    (anna,) = await rig.world.enrol(1, user, quota=1, end_hour=7, address=ANNA)
    rig.server.rule = lambda account, message: ANSWERS["slow"]
    async with rig.running():
        await rig.until(after(7.1))
    assert (await rig.world.mailbox(anna))["last_error"] == f"450 4.2.1 slow down: {WORDS}"


async def test_recipient_reads_its_own_address_and_not_who_wrote(rig: Rig) -> None:
    bob = await enrol(rig)
    for name in ("anna", "carl"):
        await rig.world.enrol(1, quota=1, end_hour=9, address=f"{name}@own-client.test")
    rig.server.rule = lambda account, message: says(550, f"<{BOB}> unknown, says {account.address}", enhanced="5.1.1")
    async with rig.running():
        await rig.until(after(9.1))
    row = await rig.world.mailbox(bob)
    assert row["state"] == "SUSPENDED"
    assert row["last_error"] == f"550 5.1.1 <{BOB}> unknown, says {HIDDEN}"
