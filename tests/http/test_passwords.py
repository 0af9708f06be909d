"""Log-in passwords are hashed, and what is no password is refused."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from tests.http.conftest import OWNER, PASSWORD, House
from warmupd.errors import UsageError
from warmupd.http import passwords
from warmupd.http.passwords import AT_ONCE, check_password, hash_password, verify_password
from warmupd.store.access import access_by_email, keep_rehashed


def test_password_fits_its_hash_and_is_not_in_it() -> None:
    hashed = hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$")
    assert "horse" not in hashed
    assert PasswordHasher().verify(hashed, "correct horse battery")


@pytest.mark.parametrize(
    "password", ["", "too short", "x" * 1025, "Password123", " qwertyuiop ", "0101010101", "Owner@Site.test"]
)
def test_unfit_password_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(UsageError) as refused:
        hash_password(password, email="owner@site.test")
    assert not password or password not in str(refused.value)


@pytest.mark.parametrize("password", ["x1" * 5 + "y", "pässwörter, lang", "☃" * 9 + "!?", "owner@site.test, more"])
def test_odd_password_is_as_good_as_any(password: str) -> None:
    check_password(password, email="owner@site.test")


async def test_password_is_the_same_however_it_was_typed() -> None:
    hashed = hash_password("ma\u00f1ana por la ma\u00f1ana")
    assert await verify_password("man\u0303ana por la man\u0303ana", hashed)


async def test_no_more_are_computed_at_once_than_memory_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd, crowded = threading.Barrier(AT_ONCE + 1), threading.Event()

    def verify(*_: object) -> bool:
        try:
            crowd.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            return True
        crowded.set()
        return False

    monkeypatch.setattr(passwords, "_verify", verify)
    assert all(await asyncio.gather(*(verify_password(PASSWORD, "hash") for _ in range(20))))
    assert not crowded.is_set()
    assert passwords.under_way() == 0


@pytest.mark.parametrize("email", [OWNER, "nobody@site.test", "no\0body@site.test"])
async def test_log_in_takes_the_work_of_one_hash_whoever_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    verified: list[str] = []

    def verify(_: PasswordHasher, hashed: str, __: bytes) -> bool:
        verified.append(hashed)
        return False

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    answer = await house.open().post("/api/auth/token", json={"email": email, "password": PASSWORD})
    assert (answer.status_code, len(verified)) == (401, 1)


async def test_too_many_log_ins_at_once_are_put_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warmupd.http.login.under_way", lambda: 51)
    answer = await house.open().post("/api/auth/token", json={"email": OWNER, "password": PASSWORD})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_hash_of_weaker_parameters_is_replaced_at_log_in_and_nothing_ends(house: House) -> None:
    db = house.site.db
    browser = await house.browser(OWNER)
    weak = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    await db.execute("UPDATE users SET password_hash = $1 WHERE email = $2", weak, OWNER)
    await house.token(OWNER)
    access = await access_by_email(db, OWNER)
    assert access is not None
    assert access.password_hash is not None
    assert access.password_hash != weak
    assert not passwords._hasher().check_needs_rehash(access.password_hash)
    assert (await browser.get("/account")).status_code == 200


async def test_password_that_was_changed_meanwhile_is_not_put_back(house: House) -> None:
    db = house.site.db
    before = await access_by_email(db, OWNER)
    assert before is not None
    await db.execute("UPDATE users SET password_hash = 'newer' WHERE email = $1", OWNER)
    await keep_rehashed(db, before, "rehashed")
    assert await db.fetchval("SELECT password_hash FROM users WHERE email = $1", OWNER) == "newer"
