"""What becomes of a message when the mailbox is full, the server busy, or the owner has been there before."""

import asyncio
import datetime as dt
from asyncio import CancelledError
from dataclasses import replace
from typing import Any

import pytest

from tests.store.rows import NOON, Ground, Worker, after, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_sightings import _record, _sent, found_of
from warmupd.clock import VirtualClock
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.placement import FolderRole, Placement
from warmupd.daemon import treatments
from warmupd.daemon.events import Events
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.treatments import Treated, treat
from warmupd.errors import DatabaseUnavailable, LeaseLost
from warmupd.mail.found import Found, place_of
from warmupd.mail.imap import ImapBroken, ImapBusy, ImapDenied
from warmupd.mail.imap_syntax import Reply
from warmupd.mail.message_id import MessageToken
from warmupd.mail.visit_ahead import Done

HOUR = 3600.0
ROLES = {"INBOX": FolderRole.INBOX, "Junk": FolderRole.JUNK, "Warmup": FolderRole.WARMUP, "Trash": FolderRole.TRASH}


class Shelf:
    """A visit to a mailbox with one message and perhaps copies of it; `refused` are the verbs that are answered NO."""

    def __init__(self, *there: Found, refused: tuple[str, ...] = (), busy: bool = False) -> None:
        self.there = list(there)
        self.refused = refused
        self.busy = busy
        self.lost = False  # the connection, before anything is done
        self.trouble: BaseException | None = None  # that comes when all has been done ahead
        self.done: list[tuple[str, str, int]] = []  # verb, folder, UID
        self.done_ahead = Done()

    async def ahead(self, wishes: Any, may_proceed: Any) -> None:
        if self.busy:
            raise ImapBusy("in use")
        if self.lost:
            raise ImapBroken("lost")
        if self.trouble is not None:
            for wish in wishes:
                self._do_ahead(wish)
            raise self.trouble

    def _do_ahead(self, wish: Any) -> None:
        here, place = wish.found, place_of(wish.found)
        self.done_ahead.flags[place] |= {flag.lower() for flag in wish.flags}
        if wish.delete and self._take(here):
            self.done_ahead.removed.add(place)
        elif (wish.rescue or wish.file) and self._take(here):
            folder = "INBOX" if wish.rescue else "Warmup"
            self.there.append(replace(here, folder=folder, role=ROLES[folder], uid=here.uid + 100))
            self.done_ahead.moved[place] = self.there[-1]

    async def has(self, found: Found) -> bool:
        return self._at(found) is not None

    async def find(self, message_id: str, folder: str, senders: Any = ()) -> Found | None:
        if "find" in self.refused:
            raise ImapDenied("not now", Reply(status="NO", text="not now", codes={}, untagged=()))
        those = [one for one in self.there if one.folder == folder and one.message_id == message_id]
        return next((one for one in those if one.is_from(senders)), None)

    async def mark_read(self, found: Found) -> bool:
        return self._do("open", found)

    async def star(self, found: Found) -> bool:
        return self._do("star", found)

    async def mark_answered(self, found: Found) -> bool:
        return self._do("answer", found)

    async def rescue(self, found: Found) -> Found | None:
        return self._move("rescue", found, "INBOX")

    async def file_away(self, found: Found) -> Found | None:
        return self._move("file", found, "Warmup")

    async def delete(self, found: Found) -> bool:
        return self._do("delete", found) and self._take(found)

    def _do(self, verb: str, found: Found) -> bool:
        if self.busy:
            raise ImapBusy("in use")
        if self._at(found) is None or verb in self.refused:
            return False
        self.done.append((verb, found.folder, found.uid))
        return True

    def _move(self, verb: str, found: Found, folder: str) -> Found | None:
        if not self._do(verb, found):
            return None
        self._take(found)
        self.there.append(replace(found, folder=folder, role=ROLES[folder], uid=found.uid + 100))
        return self.there[-1]

    def _take(self, found: Found) -> bool:
        self.there = [one for one in self.there if one is not self._at(found)]
        return True

    def _at(self, found: Found) -> Found | None:
        place = (found.folder, found.uidvalidity, found.uid)
        return next((one for one in self.there if (one.folder, one.uidvalidity, one.uid) == place), None)


