"""What owners are told, in which words, and how many mailboxes become one notice."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.notice import (
    NAMED,
    DaySum,
    Event,
    Missed,
    MissedDays,
    Standing,
    Turn,
    Turned,
)
from warmupd.core.notice_words import digest_notice, missed_notice, trouble_notice

ALL = frozenset(Event)
NORMAL, FAILED, SUSPENDED = Standing.NORMAL, Standing.AUTH_FAILED, Standing.SUSPENDED
NOTHING_MISSED = MissedDays(count=0, quota=0, sent=0, worst=())
DAY = DaySum(mailboxes=3, met=2, quota=30, sent=25, inbox=20, spam=2)


def turned(told: Standing, stands: Standing, names: Sequence[str], count: int | None = None) -> Turned:
    first = [Turn(address=f"{name}@x.test", reason="535 no", remedy="a new password") for name in names[:NAMED]]
    return Turned(told=told, stands=stands, count=count or len(names), first=first)


def test_one_mailbox_is_named_in_the_subject_with_what_helps_in_the_text() -> None:
    notice = trouble_notice([turned(NORMAL, FAILED, ["anna"])], ALL)
    assert notice is not None
    assert notice.subject == "anna@x.test: cannot log in"
    assert notice.body == (
        "1 mailbox cannot log in, and waits for its owner (AUTH_FAILED):\n"
        "  anna@x.test: 535 no\n"
        "    What helps: a new password"
    )


def test_500_mailboxes_are_one_notice_that_names_the_first_and_the_count() -> None:
    notice = trouble_notice([turned(NORMAL, FAILED, [f"m{n:03}" for n in range(NAMED)], 500)], ALL)
    assert notice is not None
    assert notice.subject == "500 mailboxes cannot log in"
    assert notice.body.count("@x.test") == NAMED
    assert notice.body.endswith("and 480 more")
    assert notice.facts["events"][0]["count"] == 500
    assert len(notice.facts["events"][0]["mailboxes"]) == NAMED


def test_different_things_are_told_together() -> None:
    both = [turned(NORMAL, SUSPENDED, ["a"]), turned(FAILED, NORMAL, ["b", "c"])]
    notice = trouble_notice(both, ALL)
    assert notice is not None
    assert notice.subject == "1 mailbox suspended; 2 mailboxes back to normal"


def test_mailboxes_that_came_to_the_same_by_different_ways_are_counted_together() -> None:
    notice = trouble_notice([turned(NORMAL, FAILED, ["b"]), turned(SUSPENDED, FAILED, ["a"])], ALL)
    assert notice is not None
    assert notice.subject == "2 mailboxes cannot log in"
    assert notice.body.index("a@") < notice.body.index("b@")


def test_what_is_not_wanted_is_not_told() -> None:
    assert trouble_notice([turned(NORMAL, FAILED, ["a"])], {Event.SUSPENDED}) is None


def test_end_of_a_trouble_that_was_not_told_is_not_told_either() -> None:
    over = [turned(FAILED, NORMAL, ["a"])]
    assert trouble_notice(over, {Event.BACK_TO_NORMAL}) is None
    assert trouble_notice(over, {Event.BACK_TO_NORMAL, Event.AUTH_FAILED}) is not None


def test_nothing_that_happened_is_no_notice() -> None:
    assert trouble_notice([], ALL) is None
    assert missed_notice(NOTHING_MISSED) is None


def test_missed_quotas_are_told_with_their_reasons() -> None:
    missed = Missed(address="a@x.test", day=dt.date(2026, 6, 2), quota=30, sent=12, reasons=("it rested", "3 failed"))
    notice = missed_notice(MissedDays(count=40, quota=1200, sent=900, worst=[missed]))
    assert notice is not None
    assert notice.subject == "40 mailboxes missed yesterday's quota"
    assert "900 of 1200 messages were sent" in notice.body
    assert "a@x.test: 12 of 30 on 2026-06-02; it rested; 3 failed\n  and 39 more" in notice.body


def test_digest_tells_of_a_day_on_which_nothing_happened() -> None:
    notice = digest_notice([], NOTHING_MISSED, DAY, ALL)
    assert notice.subject == "Yesterday: 25 of 30 sent"
    assert "Nothing needs you." in notice.body


def test_digest_tells_what_else_there_is() -> None:
    notice = digest_notice([turned(NORMAL, FAILED, ["a"])], NOTHING_MISSED, DAY, ALL)
    assert notice.subject == "Yesterday: 25 of 30 sent; a@x.test: cannot log in"
    assert notice.facts["day"]["met"] == 2
