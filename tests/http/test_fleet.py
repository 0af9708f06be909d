"""The fleet over HTTP: for admins alone, on the functions of the command line, and told in the history."""

from uuid import uuid4

import pytest

from tests.http.conftest import ADMIN, NOW, OWNER, House
from warmupd.daemon.fleet_report import disagreements
from warmupd.store.lineage import close_for_move
from warmupd.store.slots import register_worker

CONTROL, FLEET, CHANGES = "/api/warmup/control", "/api/warmup/fleet", "/api/warmup/state-changes"


async def test_stop_start_and_trigger_are_written_down_with_who_did_it(house: House) -> None:
    client = await house.as_user(ADMIN)
    told = [(await client.post(CONTROL, json={"action": word})).json() for word in ("stop", "stop", "start", "trigger")]
    assert [(one["changed"], one["sending_stopped"]) for one in told] == [
        (True, True),
        (False, True),
        (True, False),
        (True, False),
    ]
    changes = (await client.get(CHANGES, params={"subject": "fleet"})).json()["items"]
    assert [(one["actor"], one["became"]) for one in changes] == [
        (ADMIN, "TRIGGERED"),
        (ADMIN, "STARTED"),
        (ADMIN, "STOPPED"),
    ]


async def test_the_fleet_is_resized_and_shown(house: House) -> None:
    client = await house.as_user(ADMIN)
    assert (await client.post(f"{FLEET}/resize", json={"slots": 16})).json() == {"was": 64, "slots": 16}
    limits = {"global_per_hour": 5.0, "user_per_hour": 300.0}
    await register_worker(house.site.db, uuid4(), name="w1", http_address="", version="1", limits=limits, at=NOW)
    told = (await client.get(FLEET)).json()
    assert (told["slots"], told["slots_held"], told["throttle"]) == (16, 0, 1.0)
    assert [one["name"] for one in told["workers"]] == ["w1"]
    assert [(one["limit"], one["wants"], one["in_force"]) for one in told["disagreements"]] == [
        ("global_per_hour", 5.0, 10_000.0)
    ]
    assert {one["cap"] for one in told["caps"]} == {"global_hour", "global_minute"}


@pytest.mark.parametrize("slots", [0, 4097, -1, "many", None, 2**70])
async def test_a_size_that_cannot_be_is_refused(house: House, slots: object) -> None:
    answer = await (await house.as_user(ADMIN)).post(f"{FLEET}/resize", json={"slots": slots})
    assert answer.status_code == 422


async def test_a_user_may_not_look_at_the_fleet_nor_steer_it(house: House) -> None:
    client = await house.as_user(OWNER)
    assert (await client.get(FLEET)).status_code == 403
    assert (await client.post(CONTROL, json={"action": "stop"})).status_code == 403
    assert (await client.post(f"{FLEET}/resize", json={"slots": 1})).status_code == 403
    assert not await house.site.db.fetchval("SELECT sending_stopped FROM settings")


async def test_an_unknown_action_is_refused(house: House) -> None:
    answer = await (await house.as_user(ADMIN)).post(CONTROL, json={"action": "STOP"})
    assert answer.status_code == 422


def test_limits_that_a_worker_does_not_know_are_no_disagreement() -> None:
    assert disagreements("w", {"a": 1.0}, {"a": 1.0, "b": 2.0}) == []


def _form(text: str, **values: str) -> dict[str, str]:
    return {"csrf": text.split('name="csrf" value="')[1].split('"', maxsplit=1)[0], **values}


async def test_the_page_stops_starts_and_resizes(house: House) -> None:
    client = await house.browser(ADMIN)
    page = (await client.get("/fleet")).text
    await client.post("/fleet/control", data=_form(page, action="stop"))
    assert "Sending is stopped" in (await client.get("/fleet")).text
    await client.post("/fleet/control", data=_form(page, action="start"))
    unsure = await client.post("/fleet/resize", data=_form(page, slots="8"))
    assert unsure.status_code == 422
    assert "Tick the box first" in unsure.text
    assert (await client.post("/fleet/resize", data=_form(page, slots="8", sure="yes"))).status_code == 303
    settings = await house.site.db.fetchrow("SELECT worker_count, sending_stopped FROM settings")
    assert tuple(settings or ()) == (8, False)
    assert "64 →" in (await client.get("/fleet")).text


async def test_the_page_tells_that_the_database_moved_away(house: House) -> None:
    await close_for_move(house.site.db)
    client = await house.browser(ADMIN)
    page = (await client.get("/fleet")).text
    assert "another one goes on in its place" in page
    assert "Start sending" not in page


async def test_the_live_part_of_the_page_is_a_fragment(house: House) -> None:
    answer = await (await house.browser(ADMIN)).get("/fleet/live")
    assert "No worker is running" in answer.text
    assert "<html" not in answer.text


@pytest.mark.parametrize("path", ["/fleet", "/fleet/live"])
async def test_for_a_user_there_is_no_such_page(house: House, path: str) -> None:
    client = await house.browser(OWNER)
    answer, nothing = await client.get(path), await client.get("/no-such-page")
    assert (answer.status_code, answer.json()) == (nothing.status_code, nothing.json())
    form = _form((await client.get("/settings")).text, action="stop", slots="1", sure="yes")
    for address in ("/fleet/control", "/fleet/resize"):
        assert (await client.post(address, data=form)).status_code == 404
    assert await house.site.db.fetchval("SELECT worker_count FROM settings WHERE NOT sending_stopped") == 64