class Case:
    """A message that was sighted at noon, where it lies, and visits to it."""

    def __init__(self, ground: Ground, worker: Worker, job: Job, here: Found) -> None:
        self.ground, self.worker, self.job, self.here = ground, worker, job, here
        self.shelf = Shelf(here)

    async def visit(self, at: dt.datetime, *seen: Found, failed_before: bool = False) -> Treated:
        clock = VirtualClock(at)
        return await treat(
            self.ground.db,
            self.shelf,  # type: ignore[arg-type]  # a model of it
            self.job.recipient_id,
            {(one.token.day, one.token.job_id): one for one in seen},
            epoch=self.worker.leases[slot_hash(self.job.recipient_id) % 64],
            trusted=lambda: True,
            clock=clock,
            events=Events(Metrics(clock)),
            failed_before=failed_before,
        )

    async def multiply(self) -> None:
        """As if five messages had been sighted."""
        await self.ground.db.execute(
            "INSERT INTO sightings SELECT job_day, job_id + n, recipient_id, sender_id, placement, seen_at, epoch,"
            " folder, uidvalidity, uid + n, message_id || n, thread_depth, star, rescue, answer_at, next_at, file_at,"
            " delete_at FROM sightings, generate_series(1, 4) AS n"
        )
        self.shelf.there += [replace(self.here, uid=self.here.uid + n) for n in range(1, 5)]

    async def count(self, condition: str) -> int:
        count: int = await self.ground.db.fetchval(f"SELECT count(*) FROM sightings WHERE {condition}")
        return count

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _, _ in self.shelf.done]

    async def send_answer(self) -> None:
        await self.ground.db.execute("UPDATE warmup_jobs SET status = 'REPLIED' WHERE id = $1", self.job.id)

    async def row(self) -> Any:
        return await self.ground.db.fetchrow("SELECT * FROM sightings")


async def case_of(ground: Ground, folder: str = "INBOX", *, answer_at: dt.datetime | None = None, **plan: Any) -> Case:
    """Opened at one o'clock, filed at three, deleted at ten, unless the `plan` says otherwise."""
    worker, job = await _sent(ground)
    hours = {"open_at": after(HOUR), "file_at": after(3 * HOUR), "delete_at": after(10 * HOUR), "answer_at": answer_at}
    role = ROLES.get(folder, FolderRole.OTHER)
    placement = {"INBOX": Placement.INBOX, "Junk": Placement.SPAM}.get(folder, Placement.OTHER)
    known = found_of(job)
    engagement = replace(known.engagement, **{**hours, "rescue": folder == "Junk", **plan})
    address = await ground.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", job.mailbox_id)
    await _record(
        ground, worker, job.recipient_id, replace(known, placement=placement, folder=folder, engagement=engagement)
    )
    here = Found(
        folder=folder, role=role, uidvalidity=1, uid=5, token=MessageToken(job.day, job.id), message_id="<1@x>",
        in_reply_to="", references=(), subject="", sender=address, flags=frozenset(),
    )  # fmt: skip
    return Case(ground, worker, job, here)


async def test_nothing_is_done_before_its_time(ground: Ground) -> None:
    case = await case_of(ground)
    for moment, verbs in ((0.5, []), (1, ["open", "star"]), (2, ["open", "star"]), (3, ["open", "star", "file"])):
        await case.visit(after(moment * HOUR))
        assert case.verbs == verbs
    await case.visit(after(10 * HOUR))
    assert case.verbs[3:] == ["delete"]
    assert (await case.row())["next_at"] is None


async def test_what_is_to_be_answered_is_told_when_it_must_be_opened(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(2 * HOUR))
    assert (await case.visit(NOON)).follow_up == after(HOUR)
    assert (await case.visit(after(HOUR))).follow_up is None
    assert case.verbs == ["open", "star"]


