"""Erasure: nothing of a user is left in any table, whatever they had, and whenever it was broken off."""

import datetime as dt
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.store.rows import NOON, Ground, Worker, ask, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.job import Job, JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.core.placement import FolderMark
from warmupd.errors import LeaseLost
from warmupd.store import jobs, visits
from warmupd.store.database import Database
from warmupd.store.erased_words import Batch, Words
from warmupd.store.erasure import claim_erasure, wipe_user
from warmupd.store.user_removals import remove_user

DAY = dt.timedelta(days=1)
DOMAIN, NAME = "leaver-mail.example", "Lea Leaver"
EMAIL = f"lea@{DOMAIN}"


class Scene:
    """A user with two mailboxes who wrote to another user's two, and they to theirs."""

    def __init__(self, ground: Ground, worker: Worker, user: UUID, own: list[int], others: list[int]) -> None:
        self.ground = ground
        self.db = ground.db
        self.worker = worker
        self.user = user
        self.own = own
        self.others = others

    async def wipe(self) -> AsyncIterator[Batch]:
        async for batch in wipe_user(self.db, self.user, pause=_never, at=NOON):
            yield batch

    async def erase(self) -> None:
        await remove_user(self.db, self.user, actor="admin@site.test", at=NOON, erase=True)
        async for _ in self.wipe():
            pass

    async def sent(self, sender: int, recipient: int) -> Job:
        """A message that was accepted and found."""
        job = await self.ground.grant(self.worker, ask(sender, recipient), at=NOON)
        await self.ground.settle(job, OutcomeKind.SENT)
        await self.db.execute(
            "INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder,"
            " uidvalidity, uid, message_id, thread_depth, star, rescue, file_at, delete_at)"
            " SELECT j.day, j.id, recipient_id, mailbox_id, 'INBOX', $3, 1, 'INBOX', 1, j.id,"
            " '<x@' || split_part(m.address, '@', 2) || '>', 1, false, false, $3, $3"
            " FROM warmup_jobs j JOIN mailboxes m ON m.id = j.mailbox_id WHERE j.day = $1 AND j.id = $2",
            job.day,
            job.id,
            NOON,
        )
        return job


async def _never() -> None:
    raise AssertionError("nobody is under way")


@pytest.fixture
async def scene(ground: Ground) -> Scene:
    db = ground.db
    user = await ground.user()
    await db.execute("UPDATE users SET email = $2, name = $3, timezone = 'Asia/Tokyo' WHERE id = $1", user, EMAIL, NAME)
    own, others = await ground.mailboxes(2, user), await ground.mailboxes(2)
    await db.execute(
        f"UPDATE mailboxes SET address = 'box' || id || '@{DOMAIN}', display_name = $2, smtp_host = 'smtp.{DOMAIN}',"
        f" smtp_username = '{EMAIL}', imap_host = 'imap.{DOMAIN}', smtp_secret = 's', imap_secret = 'i'"
        " WHERE id = ANY ($1)",
        own,
        NAME,
    )
    scene = Scene(ground, await ground.worker(), user, own, others)
    await scene.sent(own[0], others[0])
    await scene.sent(others[0], own[0])
    await _leave_traces(scene)
    return scene


