"""The overview's page and API: an owner's numbers are theirs alone, an admin's are everybody's."""

import asyncio
import datetime as dt
from uuid import UUID

import pytest

from tests.http.conftest import ADMIN, NOW, OTHER, OWNER, House
from tests.http.postbag import Postbag
from warmupd.core.window import local_day
from warmupd.daemon.kept import Kept
from warmupd.daemon.placement import history_of
from warmupd.store import partitions
from warmupd.store.access import access_by_email
from warmupd.store.counts import DayPlacements
from warmupd.store.lineage import close_for_move

TODAY = NOW.date()


async def user_id(house: House, email: str) -> UUID:
    access = await access_by_email(house.site.db, email)
    assert access is not None
    return access.user_id


async def enrol(house: House, email: str, number: int, *, sent: int = 4, state: str = "ACTIVE") -> list[int]:
    """Mailboxes with a day of ten, on which so many are sent."""
    db, owner = house.site.db, await user_id(house, email)
    await partitions.make_partitions(db, TODAY)
    rows = await db.fetch(
        "INSERT INTO mailboxes (user_id, pool_id, address, state, smtp_host, smtp_port, smtp_security, smtp_username,"
        " imap_host, imap_port, imap_security, imap_username)"
        " SELECT $1, (SELECT id FROM pools WHERE owner_id = $1), lower($2) || n || '-' || $1 || '@mark.test',"
        " $2::text::mailbox_state, 'h', 1, 'TLS', 'u', 'h', 1, 'TLS', 'u' FROM generate_series(1, $3::integer) AS n"
        " RETURNING id",
        owner,
        state,
        number,
    )
    ids = [row["id"] for row in rows]
    await db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken, sent,"
        " attempts) SELECT id, $2, $3, $4, $5, 10, 10, 9, $6, $6, $6 FROM unnest($1::bigint[]) AS id",
        ids,
        TODAY,
        owner,
        NOW - dt.timedelta(hours=4),
        NOW + dt.timedelta(hours=12),
        sent,
    )
    return ids


async def count(house: House, email: str) -> None:
    """Sends of this and of yesterday's hour, and where ninety messages of two days landed."""
    owner = await user_id(house, email)
    await house.site.db.execute(
        "INSERT INTO send_counts SELECT $1, $2::timestamptz - make_interval(hours => h), h + 1"
        " FROM unnest(ARRAY[0, 1, 24, 25]) AS h",
        owner,
        NOW,
    )
    await house.site.db.execute(
        "INSERT INTO placement_counts SELECT $1, $2::date - n, 'gmail', 40, 5, 0, 1, 2 FROM unnest(ARRAY[0, 20]) AS n",
        owner,
        TODAY,
    )


async def test_owner_sees_their_own_metrics_and_an_admin_all(house: House) -> None:
    await enrol(house, OWNER, 2, sent=10)
    await enrol(house, OTHER, 3, sent=0)
    own = (await (await house.as_user(OWNER)).get("/api/warmup/metrics")).json()
    whole = (await (await house.as_user(ADMIN)).get("/api/warmup/metrics")).json()
    assert (own["today"]["sent"], own["today"]["quota"], own["progress"]["met"]) == (20, 20, 2)
    assert (whole["today"]["sent"], whole["today"]["quota"], whole["progress"]["behind"]) == (20, 50, 3)
    assert own["today"]["fill_rate"] == 1.0


async def test_owner_learns_nothing_of_the_fleet(house: House) -> None:
    await enrol(house, OTHER, 3, sent=0)
    await enrol(house, OTHER, 2, state="AUTH_FAILED")
    await count(house, OTHER)
    client = await house.as_user(OWNER)
    told = (await client.get("/api/warmup/metrics")).json()
    assert (told["today"]["quota"], told["mailboxes"], told["attention"], told["loads"]) == (0, {}, [], [])
    assert (await client.get("/api/warmup/placement")).json()["total"]["inbox"] == 0
    assert sum(day["emails_sent"] for day in (await client.get("/api/warmup/throughput")).json()["days"]) == 0


async def test_admins_numbers_are_kept_and_tell_their_age(house: House) -> None:
    admin = await house.as_user(ADMIN)
    first = (await admin.get("/api/warmup/metrics")).json()
    await enrol(house, OWNER, 2)
    again = (await admin.get("/api/warmup/metrics")).json()
    assert again["at"] == first["at"]
    assert again["age_seconds"] >= first["age_seconds"]