async def test_message_is_marked_as_answered_by_the_visit_after_its_answer(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(1.5 * HOUR))
    await case.visit(after(HOUR))
    assert (await case.row())["next_at"] == after(2 * HOUR + 60)
    await case.visit(after(2 * HOUR))  # the answer is late
    assert case.verbs == ["open", "star"]
    await case.send_answer()
    await case.visit(after(2.9 * HOUR))
    assert case.verbs == ["open", "star"]
    await case.visit(after(3 * HOUR))
    assert case.verbs[2:] == ["answer", "file"]
    assert (await case.row())["answered_at"] == after(3 * HOUR)


async def test_message_marked_as_answered_waits_to_be_filed(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(1.5 * HOUR))
    await case.visit(after(HOUR))
    await case.send_answer()
    await case.visit(after(2 * HOUR))
    assert (case.verbs[2:], (await case.row())["next_at"]) == (["answer"], after(3 * HOUR))


async def test_server_that_refuses_to_mark_as_answered_is_not_asked_again_and_again(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(1.5 * HOUR), file_at=after(7 * HOUR))
    case.shelf.refused = ("answer",)
    await case.visit(after(HOUR))
    await case.send_answer()
    await case.visit(after(2 * HOUR))
    assert (await case.row())["next_at"] == after(7 * HOUR)
    for hour in (7, 10):
        await case.visit(after(hour * HOUR))
    assert case.verbs[2:] == ["file", "delete"]


async def test_answer_that_never_goes_holds_nothing_up(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(1.5 * HOUR))
    for hour in (1, 2, 3, 4, 10):
        await case.visit(after(hour * HOUR))
    assert case.verbs == ["open", "star", "file", "delete"]


async def test_strangers_message_is_not_marked_as_answered(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(1.5 * HOUR))
    await case.visit(after(HOUR))
    await case.send_answer()
    strangers = replace(case.here, uid=66, sender="eve@evil.test")
    case.shelf.there = [strangers]
    await case.visit(after(2 * HOUR), strangers)
    assert case.verbs == ["open", "star"]


async def test_what_is_not_answered_waits_for_the_next_visit(ground: Ground) -> None:
    case = await case_of(ground)
    assert (await case.visit(NOON)).follow_up is None


async def test_what_was_opened_or_rescued_just_now_is_not_filed_at_once(ground: Ground) -> None:
    case = await case_of(ground, "Junk", file_at=after(HOUR + 120))
    await case.visit(after(5 * HOUR))
    assert case.verbs == ["open", "rescue", "star"]
    await case.visit(after(7 * HOUR))
    assert case.verbs[3:] == ["file"]
    assert case.shelf.there[0].folder == "Warmup"


@pytest.mark.parametrize(("folder", "verb"), [("Junk", "rescue"), ("INBOX", "file"), ("INBOX", "open")])
async def test_what_a_full_mailbox_refuses_is_done_once_there_is_room(ground: Ground, folder: str, verb: str) -> None:
    case = await case_of(ground, folder)
    case.shelf.refused = (verb,)
    for hour in (1, 3, 3.5):
        await case.visit(after(hour * HOUR))
    assert verb not in case.verbs
    assert ((await case.row())["next_at"] or after(99 * HOUR)) <= after(6.6 * HOUR)
    case.shelf.refused = ()
    for hour in (7, 8):
        await case.visit(after(hour * HOUR))
    assert case.verbs.count(verb) == 1
    assert case.shelf.there[0].folder == "Warmup"


async def test_what_can_never_be_done_is_let_be_after_its_retention(ground: Ground) -> None:
    case = await case_of(ground)
    case.shelf.refused = ("file", "delete")
    for hour in range(0, 80, 3):
        await case.visit(after(hour * HOUR))
    assert (await case.row())["next_at"] is None


async def test_message_that_troubles_the_server_is_put_off_and_the_visit_ends(ground: Ground) -> None:
    case = await case_of(ground)
    case.shelf.busy = True
    with pytest.raises(ImapBusy):
        await case.visit(after(HOUR))
    row = await case.row()
    assert (row["opened_at"], row["next_at"]) == (None, after(4 * HOUR))
    case.shelf.busy = False
    await case.visit(after(4 * HOUR))
    assert case.verbs == ["open", "star"]


