"""Visits to mailboxes on a real Dovecot: ours is found and treated as a reader would, in whatever layout."""

import datetime as dt
from collections.abc import Callable

import pytest

from tests.mail.imap_fixtures import letter, numbers
from tests.realmail.conftest import NewBox, Open
from tests.realmail.owner import Owner
from warmupd.core.placement import FolderRole
from warmupd.mail.found import Found, Look
from warmupd.mail.imap import ImapBroken
from warmupd.mail.visit import Visit
from warmupd.sandbox.real.box import NO_JUNK, PREFIXED, Box, localised, over_quota, unflagged
from warmupd.sandbox.real.stack import RealStack

pytestmark = pytest.mark.realmail

Deliver = Callable[..., None]
OwnerOf = Callable[[Box], Owner]

SINCE = dt.date(2026, 1, 1)

LAYOUTS = {
    "plain": {},
    "prefixed": PREFIXED,
    "gmail in German": localised(Junk="[Gmail]/Spam", Sent="[Gmail]/Gesendet", Trash="[Gmail]/Papierkorb"),
    "a name that nobody could guess": localised(Junk="Ungewolltes"),
    "Microsoft in Polish, without flags": unflagged(Junk="Wiadomości-śmieci", Trash="Elementy usunięte"),
    "prefixed and French": PREFIXED | localised(Junk="INBOX.Indésirables"),
}


async def look(visit: Visit, *, everywhere: bool = False) -> Look:
    return await visit.look([], since=SINCE, everywhere=everywhere)


def flags(owner: Owner, folder: str) -> list[frozenset[str]]:
    return [its for _, its, _ in owner.messages(folder)]


async def only(visit: Visit) -> Found:
    (found,) = (await look(visit)).found
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_junk_is_found_and_rescued_in_every_layout(
    new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf, layout: str
) -> None:
    box = new_box(LAYOUTS[layout])
    deliver(box, 1)
    owner = owner_of(box)
    async with visit(box) as here:
        junk = (await look(here)).junk_folder
    assert junk is not None
    owner.put(junk, letter(2))
    async with visit(box) as here:
        found = {ours.token.job_id: ours for ours in (await look(here)).found}
        assert {number: ours.role for number, ours in found.items()} == {1: FolderRole.INBOX, 2: FolderRole.JUNK}
        rescued = await here.rescue(found[2])
        assert rescued is not None
        assert await here.star(rescued)
        assert await here.mark_read(rescued)
        filed = await here.file_away(rescued)
    assert filed is not None
    assert flags(owner, filed.folder) == [{"\\Seen", "\\Flagged", "$NotJunk"}]
    assert len(owner.messages("INBOX")) == 1
    assert filed.folder == ("INBOX.Warmup" if "prefix" in layout else "Warmup")


async def test_sieve_places_and_the_visit_sees_it(new_box: NewBox, visit: Open, deliver: Deliver) -> None:
    box = new_box()
    deliver(box, 1)
    deliver(box, 2, place="junk")
    deliver(box, 3, place="other")
    async with visit(box) as here:
        found = (await look(here, everywhere=True)).found
    assert {ours.token.job_id: ours.role for ours in found} == {
        1: FolderRole.INBOX, 2: FolderRole.JUNK, 3: FolderRole.OTHER
    }  # fmt: skip


async def test_deleted_is_gone_and_nothing_else(
    new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf
) -> None:
    box = new_box()
    deliver(box, 1, None)
    owner = owner_of(box)
    owner.put("INBOX", letter(None), "\\Deleted")  # the owner's own mark, which is the owner's to expunge
    async with visit(box) as here:
        assert await here.delete(await only(here))
    left = owner.messages("INBOX")
    assert len(left) == 2
    assert all(b"warm-1@" not in content for _, _, content in left)


async def test_mailbox_without_junk(new_box: NewBox, visit: Open, deliver: Deliver) -> None:
    box = new_box(NO_JUNK)
    deliver(box, 1, place="junk")
    async with visit(box) as here:
        looked = await look(here)
    assert (looked.junk_folder, numbers(looked.found), looked.complete) == (None, [1], True)


async def test_second_look_reads_only_what_is_new(new_box: NewBox, visit: Open, deliver: Deliver) -> None:
    box = new_box()
    deliver(box, 1)
    async with visit(box) as here:
        marks = (await look(here)).marks
    deliver(box, 2)
    async with visit(box) as here:
        assert numbers((await here.look(marks, since=SINCE)).found) == [2]


