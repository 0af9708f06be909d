"""Log-in passwords: hashed by argon2id with the library's parameters (RFC 9106), never stored."""

import asyncio
from functools import lru_cache

from warmupd.errors import UsageError

SHORTEST = 10  # characters
LONGEST = 1024  # characters: hashing takes as long as the password is
AT_ONCE = 2  # hashes that are computed at the same time: each takes 64 MiB, and a core

_turns = asyncio.Semaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """The hash to be stored. Raises UsageError as `check_password` does."""
    from argon2 import PasswordHasher

    check_password(password)
    return PasswordHasher().hash(password)


def check_password(password: str) -> None:
    """Raises UsageError for a password that is too short or too long."""
    if len(password) < SHORTEST:
        raise UsageError(f"the password is shorter than {SHORTEST} characters", remedy="choose a longer one")
    if len(password) > LONGEST:
        raise UsageError(f"the password is longer than {LONGEST} characters", remedy="choose a shorter one")


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether it is the one, off the loop. As slow for a user that does not exist (None) as for one that does."""
    if len(password) > LONGEST:
        return False
    async with _turns:
        return await asyncio.to_thread(_verify, password, password_hash)


def _verify(password: str, password_hash: str | None) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        genuine = PasswordHasher().verify(password_hash or _nobodys(), password)
    except (Argon2Error, InvalidHashError):
        return False
    return genuine and password_hash is not None


@lru_cache(maxsize=1)
def _nobodys() -> str:
    """A hash that takes as long to compare as any."""
    from argon2 import PasswordHasher

    return PasswordHasher().hash("nobody has this password")
