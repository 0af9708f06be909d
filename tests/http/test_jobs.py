"""The history of sends: whose it is, how it is filtered and paged, and what it does not tell of other users."""

import datetime as dt

import httpx
import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, SECRET, House
from tests.http.postbag import Postbag
from warmupd.http.disguise import disguise, number_of
from warmupd.store import messages

HERE = "/api/warmup/jobs"
DAY = dt.timedelta(days=1)


@pytest.fixture
def bag(house: House) -> Postbag:
    return Postbag(db=house.site.db)


async def pages(client: httpx.AsyncClient, query: str) -> list[str]:
    """The ids of all jobs, page by page."""
    seen, cursor = [], ""
    while True:
        page = (await client.get(f"{HERE}?limit=2{query}{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return seen
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("few", [200, 0])
async def test_pages_go_back_over_days_and_tell_each_job_once(
    house: House, bag: Postbag, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(messages, "FEW", few)
    one, two = await bag.mailbox(OWNER, "a@own.test"), await bag.mailbox(OWNER, "b@own.test")
    strange = await bag.mailbox(OTHER, "strange@other.test")
    jobs = []
    for back in (2, 1, 0):
        jobs += [await bag.job(*pair, at=NOW - back * DAY) for pair in ((one, two), (two, one), (strange, one))]
    own = [disguise(job, SECRET) for n, job in enumerate(jobs) if n % 3 != 2]
    assert await pages(await house.as_user(OWNER), "") == own[::-1]
    assert await pages(await house.as_user(OWNER), f"&mailbox={one}") == own[::-1][1::2]
    assert await pages(await house.as_user(OWNER), f"&day={(NOW - DAY).date()}") == own[2:4][::-1]
    assert len(await pages(await house.as_user(ADMIN), "")) == 9


async def test_status_is_filtered(house: House, bag: Postbag) -> None:
    one, two = await bag.mailbox(OWNER, "a@own.test"), await bag.mailbox(OWNER, "b@own.test")
    await bag.job(one, two)
    failed = await bag.job(one, two, status="FAILED")
    assert await pages(await house.as_user(OWNER), "&status=FAILED") == [disguise(failed, SECRET)]


async def test_recipient_of_another_user_is_its_provider_only(house: House, bag: Postbag) -> None:
    one = await bag.mailbox(OWNER, "a@own.test", pool="shared")
    strange = await bag.mailbox(OTHER, "strange.person@other.test", provider="outlook", pool="shared")
    refusal = "550 5.1.1 <strange.person@other.test>: strange.person is unknown at other.test, said mx.test"
    await bag.job(one, strange, status="FAILED", error=refusal)
    answer = await (await house.as_user(OWNER)).get(HERE)
    (job,) = answer.json()["items"]
    assert job["recipient"] == {"address": None, "provider": "outlook", "mailbox_id": None}
    assert job["error"].endswith("said mx.test")
    assert "strange" not in answer.text
    assert "other.test" not in answer.text
    assert "strange.person@other.test" in (await (await house.as_user(ADMIN)).get(HERE)).text


@pytest.mark.parametrize("query", ["cursor=abc", "cursor=WyIyMDI2IiwxXQ", "status=sent", "day=nowhen", "mailbox=0"])
async def test_what_makes_no_sense_is_refused(house: House, query: str) -> None:
    assert (await (await house.as_user(OWNER)).get(f"{HERE}?{query}")).status_code == 422


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_day_without_jobs_is_an_empty_page(house: House, day: str) -> None:
    assert (await (await house.as_user(OWNER)).get(f"{HERE}?day={day}")).json() == {"items": [], "next_cursor": None}


def test_disguised_numbers_come_back_and_have_no_order() -> None:
    shown = [disguise(number, SECRET) for number in (*range(100), 2**63 - 1)]
    assert [number_of(text, SECRET) for text in shown] == [*range(100), 2**63 - 1]
    assert shown != sorted(shown)
    assert number_of(shown[1], SECRET + "!") != 1


@pytest.mark.parametrize("text", ["", "x" * 16, " " + "0" * 15, "0x" + "0" * 14, "0" * 400])
def test_what_was_never_shown_is_no_number(text: str) -> None:
    assert number_of(text, SECRET) is None
