"""Three messages at most without a proof, for ever; and which proof opens an address to whom."""

import asyncio
from uuid import UUID

import pytest

from tests.store.rows import NOON, Ground, Worker, after, ask, laid_ground, reasons, somebody_waits  # noqa: F401  a fixture
from tests.store.test_sightings import found_of
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.proof import OwnProof
from warmupd.store import sightings
from warmupd.store.proofs import prove_by_earlier, unproven_room


class Enrolled:
    """A user with mailboxes of his own, one of which he has yet to prove, and others in the same pool."""

    def __init__(
        self, ground: Ground, worker: Worker, owner: UUID, own: list[int], others: list[int], box: int
    ) -> None:
        self.ground, self.worker, self.owner, self.own, self.others, self.box = ground, worker, owner, own, others, box

    async def sent(self, sender: int, kind: OutcomeKind = OutcomeKind.SENT) -> Job:
        job = await self.ground.grant(self.worker, ask(sender, self.box))
        await self.ground.settle(job, kind, retry_at=after(3600))
        return job

    async def find(self, job: Job, own: OwnProof = OwnProof.OWN) -> None:
        slot = slot_hash(self.box) % 64
        await sightings.record_sightings(
            self.ground.db, self.box, [found_of(job)], slot=slot, epoch=self.worker.leases[slot], at=after(60), own=own
        )

    async def find_of_before(self, job: Job, own: OwnProof = OwnProof.OWN) -> bool:
        """A visit finds what was written to the address when it was enrolled before."""
        slot = slot_hash(self.box) % 64
        return await prove_by_earlier(
            self.ground.db,
            self.box,
            [(job.day, job.id)],
            slot=slot,
            epoch=self.worker.leases[slot],
            at=after(90),
            own=own,
        )

    async def why(self, sender: int) -> str:
        """What a wish to write to it is answered with, an hour later."""
        (word,) = reasons(await self.ground.reserve(self.worker, ask(sender, self.box), at=after(3600)))
        return word

    async def proof(self) -> tuple[bool, bool, int]:
        """Whether it is proven, whether to its owner's mailboxes alone, and how much it had without a proof."""
        row = await self.ground.db.fetchrow("SELECT * FROM proofs WHERE mailbox_id = $1", self.box)
        assert row is not None
        return row["proven_at"] is not None, row["own_only"], row["unproven_sends"]

    async def again(self, owner: UUID | None = None, *, erased: bool = False, address: str = "") -> None:
        """Remove it and enrol its address anew."""
        db = self.ground.db
        was = await db.fetchval("SELECT address FROM mailboxes WHERE id = $1", self.box)
        await db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = $1", self.box)
        if erased:
            await db.execute("DELETE FROM mailboxes WHERE id = $1", self.box)
        self.box = await db.fetchval(
            "INSERT INTO mailboxes (user_id, pool_id, address, state, smtp_host, smtp_port, smtp_security,"
            " smtp_username, imap_host, imap_port, imap_security, imap_username)"
            " SELECT $1, id, $2, 'ACTIVE', 'h', 1, 'TLS', 'u', 'h', 1, 'TLS', 'u' FROM pools WHERE name = 'shared'"
            " RETURNING id",
            owner or self.owner,
            address or was,
        )


async def enrol(ground: Ground) -> Enrolled:
    owner = await ground.user()
    own, others = await ground.mailboxes(4, owner), await ground.mailboxes(4)
    (box,) = await ground.mailboxes(1, owner, proven=False)
    return Enrolled(ground, await ground.worker(), owner, own, others, box)


async def test_message_of_another_user_proves_the_address_to_everybody(ground: Ground) -> None:
    enrolled = await enrol(ground)
    job = await enrolled.sent(enrolled.others[0])
    await enrolled.find(job, OwnProof.NONE)
    assert await enrolled.proof() == (True, False, 0)
    assert [await enrolled.why(one) for one in (enrolled.own[0], enrolled.others[1])] == ["granted"] * 2


