"""Every change of a mailbox leaves a row: who made it, when, what became of what, and why."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.daemon.model import OK, Answer, says
from tests.daemon.rig import BEGIN, Rig, after
from warmupd.cli import mailbox_set, mailbox_state, session
from warmupd.core.mailbox import MailboxState
from warmupd.core.reply import Phase
from warmupd.store.states import change_state

BAD_PASSWORD = says(535, "authentication failed", phase=Phase.AUTH, enhanced="5.7.8")
NO_BASIC = says(535, "basic authentication is disabled", phase=Phase.AUTH, enhanced="5.7.139")
BLOCKED = says(550, "bad outbound sender", enhanced="5.1.8")
NO_SUCH_USER = says(550, "user unknown", enhanced="5.1.1")
FULL = says(554, "daily sending limit reached", enhanced="5.4.5")

# What changes beside the rows of history, as the table itself sees it. Ramps are told when they are reset.
WITNESS = """
    CREATE TABLE witnessed (id bigint GENERATED ALWAYS AS IDENTITY, mailbox bigint, what text, was text,
                            became text, reason text, until timestamptz);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO witnessed (mailbox, what, was, became, reason, until)
        SELECT NEW.id, w.*, NEW.state_reason, NEW.state_until FROM (VALUES
            ('state', OLD.state::text, NEW.state::text), ('health', OLD.health::text, NEW.health::text),
            ('ramp', OLD.ramp_days::text, nullif(NEW.ramp_days, OLD.ramp_days + 1)::text),
            ('learnt_limit', coalesce(OLD.learnt_limit::text, ''), NEW.learnt_limit::text)) AS w(what, was, became)
        WHERE w.was <> w.became;
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE ON mailboxes FOR EACH ROW EXECUTE FUNCTION witness();
"""
Row = tuple[str, str, str, str, str]  # what, was, became, actor, reason
Do = Callable[[Rig, int, pytest.MonkeyPatch], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way in which a mailbox changes, and the rows that it leaves."""

    do: Do
    rows: list[Row]
    state: str = "ACTIVE"  # before


