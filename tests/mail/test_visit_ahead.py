"""What a visit does with many messages at once: the same as one by one, and to no other."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.ablation import take_out
from tests.mail.imap_fixtures import SINCE, Open, letter
from tests.mail.test_visit import Mail, mail  # noqa: F401  a fixture
from warmupd.core.placement import FolderMark
from warmupd.errors import LeaseLost
from warmupd.mail import visit_ahead
from warmupd.mail.found import Found, place_of
from warmupd.mail.imap import ImapSession
from warmupd.mail.imap_messages import add_flag, move_all
from warmupd.mail.imap_syntax import Reply
from warmupd.mail.visit import Visit, Wish
from warmupd.mail.visit_ahead import Ahead


def nothing() -> None:
    """In the way."""


def refused() -> None:
    raise LeaseLost("not ours any more")


async def planted(post: Mail, *numbers: int, folder: str = "INBOX") -> None:
    """Each of ours between two of somebody else's."""
    await post.plant(folder, letter())
    for number in numbers:
        await post.plant(folder, letter(number))
        await post.plant(folder, letter(), "\\Deleted")


async def found_by(here: Visit) -> list[Found]:
    return sorted((await here.look([], since=SINCE)).found, key=lambda one: one.token.job_id)


def count_commands(monkeypatch: pytest.MonkeyPatch, here: Visit) -> list[str]:
    asked: list[str] = []
    command = here._session.command

    async def counted(name: str, *arguments: str) -> Reply:
        asked.append(name)
        return await command(name, *arguments)

    monkeypatch.setattr(here._session, "command", counted)
    return asked


async def foreign(post: Mail) -> list[bytes]:
    messages = [one for messages in (await post.contents()).values() for one in messages]
    return sorted(head.partition(b" (")[2] for head, body in messages if b"<warm-" not in body)