async def test_own_message_opens_the_address_to_the_owners_mailboxes_alone(ground: Ground) -> None:
    enrolled = await enrol(ground)
    jobs = [await enrolled.sent(enrolled.own[0])]
    jobs += [await enrolled.sent(other) for other in enrolled.others[:2]]
    await enrolled.find(jobs[0])
    assert await enrolled.proof() == (True, True, 2)
    assert [await enrolled.why(one) for one in enrolled.own[1:]] == ["granted"] * 3
    assert [await enrolled.why(one) for one in enrolled.others[2:]] == ["granted", "unproven"]
    await enrolled.find(jobs[1])
    assert await enrolled.proof() == (True, False, 0)
    assert await enrolled.why(enrolled.others[3]) == "granted"


async def test_own_message_proves_nothing_where_the_address_cannot_be_read(ground: Ground) -> None:
    enrolled = await enrol(ground)
    jobs = [await enrolled.sent(sender) for sender in enrolled.own[:3]]
    for job in jobs:
        await enrolled.find(job, OwnProof.NONE)
    assert await enrolled.proof() == (False, False, 3)
    assert await enrolled.why(enrolled.own[3]) == "unproven"


async def test_own_message_is_full_proof_where_the_server_speaks_for_the_address(ground: Ground) -> None:
    enrolled = await enrol(ground)
    await enrolled.find(await enrolled.sent(enrolled.own[0]), OwnProof.FULL)
    assert await enrolled.proof() == (True, False, 0)


async def test_own_failures_give_nothing_back_of_what_others_sent(ground: Ground) -> None:
    enrolled = await enrol(ground)
    first = await enrolled.sent(enrolled.own[0])
    for other in enrolled.others[:2]:
        await enrolled.sent(other)
    await enrolled.find(first)
    await enrolled.sent(enrolled.own[1], OutcomeKind.FAILED)
    await enrolled.sent(enrolled.own[2], OutcomeKind.DEFERRED)
    assert await enrolled.proof() == (True, True, 2)
    await enrolled.sent(enrolled.others[2], OutcomeKind.FAILED)
    assert await enrolled.proof() == (True, True, 2)


async def test_later_finds_of_own_messages_give_nothing_back(ground: Ground) -> None:
    enrolled = await enrol(ground)
    first, second = await enrolled.sent(enrolled.own[0]), await enrolled.sent(enrolled.own[1])
    await enrolled.sent(enrolled.others[0])
    await enrolled.find(first)
    await ground.db.execute("UPDATE proofs SET refused_to = $2 WHERE mailbox_id = $1", enrolled.box, enrolled.own[3])
    await enrolled.find(second)
    assert await enrolled.proof() == (True, True, 2)


@pytest.mark.parametrize("erased", [False, True])
@pytest.mark.parametrize("by_another", [False, True])
async def test_what_an_address_had_is_remembered_when_it_is_enrolled_anew(
    ground: Ground, erased: bool, by_another: bool
) -> None:
    enrolled = await enrol(ground)
    for sender in (enrolled.own[0], enrolled.others[0]):
        await enrolled.sent(sender)
    await enrolled.again(await enrolled.ground.user() if by_another else None, erased=erased)
    assert await enrolled.proof() == (False, False, 2)
    assert [await enrolled.why(one) for one in enrolled.others[1:3]] == ["granted", "unproven"]
    await enrolled.again(erased=erased)
    assert await enrolled.proof() == (False, False, 3)


async def test_forged_proofs_and_new_enrolments_win_nothing_of_others(ground: Ground) -> None:
    """Prove with an own message, have others write, leave, come back as somebody else, and so on."""
    enrolled = await enrol(ground)
    got = 0
    for turn in range(4):
        if (await enrolled.why(enrolled.own[turn])) == "granted":
            (row,) = await enrolled.ground.db.fetch(
                "UPDATE warmup_jobs SET status = 'SENT', completed_at = $2 WHERE recipient_id = $1 RETURNING day, id",
                enrolled.box,
                NOON,
            )
            slot = slot_hash(enrolled.box) % 64
            await enrolled.ground.db.fetch(
                "SELECT record_sightings($1, $2, $3, ARRAY[$4::date], ARRAY[$5::bigint], '{INBOX}', '{INBOX}', '{1}',"
                " '{1}', '{m}', ARRAY['{}'::jsonb], '{f}', '{f}', '{NULL}', '{NULL}', ARRAY[$6::timestamptz],"
                " ARRAY[$6::timestamptz], 'own', $6)",
                enrolled.box,
                slot,
                enrolled.worker.leases[slot],
                row["day"],
                row["id"],
                after(3700),
            )
        got += [await enrolled.why(enrolled.others[turn]), await enrolled.why(enrolled.others[turn - 1])].count(
            "granted"
        )
        await enrolled.ground.db.execute("UPDATE mailbox_pace SET next_ok_at = '-infinity'")
        await enrolled.again(erased=turn % 2 == 0)
    assert got <= 3


