"""The page of one mailbox: what stands on it, for whom, and what never does."""

import datetime as dt
import re

import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, House
from tests.http.postbag import Postbag
from warmupd.daemon.timeline import Timeline
from warmupd.http import words
from warmupd.http.charts.mailbox import day_line
from warmupd.store.history import Tried

HTML = {"accept": "text/html"}


@pytest.fixture
def bag(house: House) -> Postbag:
    return Postbag(db=house.site.db)


async def busy(bag: Postbag) -> int:
    """A mailbox of the owner in a shared pool, with a past, and a stranger in the same pool."""
    box = await bag.mailbox(OWNER, "anna@own.test", pool="Agencies")
    friend = await bag.mailbox(OWNER, "ben@own.test")
    strange = await bag.mailbox(OTHER, "strange.person@other.test", provider="outlook", pool="Agencies")
    await bag.day(box, ago=1, quota=14, sent=14, inbox=11, spam=2)
    await bag.day(box, quota=17, sent=3, inbox=1)
    await bag.job(box, friend, at=NOW - dt.timedelta(hours=2), found="INBOX")
    await bag.job(box, strange, at=NOW - dt.timedelta(hours=1), found="SPAM")
    await bag.job(strange, box, at=NOW - dt.timedelta(minutes=30), status="REPLIED", found="OTHER")
    await bag.job(strange, box, at=NOW - dt.timedelta(minutes=20), status="FAILED", error="their trouble")
    await bag.changed(box, actor=ADMIN, became="PAUSED")
    await bag.changed(box, actor=OTHER, became="SUSPENDED", at=NOW - dt.timedelta(days=1))
    await bag.changed(box, actor=OWNER, became="RECEIVE_ONLY", at=NOW - dt.timedelta(days=2))
    return box


async def test_page_tells_state_day_placement_messages_and_history(house: House, bag: Postbag) -> None:
    box = await busy(bag)
    text = (await (await house.browser(OWNER)).get(f"/mailboxes/{box}")).text
    assert "No worker holds its slot. <span" in text
    assert 'aria-label="Today in its window, 06:00 to 22:00: 2 sent"' in text
    assert "today: Inbox 1, Other folder 0, Spam 0, Not found yet 2" in text
    assert "ben@own.test</a>" in text
    assert f'action="/mailboxes/{box}/pause"' in text
    assert 'data-refresh="/mailboxes' in text


async def test_what_a_server_refused_for_its_content_is_shown_as_in_the_list(house: House, bag: Postbag) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test")
    await bag.day(box, sent=3, inbox=1, failed=2, bounced=2, unwanted=2)
    browser = await house.browser(OWNER)
    told = "today: Inbox 1, Other folder 0, Spam 0, Refused for content 2, Not found yet 2"
    assert told in (await browser.get(f"/mailboxes/{box}")).text
    assert "of what was found or refused for its content, the last 1: 33%" in (await browser.get("/mailboxes")).text


async def test_other_users_are_shown_as_providers_and_admins(house: House, bag: Postbag) -> None:
    box = await busy(bag)
    text = (await (await house.browser(OWNER)).get(f"/mailboxes/{box}")).text
    assert "To a mailbox at Outlook.com" in text
    assert text.count("From a mailbox at Outlook.com") == 1  # what did not arrive is the sender's business
    assert [who for who in ("strange", "other.test", ADMIN, OTHER, "their trouble") if who in text] == []
    assert re.findall(r"</time>, ([a-z ]+): because", text) == ["an admin", "an admin", "its owner"]
    seen = (await (await house.browser(ADMIN)).get(f"/mailboxes/{box}")).text
    assert "strange.person@other.test" in seen
    assert f"{OTHER}: because" in seen


@pytest.mark.parametrize("path", ["/mailboxes/{}", "/mailboxes/{}/live"])
async def test_mailbox_of_another_is_not_there(house: House, bag: Postbag, path: str) -> None:
    box = await bag.mailbox(OTHER, "strange@other.test")
    browser = await house.browser(OWNER)
    answers = [await browser.get(path.format(n), headers=HTML) for n in (box, box + 1000, 2**70)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    assert "There is nothing here" in answers[0].text


async def test_new_mailbox_has_a_page_that_says_what_comes(house: House, bag: Postbag) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test")
    text = (await (await house.browser(OWNER)).get(f"/mailboxes/{box}")).text
    for told in ("Its day has not been opened yet", "No message yet", "Nothing has changed", "None found yet"):
        assert told in text


@pytest.mark.parametrize("state", ["RECEIVE_ONLY", "PAUSED", "SUSPENDED", "AUTH_FAILED"])
async def test_each_state_has_its_word_and_its_way_back(house: House, bag: Postbag, state: str) -> None:
    box = await bag.mailbox(OWNER, "anna@own.test")
    await house.site.db.execute("UPDATE mailboxes SET state = $2, state_reason = 'a reason' WHERE id = $1", box, state)
    text = (await (await house.browser(OWNER)).get(f"/mailboxes/{box}")).text
    assert f">{words.STATES[state][0]}</span>" in text
    assert (f'/mailboxes/{box}/resume"' in text) == (state != "RECEIVE_ONLY")
    assert "`" not in text


async def test_who_is_not_signed_in_is_sent_to_sign_in(house: House, bag: Postbag) -> None:
    answer = await house.open().get("/mailboxes/1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?then=/mailboxes/1")


def test_day_line_tells_each_kind_apart_by_form_and_in_words() -> None:
    hour = dt.timedelta(hours=1)
    statuses = ("SENT", "FAILED", "UNKNOWN", "PROCESSING", "PENDING")
    line = day_line(
        Timeline(
            zone="Europe/Berlin",
            at=NOW,
            opens_at=NOW - 6 * hour,
            closes_at=NOW + 10 * hour,
            tried=[Tried(kind="WARMUP", status=one, at=NOW + (n - 3) * hour) for n, one in enumerate(statuses)],
            planned=[NOW + 3 * hour],
            next_send_at=NOW + 2 * hour,
        )
    )
    assert [word for _, word in line.legend] == [
        "Sent", "Failed", "Outcome lost", "Being sent", "Answer or retry", "Planned", "Next",
    ]  # fmt: skip
    assert '<th scope="row">14:00</th><td>next send' in line.words  # on the mailbox's clock
    assert line.broad.count("<title>") == line.narrow.count("<title>") == 7
