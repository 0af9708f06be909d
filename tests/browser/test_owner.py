"""What an owner does on their first morning, in a browser."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Page, expect

from tests.browser.conftest import BOX_PASSWORD, BOXES, PATIENCE, Installation, Looking, sign_in
from tests.http.conftest import OTHER, OWNER

FIRST_SEND = 60_000.0  # milliseconds: the first gap and a half, on a busy machine


def sheet(installation: Installation) -> str:
    """Four good rows, one with a wrong password, one that is no address."""
    world = installation.world
    servers = f"127.0.0.1,{world.smtp_port},starttls,127.0.0.1,{world.imap_port},tls"
    rows = [f"{box},{BOX_PASSWORD},{servers}" for box in BOXES[:4]]
    rows += [f"{BOXES[4]},wrong,{servers}", f"nobody,{BOX_PASSWORD},{servers}"]
    header = "email,password,smtp_host,smtp_port,smtp_security,imap_host,imap_port,imap_security"
    return "\n".join([header, *rows])


async def import_sheet(page: Page, installation: Installation, folder: Path) -> None:
    file = folder / "boxes.csv"
    file.write_text(sheet(installation))
    await page.goto("/add/import")
    await page.get_by_label("CSV file").set_input_files(file)
    await page.get_by_role("button", name="Look at the rows").click()
    await expect(page.get_by_text("What stands in the column email cannot be used")).to_be_visible()
    await page.get_by_role("button", name=re.compile("Check and add 5")).click()
    await expect(page.get_by_text("It is done")).to_be_visible(timeout=FIRST_SEND)


async def test_first_morning(page: Page, installation: Installation, tmp_path: Path) -> None:
    """Signs in, imports a sheet with good and bad rows, sees the first send, asks why, pauses, and leaves."""
    await sign_in(page, OWNER)
    await expect(page.get_by_role("link", name="Add").first).to_be_visible()
    await import_sheet(page, installation, tmp_path)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download rejected rows").click()
    rejected = Path(await (await downloading.value).path()).read_text()
    assert BOXES[4] in rejected
    assert "nobody" in rejected
    assert BOXES[0] not in rejected
    await page.get_by_role("link", name=BOXES[0]).click()
    await expect(page.get_by_role("heading", name=BOXES[0])).to_be_visible()
    sent = page.locator(".figure", has_text="Sent today").locator("dd")
    await expect(sent).to_have_text(re.compile(r"^[1-9]"), timeout=FIRST_SEND)  # the page looks again by itself
    await expect(page.get_by_text("How today's quota came about")).to_be_visible()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.get_by_text("Paused").first).to_be_visible()
    await page.goto("/mailboxes")
    await expect(page.get_by_text("4 mailboxes")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Password")).to_be_visible()


async def test_page_of_another_user_is_not_there(looking: Looking, installation: Installation, tmp_path: Path) -> None:
    page = looking.page
    await sign_in(page, OWNER)
    await import_sheet(page, installation, tmp_path)
    await page.get_by_role("link", name=BOXES[0]).click()
    await expect(page.get_by_role("heading", name=BOXES[0])).to_be_visible()
    address = page.url
    await page.get_by_role("button", name="Sign out").click()
    await sign_in(page, OTHER)
    answer = await page.goto(address)
    assert answer is not None
    assert answer.status == 404
    assert ["404" in complaint for complaint in looking.wrong] == [True]  # the browser's own word about it
    looking.wrong.clear()
    assert BOXES[0] not in await page.content()
    await page.goto("/mailboxes")
    await expect(page.get_by_text(BOXES[0])).to_have_count(0, timeout=PATIENCE)


async def test_mailbox_is_connected_by_consent_and_takes_part(looking: Looking, installation: Installation) -> None:
    """At the provider, which sends the browser back with a code; no password is entered anywhere."""
    page, (smtp_port, imap_port) = looking.page, installation.trusting
    looking.home.add(urlsplit(installation.authority.authorize_url).netloc)
    await sign_in(page, OWNER)
    await page.goto("/add")
    await page.get_by_label("Address").fill("anna@consent.test")
    await page.get_by_text("found by themselves for known providers").click()
    for word, port in (("SMTP", smtp_port), ("IMAP", imap_port)):
        await page.get_by_label(f"{word} server").fill("127.0.0.1")
        await page.locator(f"[name={word.lower()}_port]").fill(str(port))
    await page.locator("[name=smtp_security]").select_option("starttls")
    await page.locator("[name=imap_security]").select_option("tls")
    await page.get_by_role("button", name="Connect Google").click()
    await expect(page.get_by_text("anna@consent.test takes part")).to_be_visible()
    asked = installation.authority.consented[0]
    assert (asked["code_challenge_method"], asked["access_type"], asked["prompt"]) == ("S256", "offline", "consent")
    assert asked["login_hint"] == "anna@consent.test"
