"""Lists of mailboxes on the API: who fits, in what order, page by page; and what is done to one."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, House
from warmupd.store.accounts import NewMailbox
from warmupd.store.enrolment import Sealed, Wish, enrol
from warmupd.store.removals import remove_mailboxes

BAD_TEXTS = ["\x00", "%00", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "'; --", "%", "_"]


async def add(house: House, email: str, address: str, **columns: Any) -> int:
    """A mailbox of that user, its day open, half of its window over."""
    db = house.site.db
    user: UUID = await db.fetchval("SELECT id FROM users WHERE email = $1", email)
    new = NewMailbox(
        user_id=user, address=address, display_name="", smtp_host="smtp.test", smtp_port=587,
        smtp_security="STARTTLS", smtp_username="u", imap_host="imap.test", imap_port=993, imap_security="TLS",
        imap_username="u", labels=columns.pop("labels", ()), provider=columns.pop("provider", "other"),
    )  # fmt: skip
    (mailbox,) = await enrol(db, user, [Wish(new=new, seal=lambda _: Sealed(smtp=b"x", imap=b"x"))], actor="t", at=NOW)
    assert isinstance(mailbox, int)
    day = {"quota": 40, "taken": 20, "sent": 20, "opens": -8, "closes": 8} | columns.pop("day", {})
    await db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken, sent)"
        " VALUES ($1, $2, $3, $4, $5, $6, 0, 3, $7, $8)",
        mailbox,
        NOW.date(),
        user,
        NOW + dt.timedelta(hours=day["opens"]),
        NOW + dt.timedelta(hours=day["closes"]),
        day["quota"],
        day["taken"],
        day["sent"],
    )
    for column, value in columns.items():
        await db.execute(f"UPDATE mailboxes SET {column} = $2 WHERE id = $1", mailbox, value)
    return mailbox


async def addresses(client: Any, path: str = "/api/warmup/mailboxes", **query: Any) -> list[str]:
    """Of all pages."""
    found: list[str] = []
    while True:
        answer = await client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [row.get("address") or row["mailbox"] for row in page["items"]]
        if page["next_cursor"] is None:
            return [address.partition("@")[0] for address in found]
        query["cursor"] = page["next_cursor"]


async def six(house: House) -> None:
    await add(house, OWNER, "anna@one.test", labels=("red",), provider="gmail", day={"sent": 40, "taken": 40})
    await add(house, OWNER, "Bert@two.test", labels=("red", "blue"), day={"sent": 2, "taken": 2})
    await add(house, OWNER, "cleo@one.test", state="PAUSED")
    await add(house, OWNER, "dora@one.test", state="AUTH_FAILED")
    await add(house, OWNER, "emil@two.test", day={"opens": 2})
    await add(house, OTHER, "anna@other.test", labels=("red",))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["anna", "Bert", "cleo", "dora", "emil"]),
        ({"sort": "newest"}, ["emil", "dora", "cleo", "Bert", "anna"]),
        ({"sort": "state"}, ["anna", "Bert", "emil", "cleo", "dora"]),
        ({"search": "ERT"}, ["Bert"]),
        ({"label": "red"}, ["anna", "Bert"]),
        ({"domain": "Two.test"}, ["Bert", "emil"]),
        ({"provider": "gmail"}, ["anna"]),
        ({"state": "PAUSED"}, ["cleo"]),
        ({"status": "met"}, ["anna"]),
        ({"status": "behind"}, ["Bert"]),
        ({"status": "not_open"}, ["emil"]),
        ({"status": "off"}, ["cleo"]),
        ({"status": "needs_attention", "sort": "newest"}, ["dora"]),
        ({"user": OTHER}, []),
        ({"search": "%"}, []),
    ],
)
async def test_list_holds_what_fits_and_is_the_owners(house: House, query: dict[str, str], found: list[str]) -> None:
    await six(house)
    client = await house.as_user(OWNER)
    assert await addresses(client, limit=2, **query) == found


@pytest.mark.parametrize(("sort", "first"), [("deficit", "Bert"), ("fill", "Bert"), ("score", "good")])
async def test_ranked_lists_begin_with_the_worst(house: House, sort: str, first: str) -> None:
    await six(house)
    good = await add(house, OWNER, "good@one.test")
    await house.site.db.execute("UPDATE mailbox_days SET inbox = 20, spam = 2 WHERE mailbox_id = $1", good)
    found = await addresses(await house.as_user(OWNER), limit=4, sort=sort)
    assert found[0] == first
    assert len(found) == 6


async def test_admin_sees_everybodys_and_may_ask_for_one_users(house: House) -> None:
    await six(house)
    admin = await house.as_user(ADMIN)
    assert len(await addresses(admin, limit=4)) == 6
    assert await addresses(admin, user=OTHER.upper()) == ["anna"]
    assert await addresses(admin, sort="deficit", user=OTHER, status="on_track") == ["anna"]


async def test_quota_tells_the_numbers_of_the_day(house: House) -> None:
    await six(house)
    client = await house.as_user(OWNER)
    (row,) = (await client.get("/api/warmup/quota?status=behind")).json()["items"]
    assert (row["mailbox"], row["quota"], row["sent"], row["fill_rate"]) == ("Bert@two.test", 40, 2, 0.05)
    assert row["deficit"] == 18.6  # of 40 in 16 h without the tail, 8 h of them over
    page = (await client.get("/api/warmup/quota")).json()
    assert (page["total"], page["total_is_exact"]) == (5, True)


@pytest.mark.parametrize("path", ["/api/warmup/mailboxes", "/api/warmup/quota"])
@pytest.mark.parametrize("cursor", ["x", "WzEsMl0", "Wy0xLCJhIl0", "WzEsbnVsbF0"])
async def test_foreign_cursor_is_refused(house: House, path: str, cursor: str) -> None:
    client = await house.as_user(OWNER)
    assert (await client.get(path, params={"cursor": cursor})).status_code == 422
    bogus = await client.get(path, params={"sort": "state", "cursor": "WzEsIk5PTkUiLCJhIl0"})
    assert bogus.status_code == 422


@pytest.mark.parametrize("text", BAD_TEXTS)
async def test_odd_text_finds_nothing_and_breaks_nothing(house: House, text: str) -> None:
    client = await house.as_user(OWNER)
    for name in ("search", "label", "domain", "provider", "user"):
        assert (await client.get("/api/warmup/mailboxes", params={name: text})).status_code in {200, 422}


# -- one mailbox ------------------------------------------------------------------------------------------------------


async def test_pause_and_resume_tell_what_became_of_it(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test")
    client = await house.as_user(OWNER)
    paused = (await client.post(f"/api/warmup/mailboxes/{box}/pause", json={"reason": "holidays"})).json()
    assert (paused["state"], paused["changed"]) == ("PAUSED", True)
    again = (await client.post(f"/api/warmup/mailboxes/{box}/pause")).json()
    assert (again["changed"], again["text"]) == (False, "PAUSED already, holidays")
    back = (await client.post(f"/api/warmup/mailboxes/{box}/resume", json={"receive_only": True})).json()
    assert back["state"] == "RECEIVE_ONLY"
    actor = await house.site.db.fetchval("SELECT actor FROM state_changes WHERE became = 'RECEIVE_ONLY'")
    assert actor == OWNER


async def test_removal_can_be_undone_by_its_owner_alone(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test")
    client, other = await house.as_user(OWNER), await house.as_user(OTHER)
    gone = (await client.delete(f"/api/warmup/mailboxes/{box}")).json()
    assert gone["state"] == "REMOVED"
    assert await addresses(client) == []
    assert (await other.get("/api/warmup/removed-mailboxes")).json()["items"] == []
    assert (await other.post(f"/api/warmup/mailboxes/{box}/undo-removal")).status_code == 404
    assert len((await client.get("/api/warmup/removed-mailboxes")).json()["items"]) == 1
    assert (await client.post(f"/api/warmup/mailboxes/{box}/undo-removal")).json()["state"] == "ACTIVE"


async def test_removed_mailboxes_come_page_by_page(house: House) -> None:
    boxes = [await add(house, OWNER, f"box{n}@one.test") for n in range(3)]
    other = await add(house, OTHER, "box@other.test")
    at = house.site.clock.now()
    for box in (*boxes, other, await add(house, OWNER, "last@one.test")):
        await remove_mailboxes(house.site.db, [box], actor="t", reason="", clean=False, at=at)
        at += dt.timedelta(minutes=1)
    again = await add(house, OWNER, "box0@one.test")
    await remove_mailboxes(house.site.db, [again], actor="t", reason="", clean=False, at=at)
    client = await house.as_user(OWNER)
    assert await addresses(client, "/api/warmup/removed-mailboxes", limit=1) == ["box1", "box2", "last", "box0"]
    assert (await client.get("/api/warmup/removed-mailboxes?cursor=WyJ4IiwxXQ")).status_code == 422
    assert (await client.get("/api/warmup/removed-mailboxes?limit=0")).status_code == 422


async def test_address_that_was_enrolled_anew_keeps_the_old_one_away(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test")
    client = await house.as_user(OWNER)
    await client.delete(f"/api/warmup/mailboxes/{box}")
    await add(house, OWNER, "anna@one.test")
    assert (await client.post(f"/api/warmup/mailboxes/{box}/undo-removal")).status_code == 409


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/check"), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", ""), ("PATCH", ""),
        ("POST", "/undo-removal"),
    ],
)  # fmt: skip
async def test_anothers_mailbox_answers_as_one_that_does_not_exist(house: House, method: str, path: str) -> None:
    box = await add(house, OTHER, "anna@other.test")
    client = await house.as_user(OWNER)
    body: dict[str, Any] = {"json": {"target_daily": 20}} if method == "PATCH" else {}
    theirs = await client.request(method, f"/api/warmup/mailboxes/{box}{path}", **body)
    nobodys = await client.request(method, f"/api/warmup/mailboxes/999{path}", **body)
    assert theirs.status_code == 404
    assert theirs.content == nobodys.content
    assert await house.site.db.fetchval("SELECT state || target_daily::text FROM mailboxes WHERE id = $1", box) is None


async def test_check_tells_which_server_refused(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test", smtp_host="127.0.0.1", imap_host="127.0.0.1")
    answer = (await (await house.as_user(OWNER)).post(f"/api/warmup/mailboxes/{box}/check")).json()
    assert answer["ok"] is False
    assert answer["refusals"][0]["message"]


# -- settings ---------------------------------------------------------------------------------------------------------


async def test_settings_are_changed_and_told(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test", labels=("red",))
    client = await house.as_user(OWNER)
    patch = {"target_daily": 35, "timezone": "Europe/Berlin", "add_labels": ["new"], "remove_labels": ["red"]}
    answer = (await client.patch(f"/api/warmup/mailboxes/{box}", json=patch)).json()
    assert answer["changes"] == ["time zone Europe/Berlin", "daily target 35", "label new added", "label red removed"]
    assert answer["from_next_day"] is True
    row = await house.site.db.fetchrow("SELECT target_daily, timezone, labels FROM mailboxes WHERE id = $1", box)
    assert tuple(row or ()) == (35, "Europe/Berlin", ["new"])
    await client.patch(f"/api/warmup/mailboxes/{box}", json={"target_daily": None})
    assert await house.site.db.fetchval("SELECT target_daily FROM mailboxes WHERE id = $1", box) is None


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"target_daily": 2001}, "body.target_daily"),
        ({"timezone": "Mars/Base"}, "body.timezone"),
        ({"add_labels": ["two words"]}, "body.add_labels"),
        ({"smtp_host": None}, "body.smtp_host"),
        ({"state": "ACTIVE"}, "body.state"),
        ({"provider": "nobody"}, "body.provider"),
        ({"imap_password": "x"}, "body.password"),
        ({"target_daily": 10**30}, "body.target_daily"),
    ],
)
async def test_bad_setting_names_its_field(house: House, patch: dict[str, Any], field: str) -> None:
    box = await add(house, OWNER, "anna@one.test")
    answer = await (await house.as_user(OWNER)).patch(f"/api/warmup/mailboxes/{box}", json=patch)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "patch",
    [
        {"start_hour": 22, "end_hour": 6},
        {"min_daily": 50, "target_daily": 40},
        {"pool": "nowhere"},
        {"language": "xx"},
        {"smtp_host": "127.0.0.1"},
        {},
    ],
)
async def test_what_cannot_be_together_changes_nothing(house: House, patch: dict[str, Any]) -> None:
    box = await add(house, OWNER, "anna@one.test")
    before = await house.site.db.fetchrow("SELECT * FROM mailboxes WHERE id = $1", box)
    answer = await (await house.as_user(OWNER)).patch(f"/api/warmup/mailboxes/{box}", json=patch)
    assert answer.status_code == 422, answer.text
    assert await house.site.db.fetchrow("SELECT * FROM mailboxes WHERE id = $1", box) == before


async def test_only_an_admin_sets_more_than_the_provider_takes(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test", provider="gmail")
    owner, admin = await house.as_user(OWNER), await house.as_user(ADMIN)
    assert (await owner.patch(f"/api/warmup/mailboxes/{box}", json={"provider_limit": 501})).status_code == 403
    assert (await owner.patch(f"/api/warmup/mailboxes/{box}", json={"provider_limit": 400})).status_code == 200
    assert (await admin.patch(f"/api/warmup/mailboxes/{box}", json={"provider_limit": 2000})).status_code == 200


async def test_new_password_ends_a_refused_login_and_is_never_told(house: House) -> None:
    box = await add(house, OWNER, "anna@one.test", state="AUTH_FAILED")
    client = await house.as_user(ADMIN)
    answer = await client.patch(f"/api/warmup/mailboxes/{box}", json={"password": "hunter22", "check": False})
    assert answer.json()["changes"] == ["a new password"]
    assert "hunter22" not in answer.text
    assert await house.site.db.fetchval("SELECT state FROM mailboxes WHERE id = $1", box) == "ACTIVE"