async def test_placement_counts_the_days_that_are_asked_for(house: House) -> None:
    await count(house, OWNER)
    client = await house.as_user(OWNER)
    week = (await client.get("/api/warmup/placement")).json()
    month = (await client.get("/api/warmup/placement?days=30")).json()
    assert (week["total"]["inbox"], week["total"]["rescued"], len(week["by_day"])) == (40, 2, 7)
    assert (month["total"]["inbox"], month["by_provider"][0]["provider"], len(month["by_day"])) == (80, "gmail", 30)
    assert month["total"]["inbox_rate"] == round(80 / 90, 4)
    assert (await client.get("/api/warmup/placement?days=8")).status_code == 422


@pytest.mark.parametrize(("hour", "viewer", "sender"), [(20, "UTC", "Asia/Tokyo"), (2, *["America/Los_Angeles"] * 2)])
def test_seven_days_are_seven_and_have_begun_wherever_people_are(hour: int, viewer: str, sender: str) -> None:
    at = NOW.replace(hour=hour)
    newest = local_day(at, sender)
    found = {"inbox": 1, "spam": 0, "other": 0, "missing": 0, "rescued": 0}
    rows = [DayPlacements(day=newest - dt.timedelta(days=n), provider="gmail", **found) for n in range(9)]
    told = history_of(rows, today=local_day(at, viewer), days=7)
    assert [landed.inbox for _, landed in told.by_day] == [1] * 7
    assert (told.by_day[-1][0], told.total.inbox) == (newest, 7)


async def test_last_day_of_placement_is_the_viewers_today(house: House) -> None:
    zone = "UPDATE users SET timezone = 'Pacific/Kiritimati' WHERE email = $1"  # where it is tomorrow
    await house.site.db.execute(zone, OWNER)
    told = (await (await house.as_user(OWNER)).get("/api/warmup/placement")).json()["by_day"]
    assert (len(told), told[-1]["day"]) == (7, (TODAY + dt.timedelta(days=1)).isoformat())


async def test_placement_of_the_only_mailbox_is_that_of_the_overview(house: House) -> None:
    bag = Postbag(db=house.site.db)
    box, friend = await bag.mailbox(OWNER, "anna@own.test"), await bag.mailbox(OTHER, "ben@other.test")
    for days, place in ((0, "INBOX"), (6, "SPAM"), (7, "INBOX")):  # the last was found less than 168 hours ago
        at = NOW - dt.timedelta(days=days) + dt.timedelta(hours=1 if days == 7 else -1)
        await bag.job(box, friend, at=at, found=place)
        await house.site.db.execute(
            f"INSERT INTO placement_counts (user_id, day, provider, {place}) VALUES ($1, $2, 'gmail', 1)",
            await user_id(house, OWNER),
            at.date(),
        )
    client = await house.as_user(OWNER)
    told = (await client.get("/api/warmup/metrics")).json()["placement_7d"]
    assert told == {"INBOX": 1, "SPAM": 1, "OTHER": 0, "MISSING": 0}
    assert (await client.get(f"/api/warmup/mailboxes/{box}")).json()["placement_7d"] == told


async def test_hours_are_those_of_the_zone_that_is_asked_for(house: House) -> None:
    await count(house, OWNER)
    client = await house.as_user(OWNER)
    utc = (await client.get("/api/warmup/throughput")).json()
    delhi = (await client.get("/api/warmup/throughput?zone=Asia/Kolkata")).json()
    assert [day["emails_sent"] for day in utc["days"]] == [25 + 26, 1 + 2]
    assert utc["days"][1]["hours"][10] == {"hour": "2026-06-03T10:00:00Z", "emails_sent": 1}
    assert delhi["days"][1]["hours"][15] == {"hour": "2026-06-03T09:30:00Z", "emails_sent": 1}


@pytest.mark.parametrize("zone", ["Nowhere/At_all", "%00", "../etc/passwd", "%ED%A0%80", ""])
async def test_zone_that_is_none_is_refused(house: House, zone: str) -> None:
    answer = await (await house.as_user(OWNER)).get(f"/api/warmup/throughput?zone={zone}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.zone")