async def test_proven_address_begins_anew_with_another_owner(ground: Ground) -> None:
    enrolled = await enrol(ground)
    await enrolled.find(await enrolled.sent(enrolled.others[0]))
    await enrolled.again(await enrolled.ground.user())
    assert await enrolled.proof() == (False, False, 0)


async def test_name_behind_a_plus_sign_is_the_same_reader(ground: Ground) -> None:
    enrolled = await enrol(ground)
    for sender in enrolled.others[:3]:
        await enrolled.sent(sender)
    address = await enrolled.ground.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", enrolled.box)
    await enrolled.again(address=address.replace("@", "+news@").upper())
    assert await enrolled.why(enrolled.others[3]) == "unproven"


async def test_message_of_before_proves_the_address_that_is_enrolled_anew(ground: Ground) -> None:
    enrolled = await enrol(ground)
    jobs = [await enrolled.sent(sender) for sender in enrolled.others[:3]]
    await enrolled.again()
    assert await enrolled.find_of_before(jobs[0], OwnProof.NONE)
    assert await enrolled.proof() == (True, False, 0)
    assert not await enrolled.find_of_before(jobs[1])


async def test_message_found_again_under_a_new_row_gives_nothing_back(ground: Ground) -> None:
    enrolled = await enrol(ground)
    own = await enrolled.sent(enrolled.own[0])
    for other in enrolled.others[:2]:
        await enrolled.sent(other)
    await enrolled.find(own)
    await enrolled.again()
    assert await enrolled.find_of_before(own)
    assert await enrolled.proof() == (True, True, 2)


async def test_message_to_another_address_proves_nothing(ground: Ground) -> None:
    enrolled = await enrol(ground)
    job = await enrolled.sent(enrolled.others[0])
    await enrolled.again(address="somebody@else.test")
    assert not await enrolled.find_of_before(job)
    assert (await enrolled.proof())[0] is False


async def test_enrolling_waits_for_a_message_that_is_just_being_granted(ground: Ground) -> None:
    enrolled = await enrol(ground)
    db = enrolled.ground.db
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM proofs WHERE mailbox_id = $1 FOR UPDATE", enrolled.box)
        coming = asyncio.create_task(enrolled.again())
        await somebody_waits(connection)
        await connection.execute("UPDATE proofs SET unproven_sends = 2 WHERE mailbox_id = $1", enrolled.box)
    await coming
    assert await enrolled.proof() == (False, False, 2)


# -- how many addresses at once ---------------------------------------------------------------------------------------


async def test_a_user_begins_with_ten_unproven_addresses_a_day(ground: Ground) -> None:
    (sender,), worker, owner = await ground.mailboxes(1, quota=100), await ground.worker(), await ground.user()
    senders = [sender, *await ground.mailboxes(15)]
    boxes = await ground.mailboxes(16, owner, proven=False)
    wishes = [ask(one, box) for one, box in zip(senders, boxes, strict=True)]
    words = reasons(await ground.reserve(worker, *wishes))
    assert (words.count("granted"), words.count("unproven")) == (10, 6)
    begun, waiting = boxes[words.index("granted")], boxes[words.index("unproven")]
    assert (await ground.deny(worker, ask(senders[0], waiting), at=after(3600))).why == "unproven"
    await ground.grant(worker, ask(senders[0], begun), at=after(3600))  # what was begun goes on
    assert await unproven_room(ground.db, owner, by_others=True, at=after(3600)) == 0
    assert await unproven_room(ground.db, owner, by_others=True, at=after(86401)) == 10