def by_command(command: Callable[..., None], **options: Any) -> Do:
    """A command of the program, on the test's database."""

    async def do(rig: Rig, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks: list[Callable[[session.Session], Awaitable[Any]]] = []
        monkeypatch.setattr(session, "work", lambda path, task, *, name: tasks.append(task))
        command(addresses=[await rig.world.address(box)], **options)
        clock: Any = rig.clock
        await tasks[0](session.Session(config=rig.config({}), db=rig.db, clock=clock))

    return do


def by_state(state: MailboxState, actor: str) -> Do:
    async def do(rig: Rig, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
        await change_state(rig.db, box, state, actor=actor, reason="asked for", at=BEGIN)

    return do


def by_reply(answer: Answer, *, times: int = 99, to_it: bool = False, hours: float = 15.0) -> Do:
    """A worker that lives on for so long, while servers answer this to (or about) the mailbox at first."""

    async def do(rig: Rig, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
        address, said = await rig.world.address(box), 0

        def rule(account: Any, message: Any) -> Answer:
            nonlocal said
            said += (about := (message.recipient if to_it else account.address) == address)
            return answer if about and said <= times else OK

        rig.server.rule = rule
        async with rig.running():
            await rig.until(after(5.5 + hours))

    return do


async def by_spam(rig: Rig, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig.running():
        await rig.until(after(21))
        await rig.db.execute("UPDATE mailbox_days SET spam = 20 WHERE mailbox_id = $1", box)
        await rig.until(after(21, days=4))


def then(*parts: Do) -> Do:
    async def do(rig: Rig, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
        for part in parts:
            await part(rig, box, monkeypatch)

    return do


pause = by_command(mailbox_state.pause, reason="holidays")
resume = by_command(mailbox_state.resume)
mend = by_command(mailbox_set.change, smtp_port=2525, check=False)
auth_failed: Row = ("state", "ACTIVE", "AUTH_FAILED", "daemon", "535 5.7.8 authentication failed")
blocked: Row = ("state", "ACTIVE", "SUSPENDED", "daemon", "550 5.1.8 bad outbound sender")
twice: Row = ("state", "ACTIVE", "SUSPENDED", "daemon", "its address was refused twice")
over = "its suspension is over"

WAYS = {
    "pause": Way(do=pause, rows=[("state", "ACTIVE", "PAUSED", "cli", "holidays")]),
    "pause without a word": Way(
        do=by_command(mailbox_state.pause), rows=[("state", "ACTIVE", "PAUSED", "cli", "by its owner")]
    ),
    "pause twice": Way(do=then(pause, pause), rows=[("state", "ACTIVE", "PAUSED", "cli", "holidays")]),
    "resume": Way(do=resume, rows=[("state", "PAUSED", "ACTIVE", "cli", "by its owner")], state="PAUSED"),
    "stop": Way(
        do=by_command(mailbox_state.stop, reason="sold"),
        rows=[("state", "ACTIVE", "PAUSED", "cli", "sold"), ("ramp", "9", "0", "cli", "sold")],
    ),
    "stop when paused": Way(
        do=by_command(mailbox_state.stop), rows=[("ramp", "9", "0", "cli", "by its owner")], state="PAUSED"
    ),
    "receive only": Way(
        do=by_state(MailboxState.RECEIVE_ONLY, "anna@owners.test"),
        rows=[("state", "ACTIVE", "RECEIVE_ONLY", "anna@owners.test", "asked for")],
    ),
    "removed": Way(do=by_state(MailboxState.REMOVED, "cli"), rows=[("state", "ACTIVE", "REMOVED", "cli", "asked for")]),
    "login refused twice": Way(do=by_reply(BAD_PASSWORD), rows=[auth_failed]),
    "login refused once": Way(do=by_reply(BAD_PASSWORD, times=1), rows=[]),
    "login that can never work": Way(
        do=by_reply(NO_BASIC),
        rows=[("state", "ACTIVE", "AUTH_FAILED", "daemon", "535 5.7.139 basic authentication is disabled")],
    ),
    "login mended": Way(
        do=then(by_reply(BAD_PASSWORD), mend),
        rows=[auth_failed, ("state", "AUTH_FAILED", "ACTIVE", "cli", "its login was changed")],
    ),
    "login resumed": Way(
        do=then(by_reply(BAD_PASSWORD), resume),
        rows=[auth_failed, ("state", "AUTH_FAILED", "ACTIVE", "cli", "by its owner")],
    ),
    "login mended of one who only receives": Way(
        do=then(by_state(MailboxState.AUTH_FAILED, "daemon"), mend),
        rows=[
            ("state", "RECEIVE_ONLY", "AUTH_FAILED", "daemon", "asked for"),
            ("state", "AUTH_FAILED", "RECEIVE_ONLY", "cli", "its login was changed"),
        ],
        state="RECEIVE_ONLY",
    ),
    "server changed though nothing was wrong": Way(do=mend, rows=[]),
    "blocked by its provider": Way(do=by_reply(BLOCKED, times=1), rows=[blocked]),
    "blocked until the next day": Way(
        do=by_reply(BLOCKED, times=1, hours=30), rows=[blocked, ("state", "SUSPENDED", "ACTIVE", "daemon", over)]
    ),
    "blocked, and paused meanwhile": Way(
        do=then(by_reply(BLOCKED, times=1), pause, by_reply(OK, hours=48)),
        rows=[blocked, ("state", "SUSPENDED", "PAUSED", "cli", "holidays")],
    ),
    "address refused to two": Way(do=by_reply(NO_SUCH_USER, to_it=True), rows=[twice]),
    "address refused to two, a week later": Way(
        do=by_reply(NO_SUCH_USER, to_it=True, times=2, hours=8 * 24),
        rows=[twice, ("state", "SUSPENDED", "ACTIVE", "daemon", over)],
    ),
    "mostly spam": Way(
        do=by_spam,
        rows=[
            ("health", "HEALTHY", "SUSPENDED", "daemon", "100 % of 20 messages in spam"),
            ("state", "ACTIVE", "SUSPENDED", "daemon", "100 % of 20 messages in spam"),
            ("state", "SUSPENDED", "ACTIVE", "daemon", over),
            ("health", "SUSPENDED", "THROTTLED", "daemon", over),
        ],
    ),
    "daily limit": Way(
        do=by_reply(FULL), rows=[("learnt_limit", "", "4", "daemon", "554 5.4.5 daily sending limit reached")]
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_every_way_of_changing_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    (box, *_) = await rig.world.enrol(4, quota=8, ramp_days=9)
    await rig.world.change([box], state=way.state)
    await rig.db.execute(WITNESS)
    await way.do(rig, box, monkeypatch)
    rows = await rig.db.fetch("SELECT * FROM state_changes ORDER BY id")
    assert [(row["what"], row["was"], row["became"], row["actor"], row["reason"]) for row in rows] == way.rows
    assert {row["subject_id"] for row in rows} <= {str(box)}
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows if BEGIN <= row["at"] <= rig.clock.now())
    seen = await rig.db.fetch("SELECT * FROM witnessed")
    assert sorted(tuple(one)[1:5] for one in seen) == sorted((box, *row[:3]) for row in way.rows)
    suspended = [one for one in seen if (one["what"], one["became"]) == ("state", "SUSPENDED")]
    assert all(one["reason"] and one["until"] > BEGIN for one in suspended)