async def test_prometheus_scrapes_the_original_path_from_this_machine_or_with_its_token(house: House) -> None:
    path = "/api/warmup/metrics?format=prometheus"
    remote = house.open("192.0.2.1")
    assert (await house.open().get(path)).text == "warmup_queue_depth 0.0\n"
    assert (await remote.get(path)).status_code == 401
    assert (await remote.get(path, headers={"authorization": "Bearer wrong"})).status_code == 401
    assert (await house.open().get("/api/warmup/metrics")).status_code == 401


async def test_users_exposition_tells_of_their_mailboxes_alone(house: House) -> None:
    await enrol(house, OWNER, 2)
    await enrol(house, OTHER, 3)
    remote = house.open("192.0.2.1")
    answer = await remote.get(
        "/api/warmup/metrics?format=prometheus", headers={"authorization": f"Bearer {await house.token(OWNER)}"}
    )
    assert 'warmup_mailboxes{state="ACTIVE"} 2.0' in answer.text
    assert "queue_depth" not in answer.text


async def test_overview_shows_an_owner_what_is_theirs(house: House) -> None:
    await enrol(house, OWNER, 2)
    (sick,) = await enrol(house, OWNER, 1, state="AUTH_FAILED")
    await enrol(house, OTHER, 3)
    await count(house, OWNER)
    shown = await (await house.browser(OWNER)).get("/?days=30")
    assert shown.status_code == 200
    assert f'href="/mailboxes/{sick}"' in shown.text
    assert mailboxes_told(shown.text) == 3
    assert "Workers and slots" not in shown.text
    assert " style=" not in shown.text


async def test_owner_is_told_no_more_of_the_others_than_that_there_is_too_little_for_all(house: House) -> None:
    await enrol(house, OWNER, 1)
    await enrol(house, OTHER, 5)
    await house.site.db.execute("UPDATE settings SET global_per_hour = 2")
    browser = await house.browser(OWNER)
    async with asyncio.timeout(10):
        while "All users together are owed more" not in (shown := (await browser.get("/overview/live")).text):
            pass
    assert "60 needed" not in shown
    assert "global_per_hour" not in shown


async def test_owner_reads_that_sending_is_slowed_and_an_admin_how_much(house: House) -> None:
    await enrol(house, OWNER, 1)
    await house.site.db.execute("UPDATE settings SET throttle = 0.25")
    shown = {who: (await (await house.browser(who)).get("/overview/live")).text for who in (OWNER, ADMIN)}
    assert "Sending is slowed down for everybody" in shown[OWNER]
    assert "Sending is slowed down to 25 % for everybody" in shown[ADMIN]


async def test_overview_tells_that_the_database_moved_away(house: House) -> None:
    await enrol(house, OWNER, 1)
    await close_for_move(house.site.db)
    shown = {who: (await (await house.browser(who)).get("/overview/live")).text for who in (OWNER, ADMIN)}
    assert "Its operator tells where it goes on" in shown[OWNER]
    assert "backup --move" not in shown[OWNER]
    assert "closed by `warmupd backup --move`" in shown[ADMIN]
    assert "Start it again" not in shown[ADMIN]


async def test_overview_without_a_mailbox_says_what_to_do(house: House) -> None:
    shown = await (await house.browser(OWNER)).get("/")
    assert 'href="/add"' in shown.text


async def test_fragments_are_for_who_is_signed_in(house: House) -> None:
    await enrol(house, OWNER, 2)
    browser = await house.browser(OWNER)
    for path in ("/overview/live", "/overview/charts?days=90&zone=Asia/Tokyo"):
        assert (await browser.get(path)).status_code == 200
        assert (await house.open().get(path)).headers["location"].startswith("/sign-in")


async def test_admin_sees_workers_and_slots(house: House) -> None:
    await enrol(house, OWNER, 2)
    shown = await (await house.browser(ADMIN)).get("/")
    assert "0 of 64 slots are held" in shown.text


def mailboxes_told(text: str) -> int:
    """How many mailboxes the page tells of, all words together."""
    region = text.split('<ul class="progress', 1)[1].split("</ul>", 1)[0]
    return sum(int(part.split("</span>", 1)[0].rsplit(">", 1)[1].replace(",", "")) for part in region.split("<li>")[1:])


async def test_answer_is_computed_once_for_all_who_wait(house: House) -> None:
    calls = []

    async def compute() -> int:
        calls.append(await house.site.db.fetchval("SELECT 1"))
        return len(calls)

    kept = Kept(house.site.clock)
    found = await asyncio.gather(*(kept.get("key", compute) for _ in range(5)))
    assert [value for value, _ in found] == [1] * 5