async def test_of_several_that_trouble_the_server_together_half_are_put_off(ground: Ground) -> None:
    case = await case_of(ground)
    case.shelf.busy = True
    await case.multiply()
    due = []
    for _ in range(3):
        with pytest.raises(ImapBusy):
            await case.visit(after(HOUR))
        due.append(await ground.db.fetchval("SELECT count(*) FROM sightings WHERE next_at <= $1", after(HOUR)))
    assert due == [2, 1, 0]  # and the last of them is alone


async def test_lost_connection_gives_up_on_no_message(ground: Ground) -> None:
    case = await case_of(ground)
    await case.multiply()
    case.shelf.lost = True
    due = []
    for failed_before in (False, False, True):
        with pytest.raises(ImapBroken):
            await case.visit(after(80 * HOUR), failed_before=failed_before)
        due.append(await case.count("next_at <= seen_at + interval '80 hours'"))
    assert due == [5, 5, 2]
    assert await case.count("next_at IS NOT NULL") == 5


@pytest.mark.parametrize("trouble", [ImapBroken("lost"), ImapBusy("in use"), LeaseLost("gone"), CancelledError()])
async def test_what_was_done_before_the_end_is_written_down(ground: Ground, trouble: BaseException) -> None:
    case = await case_of(ground, "Junk", star=True)
    await case.multiply()
    case.shelf.trouble = trouble
    with pytest.raises(type(trouble)):
        await case.visit(after(HOUR))
    assert await case.count("rescued_at IS NOT NULL AND opened_at IS NOT NULL AND folder = 'INBOX'") == 5
    case.shelf.trouble = None
    for hour in (5, 6, 9):
        await case.visit(after(hour * HOUR))
    assert await case.count("filed_at IS NOT NULL") == 5
    case.shelf.trouble = trouble
    with pytest.raises(type(trouble)):
        await case.visit(after(20 * HOUR))
    assert (await case.count("deleted_at IS NOT NULL AND next_at IS NULL"), case.shelf.there) == (5, [])


async def test_rescue_that_was_never_written_down_counts(ground: Ground) -> None:
    case = await case_of(ground, "Junk")
    moved = replace(case.here, folder="INBOX", role=FolderRole.INBOX, uid=9, flags=frozenset({"\\seen"}))
    case.shelf.there = [moved]
    await case.visit(after(HOUR), moved)
    row = await case.row()
    assert (row["rescued_at"], row["folder"], row["uid"]) == (after(HOUR), "INBOX", 9)


