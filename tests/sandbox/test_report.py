"""The result of a demo counts what was owed, whatever the ledger has of it."""

import datetime as dt

from tests.store.rows import CLOSES, NOON, OPENS, TODAY, Ground, laid_ground  # noqa: F401  a fixture
from warmupd.clock import ScaledClock
from warmupd.core.mailbox import MailboxState
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.sandbox.record import Record
from warmupd.sandbox.report import DemoReport, Run, report_of
from warmupd.sandbox.violations import Promises
from warmupd.sandbox.weather import CALM
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence
from warmupd.store.ledger import DayEntry
from warmupd.store.states import change_state

GAP = dt.timedelta(minutes=2)
PROMISES = Promises(
    mailbox_gap=GAP,
    user_gap=dt.timedelta(0),
    global_per_minute=100,
    global_per_hour=100,
    user_per_minute=100,
    user_per_hour=100,
    slack=GAP,
)


async def reported(db: Database, mailbox: int, *, owed_days: int = 1) -> DemoReport:
    """Of a run of so many days in which this mailbox owes 30 a day."""
    run = Run(
        days=owed_days,
        owed=[owed(mailbox, dt.timedelta(days=number)) for number in range(owed_days)],
        weather=CALM,
        promises=PROMISES,
        at_once=20,
        clock=ScaledClock(NOON, 600),
        owners={"m1@example.test": (mailbox, 1)},
        message_key=MessageKey(Vault([Vault.new_key()])),
        record=Record(),
        folders={},
    )
    return await report_of(db, run, wall_seconds=1.0)


def owed(mailbox: int, later: dt.timedelta) -> DayEntry:
    return DayEntry(
        mailbox_id=mailbox,
        address="m1@example.test",
        day=TODAY + later,
        quota=30,
        sent=0,
        opens_at=OPENS + later,
        closes_at=CLOSES + later,
    )


async def met(ground: Ground) -> int:
    """A mailbox that has sent its 30 of the first day, by its row."""
    await keep_evidence(ground.db)
    (mailbox,) = await ground.mailboxes(1, quota=30)
    await ground.db.execute("UPDATE mailbox_days SET taken = 30, attempts = 30, sent = 30")
    return mailbox


async def test_a_mailbox_that_sent_all_it_owed_has_met_its_quota(ground: Ground) -> None:
    report = await reported(ground.db, await met(ground))
    assert (report.mailboxes, report.quota, report.sent, report.fill_rate) == (1, 30, 30, 1.0)
    assert (report.mailboxes_met, report.shortfalls, report.violations.unexplained) == (1, (), 0)


async def test_a_day_that_was_never_opened_is_owed_and_unexplained(ground: Ground) -> None:
    report = await reported(ground.db, await met(ground), owed_days=2)
    assert (report.quota, report.sent, report.fill_rate, report.mailboxes_met) == (60, 30, 0.5, 0)
    (short,) = report.shortfalls
    assert (short.day, short.quota, short.sent, short.reasons, short.opened) == (
        TODAY + dt.timedelta(days=1),
        30,
        0,
        (),
        False,
    )
    assert (report.violations.unexplained, report.violations.total) == (1, 1)


async def test_a_day_that_was_not_opened_since_the_mailbox_was_suspended_is_owed_and_explained(ground: Ground) -> None:
    mailbox = await met(ground)
    await change_state(
        ground.db, mailbox, MailboxState.SUSPENDED, actor="daemon", reason="too much spam", until=None, at=CLOSES
    )
    report = await reported(ground.db, mailbox, owed_days=2)
    assert (report.quota, report.fill_rate, report.mailboxes_met, report.violations.total) == (60, 0.5, 0, 0)
    assert [reason.words for reason in report.shortfalls[0].reasons] == [
        "30 not sent while it is SUSPENDED: too much spam"
    ]


async def test_attempts_that_nothing_shows_to_have_been_made_are_no_excuse(ground: Ground) -> None:
    await keep_evidence(ground.db)
    (mailbox,) = await ground.mailboxes(1, quota=30)
    await ground.db.execute("UPDATE mailbox_days SET taken = 5, attempts = 36, sent = 5")
    report = await reported(ground.db, mailbox)
    assert (report.shortfalls[0].unexplained, report.violations.unexplained) == (25, 1)