async def _leave_traces(scene: Scene) -> None:
    """Where else addresses get."""
    db, said = scene.db, f"550 5.1.1 <BOX@{DOMAIN}> unknown at mx.{DOMAIN}"
    await db.execute("INSERT INTO pools (owner_id, name) VALUES ($1, 'private') ON CONFLICT DO NOTHING", scene.user)
    await db.execute(
        "UPDATE mailboxes SET last_error = $2, last_error_at = $3 WHERE id = $1", scene.others[0], said, NOON
    )
    await db.execute(
        "UPDATE warmup_jobs SET error_message = $1, thread = jsonb_build_object('subject', $1::text)", said
    )
    await db.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason) VALUES"
        " ($1, $2, 'mailbox', $3, 'state', 'ACTIVE', 'PAUSED', $4),"
        " ($1, 'daemon', 'mailbox', $5, 'state', 'ACTIVE', 'X', $4),"
        " ($1, $2, 'user', $6, 'name', '', $7, $4), ($1, $2, 'fleet', 'sending', 'state', 'STARTED', 'STOPPED', '')",
        NOON,
        EMAIL,
        str(scene.own[0]),
        said,
        str(scene.others[0]),
        str(scene.user),
        NAME,
    )
    await db.execute(
        "INSERT INTO host_rests (worker_id, host, since, until, back_by, message, remedy)"
        f" SELECT $1, smtp_server(m), $2, $2, $2, 'smtp.{DOMAIN} is away', '' FROM mailboxes m WHERE id = $3",
        scene.worker.id,
        NOON,
        scene.own[0],
    )
    await db.execute(
        "INSERT INTO browser_sessions (token_hash, user_id, csrf, credentials_version, created_at, seen_at,"
        " expires_at, ends_at)"
        " VALUES ('t', $1, 'c', 1, $2, $2, $2, $2)",
        scene.user,
        NOON,
    )
    await db.execute(
        "INSERT INTO service_tokens (user_id, name, scopes, token_hash, created_at) VALUES ($1, $2, '{read}', 's', $3)",
        scene.user,
        f"of {NAME}",
        NOON,
    )
    await db.execute(
        "INSERT INTO links (token_hash, kind, email, mailed, user_id, created_by, created_at, expires_at)"
        " VALUES ('l', 'PASSWORD_RESET', $1, true, $2, $1, $3, $3)",
        EMAIL,
        scene.user,
        NOON,
    )


async def dump(db: Database) -> dict[str, list[str]]:
    """Every row of every table as text."""
    tables = await db.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND pg_table_is_visible(c.oid)"
        " AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
    )
    names = [row["name"] for row in tables]
    return {name: [row[0] for row in await db.fetch(f"SELECT t::text FROM {name} t")] for name in names}


async def traces(db: Database, *words: str) -> list[str]:
    return [
        f"{table}: {row}"
        for table, rows in (await dump(db)).items()
        for row in rows
        if any(word.lower() in row.lower() for word in words)
    ]


async def test_nothing_names_an_erased_user(scene: Scene) -> None:
    assert len({trace.split(":")[0] for trace in await traces(scene.db, DOMAIN, NAME)}) >= 8  # the scene is worth it
    await scene.erase()
    assert await traces(scene.db, EMAIL, DOMAIN, NAME) == []


async def test_no_row_hangs_on_an_erased_user(scene: Scene) -> None:
    await scene.erase()
    found = [trace for trace in await traces(scene.db, str(scene.user)) if not trace.startswith("state_changes")]
    assert found == []
    theirs = "SELECT count(*) FROM state_changes WHERE subject = 'mailbox' AND subject_id = ANY ($1)"
    assert await scene.db.fetchval(theirs, list(map(str, scene.own))) == 0
    assert await scene.db.fetchval("SELECT became FROM state_changes ORDER BY id DESC LIMIT 1") == "ERASED"


async def test_what_belongs_to_others_stays(scene: Scene) -> None:
    other = scene.others[0]
    before = await scene.ground.day(other)
    await scene.db.execute("UPDATE proofs SET proven_at = NULL, unproven_sends = 2 WHERE mailbox_id = $1", scene.own[0])
    await scene.erase()
    assert await scene.ground.day(other) == before
    row = await scene.db.fetchrow("SELECT status, recipient_id, error_message, thread FROM warmup_jobs")
    assert tuple(row or ()) == ("SENT", scene.own[0], None, None)
    assert await scene.db.fetchval("SELECT unproven_sends FROM unproven_marks") == 2
    assert await scene.db.fetchval("SELECT last_error FROM mailboxes WHERE id = $1", other) == "(erased)"