@pytest.mark.parametrize("trouble", [ImapBroken("lost"), CancelledError()])
async def test_silent_database_neither_delays_an_end_nor_hides_why(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    case = await case_of(ground, "Junk")
    await case.multiply()
    case.shelf.trouble = trouble
    ended = asyncio.Event()

    async def silent(*_: Any, **__: Any) -> None:
        if isinstance(trouble, ImapBroken):
            raise DatabaseUnavailable("gone")
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(treatments, "LAST_WORDS", 0.01)
    monkeypatch.setattr(treatments, "note_engaged", silent)
    with pytest.raises(type(trouble)):
        async with asyncio.timeout(5):
            await case.visit(after(HOUR))
    if isinstance(trouble, CancelledError):
        await ended.wait()


async def test_message_that_its_owner_deleted_is_let_be(ground: Ground) -> None:
    case = await case_of(ground)
    case.shelf.there = []
    await case.visit(after(HOUR))
    assert (case.verbs, (await case.row())["next_at"]) == ([], None)


async def test_copy_that_its_owner_made_is_let_be(ground: Ground) -> None:
    case = await case_of(ground)
    copy = replace(case.here, folder="Keep", role=FolderRole.OTHER, uid=77)
    again = replace(case.here, uid=78)
    case.shelf.there += [copy, again]
    for hour in (1, 3, 10):
        await case.visit(after(hour * HOUR), copy if hour == 1 else again)
    assert {uid for _, _, uid in case.shelf.done} == {5, 105}
    assert case.shelf.there == [copy, again]


@pytest.mark.parametrize("folder", ["Keep", "Trash"])
async def test_message_that_its_owner_moved_is_let_be(ground: Ground, folder: str) -> None:
    case = await case_of(ground)
    moved = replace(case.here, folder=folder, role=ROLES.get(folder, FolderRole.OTHER), uid=9)
    case.shelf.there = [moved]
    await case.visit(after(HOUR), moved)
    assert (case.verbs, (await case.row())["next_at"]) == ([], None)


async def test_message_whose_numbers_changed_is_followed(ground: Ground) -> None:
    case = await case_of(ground)
    anew = replace(case.here, uidvalidity=2, uid=1)
    case.shelf.there = [anew]
    await case.visit(after(HOUR), anew)
    assert case.shelf.done == [("open", "INBOX", 1), ("star", "INBOX", 1)]


async def test_message_whose_numbers_changed_is_marked_as_answered_where_it_is_now(ground: Ground) -> None:
    case = await case_of(ground, answer_at=after(1.5 * HOUR))
    await case.visit(after(HOUR))
    await case.send_answer()
    anew = replace(case.here, uidvalidity=2, uid=1)
    case.shelf.there = [anew]
    await case.visit(after(2 * HOUR), anew)
    assert case.shelf.done[2:] == [("answer", "INBOX", 1)]


@pytest.mark.parametrize(("hours", "verb"), [((1, 3), "file"), ((1, 3, 10), "delete")])
async def test_message_whose_numbers_changed_after_it_was_opened_is_filed_and_deleted(
    ground: Ground, hours: tuple[int, ...], verb: str
) -> None:
    case = await case_of(ground)
    for hour in hours[:-1]:
        await case.visit(after(hour * HOUR))
    case.shelf.there = [replace(case.shelf.there[0], uidvalidity=2, uid=1, sender=case.here.sender)]
    await case.visit(after(hours[-1] * HOUR))
    assert case.verbs[-1] == verb
    assert (await case.row())["next_at"] != after((hours[-1] + 3) * HOUR)


async def test_copy_is_not_taken_for_a_message_with_which_nothing_may_be_done(ground: Ground) -> None:
    case = await case_of(ground)
    await case.visit(after(HOUR))
    case.shelf.refused = ("file",)
    case.shelf.there.insert(0, replace(case.here, uid=78))
    await case.visit(after(3 * HOUR))
    assert (await case.row())["uid"] == 5


async def test_message_of_which_the_server_will_not_say_where_it_is_stays_due(ground: Ground) -> None:
    case = await case_of(ground, "Junk")
    case.shelf.refused = ("open", "rescue", "find")
    await case.visit(after(HOUR))
    assert (await case.row())["next_at"] is not None


async def test_strangers_message_by_its_name_is_never_taken_for_it(ground: Ground) -> None:
    case = await case_of(ground)
    strangers = replace(case.here, uid=66, sender="eve@evil.test")
    case.shelf.there = [strangers]
    await case.visit(after(HOUR), strangers)
    assert all(uid != 66 for _, _, uid in case.shelf.done)


async def test_message_that_was_thrown_away_before_it_was_seen_is_only_written_down(ground: Ground) -> None:
    worker, job = await _sent(ground)
    thrown = replace(found_of(job, answer_at=after(HOUR)), folder="Trash", placement=Placement.OTHER, let_be=True)
    await _record(ground, worker, job.recipient_id, thrown)
    row = await ground.db.fetchrow("SELECT * FROM sightings")
    assert row is not None
    assert (row["placement"], row["next_at"], row["answer_at"]) == ("OTHER", None, None)
    assert await ground.db.fetchval("SELECT count(*) FROM warmup_jobs WHERE kind = 'REPLY'") == 0


async def test_message_outlives_the_row_of_its_job(ground: Ground) -> None:
    case = await case_of(ground)
    await ground.db.execute("DELETE FROM warmup_jobs")
    for hour in (1, 3, 10):
        await case.visit(after(hour * HOUR))
    assert case.verbs == ["open", "star", "file", "delete"]
