"""Log-in passwords are hashed, and what is no password is refused."""

import pytest
from argon2 import PasswordHasher

from warmupd.errors import UsageError
from warmupd.http.passwords import hash_password


def test_password_fits_its_hash_and_is_not_in_it() -> None:
    hashed = hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$")
    assert "horse" not in hashed
    assert PasswordHasher().verify(hashed, "correct horse battery")


@pytest.mark.parametrize("password", ["", "too short", "x" * 1025])
def test_unfit_password_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(UsageError) as refused:
        hash_password(password)
    assert not password or password not in str(refused.value)