async def test_erasure_goes_on_wherever_it_was_broken_off(scene: Scene) -> None:
    await remove_user(scene.db, scene.user, actor="cli", at=NOON, erase=True)
    batches, rounds = 1, 0
    while await scene.db.fetchval("SELECT EXISTS (SELECT FROM users WHERE id = $1)", scene.user):
        seen = 0
        async for _ in scene.wipe():
            seen += 1
            if seen > rounds:
                break
        rounds += 1
        assert rounds < 50
        batches += seen
    assert rounds > 5
    assert await traces(scene.db, EMAIL, DOMAIN, NAME) == []


async def test_job_in_flight_of_an_erased_mailbox_settles_as_stale(scene: Scene) -> None:
    job = await scene.ground.grant(scene.worker, ask(scene.own[1], scene.others[1]))
    await scene.erase()
    assert await scene.ground.settle(job, OutcomeKind.SENT) is None


async def test_job_in_flight_to_an_erased_mailbox_is_counted(scene: Scene) -> None:
    job = await scene.ground.grant(scene.worker, ask(scene.others[1], scene.own[1]))
    await scene.erase()
    assert await scene.ground.settle(job, OutcomeKind.SENT) is JobStatus.SENT
    assert (await scene.ground.day(scene.others[1]))[2] == 1


async def test_lost_job_to_an_erased_mailbox_does_not_stay_unknown(scene: Scene) -> None:
    job = await scene.ground.grant(scene.worker, ask(scene.others[1], scene.own[1]))
    await scene.erase()
    await scene.ground.settle(job, OutcomeKind.UNKNOWN)
    assert await jobs.give_up_unknown(scene.db, at=NOON + DAY) == 0
    assert await jobs.give_up_unknown(scene.db, at=NOON + 2.1 * DAY) == 1


async def test_what_waits_to_be_sent_to_them_ends(scene: Scene) -> None:
    job = await scene.ground.grant(scene.worker, ask(scene.others[1], scene.own[1]))
    await scene.ground.deferred(job, NOON + dt.timedelta(minutes=5))
    await scene.erase()
    assert (await scene.ground.job(job))["outcome"] == "removed"


async def test_erased_is_only_who_was_removed(scene: Scene) -> None:
    async for _ in scene.wipe():
        raise AssertionError("nobody asked for it")


async def test_one_worker_claims_an_erasure_until_it_is_silent(scene: Scene) -> None:
    await remove_user(scene.db, scene.user, actor="cli", at=NOON, erase=True)
    lasts = dt.timedelta(minutes=10)
    assert await claim_erasure(scene.db, lasts=lasts, at=NOON) == scene.user
    assert await claim_erasure(scene.db, lasts=lasts, at=NOON) is None
    assert await claim_erasure(scene.db, lasts=lasts, at=NOON + lasts) == scene.user


async def test_who_is_in_the_midst_of_something_is_waited_for(scene: Scene) -> None:
    await remove_user(scene.db, scene.user, actor="cli", at=NOON, erase=True)
    asked = 0
    async with scene.db.acquire() as busy:
        transaction = busy.transaction()
        await transaction.start()
        await busy.execute("UPDATE settings SET changed_at = now()")

        async def pause() -> None:
            nonlocal asked
            asked += 1
            await transaction.commit()

        async for _ in wipe_user(scene.db, scene.user, pause=pause, at=NOON):
            pass
    assert asked == 1


async def test_others_of_the_same_domain_keep_what_was_said_of_it(scene: Scene) -> None:
    await scene.db.execute(f"UPDATE mailboxes SET address = 'else@{DOMAIN}' WHERE id = $1", scene.others[1])
    await scene.db.execute(
        f"UPDATE mailboxes SET last_error = 'mx.{DOMAIN} is away', address = 'fine@example.test' WHERE id = $1",
        scene.others[0],
    )
    await scene.erase()
    assert f"mx.{DOMAIN}" in await scene.db.fetchval("SELECT last_error FROM mailboxes WHERE id = $1", scene.others[0])


