"""Sealed secrets are sealed anew only where nobody has changed them, and open nowhere but in their own place."""

import asyncio
from itertools import permutations

import pytest

from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.errors import SecretsError
from warmupd.mail.vault import Vault
from warmupd.store.sealed import PLACES, Resealed, Sealed, replace_sealed, sealed_after

OLD, NEW = Vault.new_key(), Vault.new_key()


async def store(ground: Ground, box: int, vault: Vault) -> None:
    def seal(purpose: str) -> bytes:
        return vault.seal(f"{purpose} {box}", mailbox_id=box, purpose=purpose)

    await ground.db.execute(
        "UPDATE mailboxes SET smtp_secret = $2, imap_secret = $3 WHERE id = $1", box, seal("smtp"), seal("imap")
    )
    await ground.db.execute(
        "INSERT INTO oauth_grants (mailbox_id, provider, refresh_secret, access_secret, renew_at, expires_at)"
        " VALUES ($1, 'GOOGLE', $2, $3, now(), now()) ON CONFLICT (mailbox_id) DO UPDATE"
        " SET refresh_secret = $2, access_secret = $3",
        box,
        seal("oauth refresh"),
        seal("oauth access"),
    )


async def all_of(ground: Ground) -> list[Sealed]:
    return await sealed_after(ground.db, 0, limit=1000)


def resealed(found: list[Sealed]) -> list[Resealed]:
    vault = Vault([NEW, OLD])
    return [
        Resealed(was=one, secret=vault.reseal(one.secret, mailbox_id=one.mailbox_id, purpose=one.purpose))
        for one in found
    ]


async def test_all_four_kinds_are_read_and_replaced(ground: Ground) -> None:
    boxes = await ground.mailboxes(3)
    for box in boxes:
        await store(ground, box, Vault([OLD]))
    found = await all_of(ground)
    assert {(one.mailbox_id, one.purpose) for one in found} == {(box, place) for box in boxes for place in PLACES}
    assert await replace_sealed(ground.db, resealed(found)) == 12
    vault = Vault([NEW])
    for one in await all_of(ground):
        opened = vault.unseal(one.secret, mailbox_id=one.mailbox_id, purpose=one.purpose)
        assert opened == f"{one.purpose} {one.mailbox_id}"


async def test_a_secret_that_was_changed_meanwhile_is_not_overwritten(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await store(ground, box, Vault([OLD]))
    found = await all_of(ground)
    await ground.db.execute("UPDATE mailboxes SET smtp_secret = 'newer' WHERE id = $1", box)
    await ground.db.execute("UPDATE oauth_grants SET access_secret = 'newer' WHERE mailbox_id = $1", box)
    assert await replace_sealed(ground.db, resealed(found)) == 2
    changed = [one.purpose for one in await all_of(ground) if one.secret == b"newer"]
    assert changed == ["oauth access", "smtp"]


async def test_a_secret_that_is_being_changed_is_waited_for_and_kept(ground: Ground) -> None:
    (box,) = await ground.mailboxes(1)
    await store(ground, box, Vault([OLD]))
    found = await all_of(ground)
    async with ground.db.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE mailboxes SET smtp_secret = 'newer' WHERE id = $1", box)
        replacing = asyncio.create_task(replace_sealed(ground.db, resealed(found)))
        await transaction.commit()
    assert await replacing in {3, 4}
    (smtp,) = [one for one in await all_of(ground) if one.purpose == "smtp"]
    assert smtp.secret == b"newer"


async def test_two_rotations_at_once_replace_each_secret_once(ground: Ground) -> None:
    boxes = await ground.mailboxes(40)
    for box in boxes:
        await store(ground, box, Vault([OLD]))
    found = await all_of(ground)
    turns = [replace_sealed(ground.db, resealed(found[::step])) for step in (1, -1, 1, -1)]
    assert sum(await asyncio.gather(*turns)) == 160


@pytest.mark.parametrize(("here", "there"), list(permutations(PLACES, 2)))
async def test_a_secret_that_was_moved_to_another_place_does_not_open(ground: Ground, here: str, there: str) -> None:
    (box,) = await ground.mailboxes(1)
    vault = Vault([NEW])
    await store(ground, box, vault)
    secrets = {one.purpose: one.secret for one in await all_of(ground)}
    with pytest.raises(SecretsError, match="moved from another row"):
        vault.unseal(secrets[here], mailbox_id=box, purpose=there)


@pytest.mark.parametrize("purpose", PLACES)
async def test_a_secret_that_was_moved_to_another_row_does_not_open(ground: Ground, purpose: str) -> None:
    boxes = await ground.mailboxes(2)
    vault = Vault([NEW])
    for box in boxes:
        await store(ground, box, vault)
    mine, *_ = (one for one in await all_of(ground) if (one.mailbox_id, one.purpose) == (boxes[0], purpose))
    with pytest.raises(SecretsError, match="moved from another row"):
        vault.unseal(mine.secret, mailbox_id=boxes[1], purpose=purpose)
