"""Reports over HTTP: whose they are, how they are asked for, and what a download holds."""

import csv
import datetime as dt
from uuid import UUID

import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, House
from warmupd.store.database import Database

PATH = "/api/warmup/reports"
TODAY = NOW.date()


async def fill(db: Database, email: str, number: int, *, sent: int, label: str = "") -> list[int]:
    """Enrol mailboxes of this user, with a day of 40 today and yesterday, of which so many were sent."""
    user: UUID = await db.fetchval("SELECT id FROM users WHERE email = $1", email)
    pool: int = await db.fetchval("SELECT id FROM pools WHERE owner_id = $1", user)
    rows = await db.fetch(
        "INSERT INTO mailboxes (user_id, pool_id, address, labels, smtp_host, smtp_port, smtp_security,"
        " smtp_username, imap_host, imap_port, imap_security, imap_username)"
        " SELECT $1, $2, 'box' || n || '@' || split_part($3, '@', 1) || '.test', $5, 'h', 1, 'TLS', 'u', 'h', 1,"
        " 'TLS', 'u' FROM generate_series(1, $4::int) AS n RETURNING id",
        user,
        pool,
        email,
        number,
        [label] if label else [],
    )
    ids = [row["id"] for row in rows]
    for day in (TODAY, TODAY - dt.timedelta(days=1)):
        await db.execute(
            "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, sent,"
            " taken, attempts, inbox, spam)"
            " SELECT id, $2, $3, $4, $5, 40, 0, 1, $6, $6, $6, greatest($6 - 1, 0), 1 FROM unnest($1::bigint[]) AS id",
            ids,
            day,
            user,
            NOW - dt.timedelta(hours=4),
            NOW + dt.timedelta(hours=12),
            sent,
        )
    return ids


async def test_a_user_reads_what_is_theirs_and_an_admin_everything(house: House) -> None:
    await fill(house.site.db, OWNER, 3, sent=20, label="north")
    await fill(house.site.db, OTHER, 2, sent=10, label="secret")
    for by in ("label", "domain", "provider", "mailbox", "day"):
        told = (await (await house.as_user(OWNER)).get(PATH, params={"by": by})).json()
        assert (told["totals"]["sent"], told["totals"]["quota"]) == (120, 240)
        assert "secret" not in str(told)
        assert "other.test" not in str(told)
    told = (await (await house.as_user(ADMIN)).get(PATH, params={"by": "user"})).json()
    assert {one["key"]: one["counts"]["sent"] for one in told["items"]} == {OWNER: 120, OTHER: 40}
    assert told["totals"]["sent"] == 160


async def test_a_report_by_user_is_an_admins(house: House) -> None:
    for path in (PATH, f"{PATH}/csv"):
        assert (await (await house.as_user(OWNER)).get(path, params={"by": "user"})).status_code == 403


async def test_pages_end_and_the_span_is_kept_to(house: House) -> None:
    await fill(house.site.db, OWNER, 3, sent=20)
    client = await house.as_user(OWNER)
    asked = {"by": "mailbox", "limit": "2", "from": str(TODAY), "to": str(TODAY)}
    first = (await client.get(PATH, params=asked)).json()
    second = (await client.get(PATH, params={**asked, "cursor": first["next_cursor"]})).json()
    assert [one["key"] for one in first["items"] + second["items"]] == [f"box{n}@owner.test" for n in (1, 2, 3)]
    assert second["next_cursor"] is None
    assert (first["first_day"], first["last_day"], first["totals"]["sent"]) == (str(TODAY), str(TODAY), 60)


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "2026-06-02", "to": "2026-06-01"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"from": "0001-01-01"},
        {"to": "9999-12-31"},
        {"by": "colour"},
        {"cursor": "nonsense"},
        {"by": "mailbox", "cursor": "WyJhIiwiYiJd"},  # ["a","b"]
        {"by": "user", "cursor": "WyJhIiwiYiJd"},
        {"cursor": "W251bGwsbnVsbF0"},  # [null,null]
        {"limit": "0"},
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_its_reason(house: House, asked: dict[str, str]) -> None:
    answer = await (await house.as_user(ADMIN)).get(PATH, params=asked)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_download_holds_every_line_and_no_formula(house: House) -> None:
    await fill(house.site.db, OWNER, 3, sent=20, label="=cmd|'/C calc'!A0")
    await fill(house.site.db, OTHER, 1, sent=1)
    client = await house.as_user(OWNER)
    answer = await client.get(f"{PATH}/csv", params={"by": "label"})
    rows = list(csv.reader(answer.text.splitlines()))
    assert rows[0][:4] == ["label", "id", "quota", "sent"]
    assert [row[0] for row in rows[1:]] == ["'=cmd|'/C calc'!A0"]
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader((await client.get(f"{PATH}/csv", params={"by": "mailbox"})).text.splitlines()))
    assert [(row[0], row[3]) for row in rows[1:]] == [(f"box{n}@owner.test", "40") for n in (1, 2, 3)]


@pytest.mark.parametrize("by", ["label", "domain", "provider", "mailbox", "day"])
async def test_the_page_shows_the_report_and_leads_to_its_file(house: House, by: str) -> None:
    await fill(house.site.db, OWNER, 3, sent=20, label="north")
    await fill(house.site.db, OTHER, 1, sent=7, label="secret")
    client = await house.browser(OWNER)
    answer = await client.get("/reports", params={"by": by})
    assert answer.status_code == 200
    for told in ("of a quota of 240", "50.0 %", "95.0 %", "Sent a day", "Where it landed", f"/reports/csv?by={by}"):
        assert told in answer.text
    assert "secret" not in answer.text
    assert "other.test" not in answer.text
    assert (await client.get("/reports/csv", params={"by": by})).text.count("\n") == {"mailbox": 4, "day": 3}.get(by, 2)


async def test_the_page_says_what_is_wrong_with_a_span_and_shows_another(house: House) -> None:
    client = await house.browser(OWNER)
    for asked in ({"from": "yesterday"}, {"from": "2026-06-02", "to": "2026-06-01"}, {"from": "1999-01-01"}):
        answer = await client.get("/reports", params=asked)
        assert answer.status_code == 422
        assert "The last 30 days are shown." in answer.text


async def test_a_page_without_days_says_what_to_do(house: House) -> None:
    answer = await (await house.browser(OWNER)).get("/reports")
    assert "Nothing to report yet" in answer.text


async def test_a_user_who_asks_by_user_gets_days(house: House) -> None:
    await fill(house.site.db, OWNER, 1, sent=20)
    await fill(house.site.db, OTHER, 1, sent=20)
    answer = await (await house.browser(OWNER)).get("/reports", params={"by": "user"})
    assert "By day" in answer.text
    assert OTHER not in answer.text
    assert OTHER in (await (await house.browser(ADMIN)).get("/reports", params={"by": "user"})).text
