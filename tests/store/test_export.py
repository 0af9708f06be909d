"""What a user's export holds: all that is theirs, and of others no more than their provider."""

import datetime as dt
import io
import json
import zipfile
from typing import Any

import pytest

from tests.store.rows import NOON, ask, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_erasure import DOMAIN, NAME, Scene, scene  # noqa: F401  scene is a fixture
from warmupd.core.outcome import OutcomeKind
from warmupd.daemon.handover import hand_over, name_of
from warmupd.errors import Conflict, NotFound
from warmupd.store import export
from warmupd.store.user_removals import remove_user

Files = dict[str, list[dict[str, Any]]]


async def handed_over(scene: Scene) -> Files:  # noqa: F811  the fixture
    pieces = [piece async for piece in hand_over(scene.db, scene.user, at=NOON)]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {NOON.timetuple()[:6]}
        return {
            name: [json.loads(line) for line in archive.read(name).splitlines()]
            for name in archive.namelist()
            if name.endswith(".jsonl")
        }


async def test_everything_of_a_user_is_in_it(scene: Scene) -> None:  # noqa: F811  the fixture
    files = await handed_over(scene)
    assert [box["id"] for box in files["mailboxes.jsonl"]] == scene.own
    assert {day["mailbox_id"] for day in files["days.jsonl"]} == set(scene.own)
    assert [job["status"] for job in files["jobs.jsonl"]] == ["SENT"]
    assert sorted(one["direction"] for one in files["sightings.jsonl"]) == ["received", "sent"]
    assert [token["name"] for token in files["service_tokens.jsonl"]] == [f"of {NAME}"]
    assert {"state_changes.jsonl", "sessions.jsonl", "notification_settings.jsonl"} <= files.keys()


async def test_counterpart_of_another_user_is_its_provider(scene: Scene) -> None:  # noqa: F811  the fixture
    db, other = scene.db, scene.others[0]
    address = "Some.Body@elsewhere.example"
    await db.execute("UPDATE mailboxes SET address = $2, provider = 'gmail' WHERE id = $1", other, address)
    said = f"550 <{address.lower()}> is full, says mx.elsewhere.example about box@{DOMAIN}"
    await db.execute("UPDATE warmup_jobs SET error_message = $1", said)
    await db.execute("UPDATE mailboxes SET last_error = $1 WHERE id = ANY ($2)", said.partition(",")[0], scene.own)
    text = json.dumps(await handed_over(scene))
    assert "gmail" in text
    assert "some.body" not in text.lower()
    (job,) = (await handed_over(scene))["jobs.jsonl"]
    assert (job["counterpart_provider"], job["counterpart"]) == ("gmail", None)
    assert "elsewhere" not in job["error_message"]
    assert not {"id", "recipient_id", "attempt_token", "thread", "message_id"} & job.keys()


async def test_number_that_counts_what_everybody_sends_is_not_in_it(scene: Scene) -> None:  # noqa: F811  the fixture
    files = await handed_over(scene)
    assert not [
        row for name in ("jobs", "sightings") for row in files[f"{name}.jsonl"] if {"id", "job_id"} & row.keys()
    ]


async def test_one_export_of_a_user_at_a_time(scene: Scene) -> None:  # noqa: F811  the fixture
    pieces = hand_over(scene.db, scene.user, at=NOON)
    await anext(pieces)
    with pytest.raises(Conflict, match="under way"):
        await handed_over(scene)
    await pieces.aclose()
    assert await handed_over(scene)


async def test_own_counterpart_is_named(scene: Scene) -> None:  # noqa: F811  the fixture
    later = NOON + dt.timedelta(minutes=30)
    job = await scene.ground.grant(scene.worker, ask(*scene.own), at=later)
    await scene.ground.settle(job, OutcomeKind.SENT, at=later)
    jobs = (await handed_over(scene))["jobs.jsonl"]
    assert jobs[-1]["counterpart"] == f"box{scene.own[1]}@{DOMAIN}"


async def test_no_secret_is_in_it(scene: Scene) -> None:  # noqa: F811  the fixture
    await scene.db.execute("UPDATE users SET password_hash = 'argon-hash'")
    await scene.db.execute("UPDATE mailboxes SET smtp_secret = 'smtp-sealed', imap_secret = 'imap-sealed'")
    text = json.dumps(await handed_over(scene))
    assert not [word for word in ("argon-hash", "sealed", "736d7470", "token_hash", "csrf") if word in text]


async def test_export_of_many_jobs_comes_in_pieces(
    scene: Scene,  # noqa: F811  the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "BOXES", 1)
    monkeypatch.setattr(export, "ROWS", 1)
    files = await handed_over(scene)
    assert len(files["jobs.jsonl"]) == 1
    assert len(files["sightings.jsonl"]) == 2


async def test_removed_user_has_no_export(scene: Scene) -> None:  # noqa: F811  the fixture
    await remove_user(scene.db, scene.user, actor="cli", at=NOON)
    with pytest.raises(NotFound):
        await handed_over(scene)


def test_file_is_named_for_the_user_without_surprises() -> None:
    assert name_of('a"; x=\n/é@site.test', at=NOON) == "warmupd-a---x-----site.test-20260601.zip"
