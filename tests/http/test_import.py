"""Importing a CSV file by page and API: seen before it is saved, told row by row, and nothing secret left behind."""

import asyncio
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile

import httpx
import pytest

from tests.http.conftest import OTHER, OWNER, House
from tests.http.mail_world import ANNA, BERT, PASSWORDS, MailWorld, csrf_of, password_world, post
from warmupd.daemon.import_run import Imports
from warmupd.store.enrolment import known_addresses


@pytest.fixture
async def mail(house: House) -> AsyncIterator[MailWorld]:
    async with password_world(house) as world:
        yield world


def imports_of(browser: httpx.AsyncClient) -> Imports:
    transport = browser._transport
    assert isinstance(transport, httpx.ASGITransport)
    imports: Imports = transport.app.state.imports  # type: ignore[attr-defined]  # FastAPI's
    return imports


async def upload(browser: httpx.AsyncClient, sheet: str, **fields: str) -> str:
    """The page of the import, once its rows have been read."""
    csrf = csrf_of(await browser.get("/add/import"))
    files = {"file": ("boxes.csv", sheet.encode(), "text/csv")}
    answer = await browser.post("/add/import", data={**fields, "csrf": csrf}, files=files)
    assert answer.status_code == 303, answer.text
    await imports_of(browser).idle()
    return answer.headers["location"]


def rows(mail: MailWorld) -> str:
    return mail.sheet(f"{ANNA},{PASSWORDS[ANNA]}", f"{BERT},wrong-hush", "nobody,pw-hush", f"{ANNA},again-hush")


async def test_rows_are_shown_before_anything_is_saved(house: House, mail: MailWorld) -> None:
    browser = await house.browser(OWNER)
    page = await browser.get(await upload(browser, rows(mail)))
    assert "Check and add 2 mailboxes" in page.text
    assert "its address stands in row 2 already" in page.text.lower()
    assert "hush" not in page.text
    assert await known_addresses(house.site.db, [ANNA, BERT]) == {}


async def test_good_rows_are_saved_and_the_others_told(house: House, mail: MailWorld) -> None:
    browser = await house.browser(OWNER)
    place = await upload(browser, rows(mail), labels="client-a")
    await post(browser, f"{place}/start", {})
    await imports_of(browser).idle()
    page = await browser.get(place)
    assert "It is done" in page.text
    assert "was not let in" in page.text
    assert "hush" not in page.text
    assert set(await known_addresses(house.site.db, [ANNA, BERT])) == {ANNA}


async def test_rejected_rows_come_back_as_a_file_that_can_be_imported(house: House, mail: MailWorld) -> None:
    browser = await house.browser(OWNER)
    place = await upload(browser, rows(mail) + "\n=1+1,-pw-hush" + ",x" * 6)
    await post(browser, f"{place}/start", {})
    await imports_of(browser).idle()
    file = await browser.get(f"{place}/rejected.csv")
    assert file.headers["cache-control"] == "no-store"
    assert "attachment" in file.headers["content-disposition"]
    assert PASSWORDS[ANNA] not in file.text
    assert "wrong-hush" in file.text
    cells = [cell for line in file.text.splitlines() for cell in line.lstrip("\ufeff")[1:-1].split('","')]
    assert not [cell for cell in cells if cell[:1] in "=+-@" and cell]
    assert "'-pw-hush" in cells
    page = await browser.get(await upload(browser, file.text.replace("wrong-hush", PASSWORDS[BERT])))
    assert "Check and add 1 mailbox<" in page.text


async def test_nothing_uploaded_is_stored_in_clear_and_the_sheet_goes_when_it_is_done(
    house: House, mail: MailWorld
) -> None:
    browser = await house.browser(OWNER)
    place = await upload(browser, rows(mail))
    (row,) = await house.site.db.fetch("SELECT imports::text AS text FROM imports")
    assert b"hush".hex() not in row["text"]
    assert "hush" not in row["text"]
    await post(browser, f"{place}/start", {})
    await imports_of(browser).idle()
    (row,) = await house.site.db.fetch("SELECT sheet, state::text AS state FROM imports")
    assert (row["sheet"], row["state"]) == (b"", "DONE")


