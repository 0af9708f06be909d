"""Delivery reports on messages of ours are recognised; of all others no more than the returned header is read."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.mail.certificates import Authority
from tests.mail.imap_fixtures import ADDRESS, SINCE, Open, contents, letter, real_server, recognise
from tests.mail.reports import delivery_report, other_recipient
from warmupd.core.placement import FolderMark, FolderRole
from warmupd.mail import delivery_report as delivery_report_module
from warmupd.mail.imap_syntax import Reply
from warmupd.sandbox.mailstore import MailStore

OURS = "<warm-7@one.test>"
BOB = "bob@two.test"
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
    (fate,) = bounce.fates
    assert (bounce.place.token.job_id, fate.failed, fate.code, fate.status) == (7, True, 550, "5.1.1")
    assert (fate.final, fate.original, fate.text) == (BOB, BOB, "550 5.1.1 <bob@two.test> User unknown")


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
    assert not any(fate.failed for fate in bounce.fates)


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
    (fate,) = bounce.fates
    assert (fate.failed, fate.code, fate.status, fate.text) == (True, None, "", "")


async def test_status_that_is_encoded_is_read_all_the_same(mail: Mail, visit: Open) -> None:
    await mail.plant(delivery_report(OURS, base64=True, action="delayed", status="4.4.1"))
    async with visit(mail) as here:
        (bounce,) = (await here.look([], since=SINCE)).bounces
    assert [(fate.final, fate.failed, fate.status) for fate in bounce.fates] == [(BOB, False, "4.4.1")]


async def test_every_recipient_of_a_report_has_a_part_of_his_own(mail: Mail, visit: Open) -> None:
    await mail.plant(delivery_report(OURS, action="delayed", before=other_recipient("eve@far.test")))
    async with visit(mail) as here:
        (bounce,) = (await here.look([], since=SINCE)).bounces
    assert [(fate.final, fate.failed) for fate in bounce.fates] == [("eve@far.test", True), (BOB, False)]


async def test_reports_in_junk_are_let_be(mail: Mail, visit: Open) -> None:
    await mail.plant(delivery_report(OURS), "Junk")
    async with visit(mail) as here:
        assert (await here.look([], since=SINCE)).bounces == []


async def test_more_reports_than_one_look_takes_are_read_by_the_next(
    mail: Mail, visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_report_module, "MOST_REPORTS", 2)
    for number in range(5):
        await mail.plant(delivery_report(f"<warm-{number}@one.test>"))
    marks: list[FolderMark] = []
    told = []
    async with visit(mail) as here:
        for _ in range(3):
            look = await here.look(marks, since=SINCE)
            marks = look.marks
            told.append(([bounce.place.token.job_id for bounce in look.bounces], look.complete))
    assert told == [([0, 1], False), ([2, 3], False), ([4], True)]


@pytest.mark.parametrize("ours", [OURS, FOREIGN])
async def test_long_header_is_read_no_further_than_its_message_id_asks_for(authority: Authority, ours: str) -> None:
    header = b"Received: x\r\n" * 250 + f"Message-ID: {ours}\r\n".encode() + b"X-Other: y\r\n" * 2000
    read: list[int] = []

    class Session:
        async def command(self, name: str, uid: str, wish: str) -> Reply:
            begin = re.search(r"<(\d+)\.(\d+)>", wish)
            assert begin
            block = b"Content-Type: text/rfc822-headers\r\n\r\n" if ".MIME" in wish else header
            block = block[int(begin[1]) : int(begin[1]) + int(begin[2])]
            read.append(len(block))
            parts: list[bytes | bytearray] = [b"5 FETCH (UID 5 BODY[3]<0> ", bytearray(block), b")"]
            return Reply(status="OK", text="", codes={}, untagged=[parts])

    token = await delivery_report_module._returned_token(Session(), 5, recognise)  # type: ignore[arg-type]  # a model
    assert (token is not None) == (ours == OURS)
    assert sum(read) < 2.1 * delivery_report_module.STEP < len(header)


@pytest.mark.parametrize(
    "order",
    [
        "BODY[{section}]<0> {block} UID 5",
        "BODY[{section}]<0> {block} UID 5 FLAGS (\\Seen)",
        "FLAGS (\\Seen) UID 5 BODY[{section}]<0> {block} MODSEQ (12)",
        "UID 5 BODY[{section}]<0> {block} FLAGS ()",
    ],
)
async def test_parts_are_found_wherever_they_stand_in_the_answer(order: str) -> None:
    assert await part_of(order) == b"See you."


async def test_part_that_is_not_there_is_empty() -> None:
    assert await part_of("UID 5 BODY[{section}]<0> NIL") == b""
    assert await part_of("UID 5 FLAGS (\\Seen)") == b""


async def part_of(order: str) -> bytes:
    """What is taken for the part when the server's answer has this order."""
    line, _, rest = order.format(section="3.MIME", block="|").partition("|")
    parts: list[bytes | bytearray] = [f"5 FETCH ({line}".encode()]
    parts += [bytearray(b"See you.") if rest or order.endswith("{block}") else b"", f"{rest})".encode()]

    class Session:
        async def command(self, *_: str) -> Reply:
            return Reply(status="OK", text="", codes={}, untagged=[[part for part in parts if part]])

    return await delivery_report_module._part(Session(), 5, "3.MIME")  # type: ignore[arg-type]  # a model of it