async def test_visit_that_ends_after_the_erasure_writes_nothing(scene: Scene) -> None:
    box = scene.own[0]
    slot = await scene.db.fetchval("SELECT slot_hash % 64 FROM mailboxes WHERE id = $1", box)
    await scene.erase()
    mark = FolderMark(folder="INBOX", uidvalidity=1, last_uid=1)
    with pytest.raises(LeaseLost, match="gone"):
        await visits.end_visit(
            scene.db, box, epoch=scene.worker.leases[slot], next_visit_at=NOON, began=NOON, marks=[mark]
        )


@pytest.mark.parametrize(
    ("address", "host", "said"),
    [
        ("lone@gmail.com", "imap.gmail.com", "smtp.gmail.com:587: 535 bad credentials"),
        ("me@client.test", "smtp.elsewhere.test", "w@mail.client.test is over quota"),
        ("me@mail.client.test", "smtp.elsewhere.test", "mail.client.test is away"),
        ("me@host.test", "mx.host.test", "mx.host.test: 421 later"),
        ("me@client.test", "smtp.elsewhere.test", "other.me@client.test is unknown"),
    ],
)
async def test_words_that_others_have_to_do_with_stay(scene: Scene, address: str, host: str, said: str) -> None:
    mine, other = scene.own[0], scene.others[0]
    domain = "client.test" if address.startswith("me@mail") else "mail.client.test"
    await scene.db.execute("UPDATE mailboxes SET address = $2 WHERE id = $1", mine, address)
    await scene.db.execute(
        "UPDATE mailboxes SET address = 'w@' || $2, smtp_host = $3, last_error = $4 WHERE id = $1",
        other,
        domain,
        host,
        said,
    )
    await scene.erase()
    assert await scene.db.fetchval("SELECT last_error FROM mailboxes WHERE id = $1", other) == said


async def test_new_user_of_the_address_keeps_what_is_theirs(scene: Scene) -> None:
    await remove_user(scene.db, scene.user, actor="cli", at=NOON, erase=True)
    new = await scene.ground.user()
    later = NOON + DAY
    await scene.db.execute("UPDATE users SET email = $2 WHERE id = $1", new, EMAIL)
    await scene.db.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, became, reason)"
        " VALUES ($1, $2, 'mailbox', $3, 'PAUSED', $4)",
        later,
        EMAIL,
        str(scene.others[0]),
        f"by {EMAIL}",
    )
    await scene.db.execute(
        "INSERT INTO links (token_hash, kind, email, mailed, user_id, created_by, created_at, expires_at)"
        " VALUES ('n', 'CONFIRMATION', $1, true, $2, $1, $3, $3)",
        EMAIL,
        new,
        later,
    )
    async for _ in scene.wipe():
        pass
    assert await scene.db.fetchval("SELECT created_by FROM links WHERE user_id = $1", new) == EMAIL
    by_them = await scene.db.fetch("SELECT at FROM state_changes WHERE actor = $1", EMAIL)
    assert [row["at"] for row in by_them] == [later]


async def test_many_addresses_and_a_long_history_are_gone_through_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmupd.store.erasure.MAILBOXES", 1)
    monkeypatch.setattr("warmupd.store.erased_words.SPAN", 2)
    await remove_user(scene.db, scene.user, actor="cli", at=NOON, erase=True)
    rows = await scene.db.fetchval("SELECT count(*) FROM state_changes")
    looked = [batch async for batch in scene.wipe()]
    assert len([one for one in looked if one.table == "state_changes"]) <= rows // 2 + 2  # and their deeds
    assert await traces(scene.db, EMAIL, DOMAIN, NAME) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("550 <O'Lea@Own.test>: unknown", True),
        ("no such user lea@own.test.", False),
        ("550 <box@gmail.com>", True),
        ("user=box@gmail.com", True),
        ("the.box@gmail.com", False),
        ("box@gmail.com.example", False),
        ("mx1.mine.test:25 said no", True),
        ("anybody@mine.test", True),
        ("notmine.test and mine.test-2.example", False),
    ],
)
def test_named_is_who_is_meant(text: str, named: bool) -> None:
    words = Words.of(["o'lea@own.test", "box@gmail.com"], ["mine.test"])
    assert words.named_in(text) is named