async def test_import_of_another_user_is_not_there(house: House, mail: MailWorld) -> None:
    owner, other = await house.browser(OWNER), await house.browser(OTHER)
    place = await upload(owner, rows(mail))
    for path in (place, f"{place}/rejected.csv", "/add/import/00000000-0000-0000-0000-000000000000", "/add/import/x"):
        assert (await other.get(path)).status_code == 404
    assert (await post(other, f"{place}/start", {})).status_code == 404
    assert "Your last import" not in (await other.get("/add/import")).text
    assert "Your last import" in (await owner.get("/add/import")).text


async def test_import_whose_worker_died_is_begun_again_elsewhere(house: House, mail: MailWorld) -> None:
    browser = await house.browser(OWNER)
    place = await upload(browser, rows(mail))
    lost = "UPDATE imports SET state = 'CHECKING', beat_at = clock_timestamp() - interval '31 seconds'"
    await house.site.db.execute(lost)
    assert "no sign of life" in (await browser.get(place)).text
    await post(browser, f"{place}/start", {})
    await imports_of(browser).idle()
    assert "It is done" in (await browser.get(place)).text


async def test_worker_that_stops_says_so(house: House, mail: MailWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, begun = await house.browser(OWNER), asyncio.Event()
    place = await upload(browser, rows(mail))

    async def hang(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("warmupd.daemon.importing.Import.check", hang)
    await post(browser, f"{place}/start", {})
    await begun.wait()
    assert (await post(browser, f"{place}/start", {})).status_code == 409
    await imports_of(browser).close()
    page = await browser.get(place)
    assert "was stopped" in page.text
    assert "Begin again" in page.text


async def test_upload_touches_no_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is larger than what a form's file may usually have in memory."""
    spooled: list[str] = []
    monkeypatch.setattr(SpooledTemporaryFile, "rollover", lambda _: spooled.append("to disk"))
    browser = await house.browser(OWNER)
    csrf = csrf_of(await browser.get("/add/import"))
    files = {"file": ("boxes.csv", b"name,colour\n" + bytes(3 << 19), "text/csv")}
    assert (await browser.post("/add/import", data={"csrf": csrf}, files=files)).status_code == 422
    assert spooled == []


async def test_upload_that_is_no_form_is_refused(house: House) -> None:
    browser = await house.browser(OWNER)
    headers = {"content-type": "multipart/form-data"}
    assert (await browser.post("/add/import", content=b"no form", headers=headers)).status_code == 400


@pytest.mark.parametrize("sheet", ["", "PK\x03\x04", "name,colour\na,b", 'email,password\n"a'])
async def test_file_that_is_none_is_refused_with_the_reason(house: House, mail: MailWorld, sheet: str) -> None:
    browser = await house.browser(OWNER)
    csrf = csrf_of(await browser.get("/add/import"))
    files = {"file": ("boxes.csv", sheet.encode(), "text/csv")}
    answer = await browser.post("/add/import", data={"csrf": csrf}, files=files)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


async def test_api_answers_row_by_row(house: House, mail: MailWorld) -> None:
    client = await house.as_user(OWNER)
    answer = await client.post(
        "/api/warmup/mailboxes/import", content=rows(mail), headers={"content-type": "text/csv"}, params={"label": "a"}
    )
    assert answer.status_code == 200, answer.text
    assert [row["result"] for row in answer.json()["rows"]] == ["enrolled", "rejected", "rejected", "rejected"]
    assert "hush" not in answer.text
    assert "--" not in answer.text


async def test_api_dry_run_saves_nothing(house: House, mail: MailWorld) -> None:
    client = await house.as_user(OWNER)
    answer = await client.post("/api/warmup/mailboxes/import", content=rows(mail), params={"dry_run": True})
    assert answer.json()["counts"]["good"] == 1
    assert await known_addresses(house.site.db, [ANNA, BERT]) == {}