async def test_forged_proofs_make_no_room_with_others(ground: Ground) -> None:
    """An own proof neither counts as one, nor ends what others have begun with."""
    senders, worker, owner = await ground.mailboxes(40), await ground.worker(), await ground.user()
    boxes = await ground.mailboxes(40, owner)
    await ground.db.execute("UPDATE proofs SET own_only = true WHERE mailbox_id = ANY ($1)", boxes)
    wishes = [ask(one, box) for one, box in zip(senders, boxes, strict=True)]
    assert reasons(await ground.reserve(worker, *wishes)).count("granted") == 10
    assert await unproven_room(ground.db, owner, by_others=True, at=after(300)) == 0
    assert await unproven_room(ground.db, owner, by_others=False, at=after(300)) == 40


async def test_addresses_that_the_owner_began_with_are_not_begun_with_by_others(ground: Ground) -> None:
    """Else he could begin with many himself, over days, and have others go on with all of them at once."""
    senders, worker, owner = await ground.mailboxes(15), await ground.worker(), await ground.user()
    own, boxes = await ground.mailboxes(15, owner), await ground.mailboxes(15, owner, proven=False)
    await ground.reserve(worker, *(ask(one, box) for one, box in zip(own, boxes, strict=True)))
    await ground.db.execute("UPDATE proofs SET own_only = true WHERE mailbox_id = ANY ($1)", own)
    wishes = [ask(one, box) for one, box in zip(senders, boxes, strict=True)]
    words = reasons(await ground.reserve(worker, *wishes, at=after(3600)))
    assert (words.count("granted"), words.count("unproven")) == (10, 5)


async def test_an_address_is_begun_with_when_others_begin(ground: Ground) -> None:
    """However long ago the owner's own message was that it had before."""
    enrolled = await enrol(ground)
    await enrolled.find(await enrolled.sent(enrolled.own[0]))
    others = (enrolled.others[0], enrolled.box)
    await ground.db.execute("UPDATE proofs SET first_at = $1", after(-86400))
    await ground.grant(enrolled.worker, ask(*others), at=after(3600))
    assert await unproven_room(ground.db, enrolled.owner, by_others=True, at=after(3600)) == 9


async def test_each_proof_makes_room_for_another_address(ground: Ground) -> None:
    senders, worker, owner = await ground.mailboxes(16), await ground.worker(), await ground.user()
    boxes = await ground.mailboxes(16, owner, proven=False)
    await ground.reserve(worker, *(ask(one, box) for one, box in zip(senders, boxes, strict=True)))
    await ground.db.execute("UPDATE proofs SET proven_at = $2 WHERE mailbox_id = ANY ($1)", boxes[:4], NOON)
    wishes = [ask(one, box) for one, box in zip(senders, boxes[-6:], strict=False)]
    assert reasons(await ground.reserve(worker, *wishes, at=after(300))).count("granted") == 4


async def test_who_has_proven_many_may_begin_with_as_many(ground: Ground) -> None:
    senders, worker, owner = await ground.mailboxes(20), await ground.worker(), await ground.user()
    await ground.mailboxes(15, owner)
    boxes = await ground.mailboxes(20, owner, proven=False)
    words = reasons(await ground.reserve(worker, *(ask(one, box) for one, box in zip(senders, boxes, strict=True))))
    assert words.count("granted") == 15


async def test_removing_an_address_makes_no_room(ground: Ground) -> None:
    senders, worker, owner = await ground.mailboxes(12), await ground.worker(), await ground.user()
    boxes = await ground.mailboxes(12, owner, proven=False)
    await ground.reserve(worker, *(ask(one, box) for one, box in zip(senders, boxes, strict=True)))
    await ground.db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = ANY ($1)", boxes[:10])
    assert (await ground.deny(worker, ask(senders[0], boxes[-1]), at=after(300))).why == "unproven"


async def test_several_messages_to_one_address_are_one_address(ground: Ground) -> None:
    senders, worker, owner = await ground.mailboxes(12), await ground.worker(), await ground.user()
    boxes = await ground.mailboxes(2, owner, proven=False)
    words = reasons(await ground.reserve(worker, *(ask(one, boxes[n % 2]) for n, one in enumerate(senders))))
    assert (words.count("granted"), words.count("unproven")) == (6, 6)
