"""What servers saw of a user, and of caps that let nothing through, as a simulation judges it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from warmupd.store.database import Database
from warmupd.store.population import Newcomer, enrol_mailboxes, enrol_users
from warmupd.store.trial import Promised, begin_trial, count_broken, take_evidence
from warmupd.store.trial_days import OwedDay, lay_out_days
from warmupd.store.trial_shortfall import load_full_times

DAY = dt.date(2027, 3, 1)
ORIGIN = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
NOBODY_MEETS = 10_000
PROMISED = Promised(
    mailbox_gap=120.0,
    user_gap=1.0,
    slack=5.0,
    global_per_minute=NOBODY_MEETS,
    global_per_hour=NOBODY_MEETS,
    user_per_minute=NOBODY_MEETS,
    user_per_hour=NOBODY_MEETS,
)
MAILBOXES = 30


async def see(db: Database, tmp_path: Path, *, apart: float) -> None:
    """Evidence of one MAIL FROM of each mailbox of a user, so many seconds apart, and of no reservation."""
    ((user_id, pool_id),) = await enrol_users(db, ["UTC"], private=False)

    def newcomers() -> Iterator[Newcomer]:
        for number in range(1, MAILBOXES + 1):
            yield Newcomer(
                mailbox_id=number,
                user_id=user_id,
                pool_id=pool_id,
                address=f"m{number}@agency.test",
                display_name="",
                provider="other",
                smtp_host="mail.test",
                imap_host="mail.test",
                smtp_secret=b"",
                imap_secret=b"",
            )

    await enrol_mailboxes(db, newcomers(), at=ORIGIN, proven=True)
    await begin_trial(db)
    closes_at = ORIGIN + dt.timedelta(days=1)
    day = OwedDay(zone="UTC", day=DAY, opens_at=ORIGIN, closes_at=closes_at, quota=30, most=30)
    await lay_out_days(db, [day], {}, origin=ORIGIN)
    lines = [f"{round(n * apart * 1e6)},{n},{n % MAILBOXES + 1},,,0,\n" for n in range(1, MAILBOXES + 1)]
    (record := tmp_path / "record.csv").write_text("".join(lines))
    (rebuffs := tmp_path / "record.rebuffs").write_text("")
    await take_evidence(db, origin=ORIGIN, record=record, rebuffs=rebuffs)


@pytest.mark.parametrize(
    ("apart", "closer"), [(0.6, 0), (0.4, 20)], ids=["late by less than the slack", "closer than slack explains"]
)
async def test_sends_of_a_user_may_close_up_by_one_slack_and_no_more(
    db: Database, tmp_path: Path, apart: float, closer: int
) -> None:
    await see(db, tmp_path, apart=apart)
    assert (await count_broken(db, PROMISED))["spacing"] == closer  # eleven that follow each other span 5 s at least


async def test_a_cap_is_full_from_its_last_place_until_its_first_is_free_again(db: Database, tmp_path: Path) -> None:
    await see(db, tmp_path, apart=60.0)
    await db.execute("INSERT INTO trial_reservations (picked) SELECT at FROM trial_offers WHERE mailbox_id <= 5")
    (full,) = await load_full_times(db, 3, seconds=180.0, apart=15.0, of_users=False, origin=ORIGIN)
    assert (full.begin - ORIGIN, full.end - ORIGIN) == (dt.timedelta(seconds=180), dt.timedelta(seconds=360))
    assert not await load_full_times(db, 3, seconds=110.0, apart=15.0, of_users=True, origin=ORIGIN)
