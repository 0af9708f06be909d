"""Log-in passwords: hashed by argon2id with the library's parameters (RFC 9106), never stored."""

from warmupd.errors import UsageError

SHORTEST = 10  # characters
LONGEST = 1024  # characters: hashing takes as long as the password is


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
