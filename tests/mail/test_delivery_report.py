"""Delivery reports on messages of ours are recognised; of all others no more than the returned header is read."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.mail.certificates import Authority
from tests.mail.imap_fixtures import ADDRESS, SINCE, Open, contents, letter, real_server
from tests.mail.reports import delivery_report
from warmupd.core.placement import FolderRole
from warmupd.sandbox.mailstore import MailStore

OURS = "<warm-7@one.test>"
FOREIGN = "<private@one.test>"


@dataclass
class Mail:
    port: int
    store: MailStore

    async def plant(self, content: bytes, folder: str = "INBOX") -> None:
        await self.store.append(ADDRESS, folder, content)


@pytest.fixture
async def mail(authority: Authority) -> AsyncIterator[Mail]:
    async with real_server(authority.server_context()) as (port, store):
        yield Mail(port, store)


@pytest.mark.parametrize("returned", ["text/rfc822-headers", "message/rfc822", "text/rfc822-headers; charset=us-ascii"])
async def test_report_names_our_message_its_status_and_its_text(mail: Mail, visit: Open, returned: str) -> None:
    await mail.plant(delivery_report(OURS, returned=returned))
    async with visit(mail) as here:
        look = await here.look([], since=SINCE)
    (bounce,) = look.bounces
    assert look.found == []
    assert (bounce.place.token.job_id, bounce.failed, bounce.code, bounce.status) == (7, True, 550, "5.1.1")
    assert bounce.text == "550 5.1.1 <bob@two.test> User unknown"


async def test_report_whose_message_id_was_rewritten_is_recognised_by_our_header(mail: Mail, visit: Open) -> None:
    await mail.plant(delivery_report("<other@provider.test>", extra="X-Warmupd: warm-9@one.test\n"))
    async with visit(mail) as here:
        (bounce,) = (await here.look([], since=SINCE)).bounces
    assert bounce.place.token.job_id == 9


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", ""])
async def test_only_a_failure_has_failed(mail: Mail, visit: Open, action: str) -> None:
    await mail.plant(delivery_report(OURS, action=action, status="4.4.1"))
    async with visit(mail) as here:
        (bounce,) = (await here.look([], since=SINCE)).bounces
    assert not bounce.failed


async def test_foreign_forged_and_broken_reports_are_ignored(mail: Mail, visit: Open) -> None:
    whole = delivery_report(OURS)
    for content in (
        delivery_report(FOREIGN),
        delivery_report(OURS, returned="application/octet-stream"),
        whole.replace(b"multipart/report", b"multipart/mixed"),
        whole.replace(b"report-type=delivery-status", b"report-type=disposition-notification"),
        whole[: whole.index(b"Content-Description: Undelivered")],
        whole[: whole.index(b"--8B2C/mx.two.test")],
        letter(subject=OURS),
    ):
        await mail.plant(content)
    async with visit(mail) as here:
        look = await here.look([], since=SINCE)
    assert (look.bounces, look.found, look.complete) == ([], [], True)


async def test_looking_changes_nothing_and_filing_away_moves_the_report_alone(
    mail: Mail, visit: Open, trusting: ssl.SSLContext
) -> None:
    for content in (delivery_report(FOREIGN), delivery_report(OURS), letter()):
        await mail.plant(content)
    before = await asyncio.to_thread(contents, mail.port, trusting)
    async with visit(mail) as here:
        (bounce,) = (await here.look([], since=SINCE)).bounces
        assert await asyncio.to_thread(contents, mail.port, trusting) == before
        assert await here.mark_read(bounce.place)
        moved = await here.file_away(bounce.place)
    assert moved is not None
    assert moved.role is FolderRole.WARMUP
    after = await asyncio.to_thread(contents, mail.port, trusting)
    kept = [before["INBOX"][0], before["INBOX"][2]]  # but for the sequence numbers
    assert [(head.split(b" ", 1)[1], octets) for head, octets in after["INBOX"]] == [
        (head.split(b" ", 1)[1], octets) for head, octets in kept
    ]
    ((head, octets),) = after["Warmup"]
    assert b"\\Seen" in head
    assert octets == before["INBOX"][1][1]
    async with visit(mail) as here:
        assert (await here.look([], since=SINCE)).bounces == []  # it lies where reports are not looked for


async def test_report_without_words_still_tells_the_failure(mail: Mail, visit: Open) -> None:
    await mail.plant(delivery_report(OURS, status="", diagnostic=""))
    async with visit(mail) as here:
        (bounce,) = (await here.look([], since=SINCE)).bounces
    assert (bounce.failed, bounce.code, bounce.status, bounce.text) == (True, None, "", "")