async def test_several_are_opened_and_starred_by_two_commands(
    mail: Mail,  # noqa: F811
    visit: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await planted(mail, 1, 2, 3)
    before = await foreign(mail)
    async with visit(mail) as here:
        those = await found_by(here)
        asked = count_commands(monkeypatch, here)
        flags = frozenset({"\\Seen", "\\Flagged"})
        await here.ahead([Wish(found=one, flags=flags) for one in those], nothing)
        assert all([await here.mark_read(one) and await here.star(one) for one in those])
    assert asked == ["SELECT", "UID STORE", "UID STORE"]
    assert {number: "\\Seen" in (await mail.where(number))["INBOX"] for number in (1, 2, 3)} == dict.fromkeys(
        (1, 2, 3), True
    )
    assert await foreign(mail) == before


async def test_several_are_rescued_and_the_rest_is_done_where_they_are_then(mail: Mail, visit: Open) -> None:  # noqa: F811
    await planted(mail, 1, 2, folder="Junk")
    before = await foreign(mail)
    async with visit(mail) as here:
        those = await found_by(here)
        flags = frozenset({"\\Seen", "\\Flagged"})
        await here.ahead([Wish(found=one, flags=flags, rescue=True) for one in those], nothing)
        assert all([await here.mark_read(one) for one in those])
        rescued = [await here.rescue(one) for one in those]
        assert all([one is not None and await here.star(one) for one in rescued])
    for number in (1, 2):
        ((folder, had),) = (await mail.where(number)).items()
        assert (folder, "\\Seen" in had, "\\Flagged" in had) == ("INBOX", True, True)
    assert await foreign(mail) == before


async def test_several_are_filed_and_later_deleted(mail: Mail, visit: Open) -> None:  # noqa: F811
    await planted(mail, 1, 2)
    before = await foreign(mail)
    async with visit(mail) as here:
        await here._mailbox.create_warmup_folder()
        those = await found_by(here)
        await here.ahead([Wish(found=one, file=True) for one in those], nothing)
        filed = [place for one in those if (place := await here.file_away(one)) is not None]
        assert [place.folder for place in filed] == ["Warmup", "Warmup"]
        await here.ahead([Wish(found=place, delete=True) for place in filed], nothing)
        assert all([await here.delete(place) for place in filed])
    assert (await mail.contents())["Warmup"] == []
    assert await foreign(mail) == before


async def test_nothing_is_changed_once_the_mailbox_may_be_another_workers(mail: Mail, visit: Open) -> None:  # noqa: F811
    await planted(mail, 1, 2)
    before = await mail.contents()
    for wish in ({"flags": frozenset({"\\Seen"})}, {"file": True}, {"delete": True}):
        async with visit(mail) as here:
            await here._mailbox.create_warmup_folder()
            those = await found_by(here)
            with pytest.raises(LeaseLost):
                await here.ahead([Wish(found=one, **wish) for one in those], refused)
    assert (await mail.contents()) | {"Warmup": []} == before | {"Warmup": []}


async def gone_is_told(post: Mail, visit: Open) -> None:
    await planted(post, 1, 2)
    async with visit(post) as here, visit(post) as owner:
        first, second = await found_by(here)
        assert await owner.delete(first)
        await here.ahead([Wish(found=one, flags=frozenset({"\\Seen"})) for one in (first, second)], nothing)
        assert [await here.mark_read(one) for one in (first, second)] == [False, True]


async def others_stay(post: Mail, visit: Open) -> None:
    await planted(post, 1, 2)
    before = await post.contents()
    async with visit(post) as here:
        wrong = [replace(one, uid=one.uid + 1) for one in await found_by(here)]
        flags = frozenset({"\\Seen"})
        await here.ahead([Wish(found=one, flags=flags, file=True, delete=True) for one in wrong], nothing)
        assert not any([await here.mark_read(one) for one in wrong])
    assert await post.contents() == before


async def swapped_stay(post: Mail, visit: Open) -> None:
    """Where a message is ours, but another than the one that was meant."""
    await planted(post, 8, 9)
    before = await post.contents()
    async with visit(post) as here:
        first, second = (await found_by(here))[-2:]
        wrong = [replace(first, uid=second.uid), replace(second, uid=first.uid)]
        await here.ahead([Wish(found=one, flags=frozenset({"\\Seen"}), delete=True) for one in wrong], nothing)
    assert await post.contents() == before


async def test_another_of_ours_under_that_number_is_let_be(mail: Mail, visit: Open) -> None:  # noqa: F811
    await swapped_stay(mail, visit)


async def test_only_what_the_server_has_marked_is_told_as_deleted(mail: Mail, visit: Open) -> None:  # noqa: F811
    await planted(mail, 1, 2)
    async with visit(mail) as here:
        first, second = await found_by(here)

        async def all_but_first(session: ImapSession, uids: Sequence[int], flag: str) -> set[int]:
            return await add_flag(session, [uid for uid in uids if uid != first.uid], flag)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(visit_ahead, "add_flag", all_but_first)
            await here.ahead([Wish(found=one, delete=True) for one in (first, second)], nothing)
        assert here.done_ahead.removed == {place_of(second)}
        assert all([await here.has(first), await here.delete(first)])


async def test_what_is_gone_meanwhile_is_told(mail: Mail, visit: Open) -> None:  # noqa: F811
    await gone_is_told(mail, visit)


async def test_what_is_not_ours_under_that_number_is_let_be(mail: Mail, visit: Open) -> None:  # noqa: F811
    await others_stay(mail, visit)


@pytest.mark.ablation
async def test_safeguards_are_missed(mail: Mail, visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with monkeypatch.context() as patch:
        take_out(patch, Ahead._flag, "bare -= await", "bare -= set(uids); await")
        with pytest.raises(AssertionError):
            await gone_is_told(mail, visit)
    with monkeypatch.context() as patch:
        take_out(patch, Ahead._is_ours, "self._known.token(head) == wish.found.token", "True")
        with pytest.raises(AssertionError):
            await others_stay(mail, visit)
    with monkeypatch.context() as patch:
        take_out(patch, Ahead._head, "and self._is_ours(head, wish)", "")
        with pytest.raises(AssertionError):
            await swapped_stay(mail, visit)


async def test_what_the_visit_has_filed_itself_is_not_news_for_the_next(mail: Mail, visit: Open) -> None:  # noqa: F811
    await planted(mail, 1, 2)
    async with visit(mail) as here:
        await here._mailbox.create_warmup_folder()
    async with visit(mail) as here:
        look = await here.look([], since=SINCE)
        for one in look.found:
            assert await here.file_away(one)
        marks = here.past_own(look.marks)
    async with visit(mail) as here:
        assert (await here.look(marks, since=SINCE)).found == []


async def test_what_came_between_is_read_by_the_next(mail: Mail, visit: Open) -> None:  # noqa: F811
    await planted(mail, 1)
    async with visit(mail) as here:
        await here._mailbox.create_warmup_folder()
        look = await here.look([], since=SINCE)
        await mail.plant("Warmup", letter(7))
        for one in look.found:
            assert await here.file_away(one)
        marks = here.past_own(look.marks)
    async with visit(mail) as here:
        assert [one.token.job_id for one in (await here.look(marks, since=SINCE)).found] == [7, 1]


class Told:
    """A session whose server answers a move with these words."""

    def __init__(self, copyuid: str) -> None:
        self._codes = {"COPYUID": copyuid} if copyuid else {}

    def offers(self, capability: str) -> bool:
        return True

    async def command(self, *words: object) -> Reply:
        return Reply(status="OK", text="", codes=self._codes, untagged=())


@pytest.mark.parametrize(
    ("copyuid", "places"),
    [
        ("9 3,5 11:12", {3: (9, 11), 5: (9, 12)}),
        ("9 3 11", {3: (9, 11)}),
        ("9 3:4294967295 11", {}),
        ("9 3,5 11", {}),
        ("9 4 11", {}),
        ("", {}),
    ],
)
async def test_only_what_the_server_tells_plainly_is_known_to_have_moved(
    copyuid: str, places: dict[int, tuple[int, int]]
) -> None:
    uids: Sequence[int] = [3, 5]
    folder = FolderMark(folder="Warmup", uidvalidity=9, last_uid=0)
    target = type("Target", (), {"argument": folder.folder})()
    assert await move_all(Told(copyuid), uids, target) == places  # type: ignore[arg-type]  # models of them