async def test_changed_uidvalidity_is_read_anew_and_touches_nothing_old(
    stack: RealStack, new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf
) -> None:
    box = new_box()
    deliver(box, 1)
    async with visit(box) as here:
        before = await look(here)
    for index in stack.folder_of(box.address).glob("dovecot[.-]*"):
        if "uidvalidity" not in index.name:  # by which Dovecot knows never to give the same one again
            index.unlink()
    async with visit(box) as here:
        assert not await here.star(before.found[0])
        after = await here.look(before.marks, since=SINCE)
        assert numbers(after.found) == [1]
        assert after.found[0].uidvalidity != before.found[0].uidvalidity
        assert await here.star(after.found[0])
    assert flags(owner_of(box), "INBOX") == [{"\\Flagged"}]


async def test_expunged_message_is_no_trouble(
    new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf
) -> None:
    box = new_box()
    deliver(box, 1, None)
    async with visit(box) as here:
        found = await only(here)
        owner_of(box).expunge("INBOX", found.uid)
        assert not await here.star(found)
        assert await here.rescue(found) is None
        assert not await here.delete(found)
        assert (await look(here)).complete
    assert flags(owner_of(box), "INBOX") == [frozenset()]


async def test_renamed_folder_is_no_trouble(new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf) -> None:
    box = new_box()
    deliver(box, 1)
    async with visit(box) as here:
        filed = await here.file_away(await only(here))
    assert filed is not None
    owner_of(box).rename("Warmup", "Archive")
    async with visit(box) as here:
        assert not await here.mark_read(filed)
        assert numbers((await look(here, everywhere=True)).found) == [1]
    deliver(box, 2)
    async with visit(box) as here:
        again = await here.file_away(await only(here))
    assert again is not None
    assert again.folder == "Warmup"


async def test_full_mailbox_is_visited_as_ever(
    stack: RealStack, new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf
) -> None:
    box = new_box()
    deliver(box, 1)
    deliver(box, 2, place="junk")
    stack.change(box.address, over_quota(1))
    async with visit(box) as here:
        looked = await look(here)
        found = {ours.token.job_id: ours for ours in looked.found}
        assert looked.complete
        assert await here.mark_read(found[1])
        rescued = await here.rescue(found[2])
        assert rescued is not None
        assert await here.delete(rescued)
    assert flags(owner_of(box), "INBOX") == [{"\\Seen"}]


async def test_kicked_out_in_the_middle_ends_at_once(
    stack: RealStack, new_box: NewBox, visit: Open, deliver: Deliver
) -> None:
    box = new_box()
    deliver(box, 1)
    async with visit(box) as here:
        found = await only(here)
        stack.dovecot.doveadm("kick", box.address)
        with pytest.raises(ImapBroken):
            await here.star(found)
    async with visit(box) as here:
        assert await here.star(await only(here))


async def test_foreign_mail_stays_as_it_was(new_box: NewBox, visit: Open, deliver: Deliver, owner_of: OwnerOf) -> None:
    box = new_box()
    owner = owner_of(box)
    fill_with_foreign_mail(owner)
    before = owner.contents()
    deliver(box, 1)
    deliver(box, 2, place="junk")
    async with visit(box) as here:
        found = {ours.token.job_id: ours for ours in (await look(here, everywhere=True)).found}
        assert found.keys() == {1, 2}
        for ours in (found[1], await here.rescue(found[2])):
            assert ours is not None
            assert await here.mark_read(ours)
            assert await here.star(ours)
            filed = await here.file_away(ours)
            assert filed is not None
            assert await here.delete(filed)
        await here.look_into_sent(since=SINCE)
    after = owner.contents()
    assert after.pop("Warmup")[1] == []
    assert after == before
    assert sum(len(messages) for _, messages in after.values()) == 6 * EACH


EACH = 24  # each kind with every second flag, at least once
FLAGS = ("", "\\Seen", "\\Flagged", "\\Seen \\Answered", "\\Deleted", "$Forwarded Work", "$Junk", "\\Draft")
FOREIGN = (
    "Subject: plain\r\nMessage-ID: <{number}@elsewhere.test>\r\n\r\nHello.\r\n",
    "Subject: no id\r\n\r\nHello {number}.\r\n",
    "Subject: near\r\nMessage-ID: <warm-{number}x@elsewhere.test>\r\nX-Warmupd: nonsense\r\n\r\nHello.\r\n",
    "Subject: about us\r\nReferences: <warm-1@two.test>\r\nIn-Reply-To: <warm-1@two.test>\r\n\r\n{number}\r\n",
    "Subject: =?utf-8?q?\r\nMessage-ID: <<>\r\nFrom: @@\r\n\r\n{number}\x7f\r\n",
    "\r\nno header at all {number}\r\n",
)


def fill_with_foreign_mail(owner: Owner) -> None:
    """Messages of every kind, with all kinds of flags, in each of six folders."""
    for folder in ("INBOX", "Junk", "Sent", "Trash", "Drafts", "Mine"):
        if folder == "Mine":
            owner.create(folder)
        for number in range(EACH):
            content = FOREIGN[number % len(FOREIGN)].format(number=number)
            owner.put(folder, content.encode(), FLAGS[number % len(FLAGS)])
