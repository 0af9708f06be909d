"""Log-in passwords: what is taken for one, and their hashes by argon2id with the library's parameters (RFC 9106)."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from warmupd.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 10  # characters
LONGEST = 1024  # characters: hashing takes as long as the password is
AT_ONCE = 2  # hashes that are computed at the same time: each takes 64 MiB, and a core
T = TypeVar("T")
_turns: set[object] = set()
_workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")


def check_password(password: str, *, email: str = "") -> None:
    """Raises UsageError for a password that is too short or too long, the user's address, or among the commonest."""
    if len(password) < SHORTEST:
        raise UsageError(f"the password is shorter than {SHORTEST} characters", remedy="choose a longer one")
    if len(password) > LONGEST:
        raise UsageError(f"the password is longer than {LONGEST} characters", remedy="choose a shorter one")
    plain = password.strip().lower()
    if email and plain in {email.strip().lower(), email.strip().lower().partition("@")[0]}:
        raise UsageError("the password is the e-mail address", remedy="choose another one")
    if plain in _common() or len(set(plain)) <= 2:
        raise UsageError("the password is among the first that anybody tries", remedy="choose another one")


def hash_password(password: str, *, email: str = "") -> str:
    """The hash to be stored; takes a tenth of a second of a core. Raises UsageError as `check_password` does."""
    check_password(password, email=email)
    return _hasher().hash(_bytes(password))


async def new_hash(password: str, *, email: str) -> str:
    """The same off the loop."""
    check_password(password, email=email)
    return await _in_turn(_hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether it is the one, off the loop. As slow for a user that does not exist (None) as for one that does."""
    return len(password) <= LONGEST and await _in_turn(_verify, password, password_hash)


async def stronger_hash(password: str, password_hash: str) -> str | None:
    """The hash by today's parameters, of a password that fits; None when it has them."""
    return await _in_turn(_hash, password) if _hasher().check_needs_rehash(password_hash) else None


def under_way() -> int:
    """How many hashes are computed, or wait for their turn."""
    return len(_turns)


async def _in_turn(work: Callable[..., T], *given: object) -> T:
    turn = object()
    _turns.add(turn)
    try:
        return await asyncio.get_running_loop().run_in_executor(_workers, work, *given)
    finally:
        _turns.discard(turn)


@cache
def _common() -> frozenset[str]:
    """The first that are tried, as far as they are long enough to be taken otherwise."""
    return frozenset((Path(__file__).parent / "common_passwords.txt").read_text("utf-8").split())


def _hash(password: str) -> str:
    return _hasher().hash(_bytes(password))


def _verify(password: str, password_hash: str | None) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    nobodys = _nobodys()  # made at the first log-in, whoever that is
    try:
        genuine = _hasher().verify(password_hash or nobodys, _bytes(password))
    except (Argon2Error, InvalidHashError):
        return False
    return genuine and password_hash is not None


def _bytes(password: str) -> bytes:
    """One form for what keyboards compose in different ways."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=1)
def _nobodys() -> str:
    """A hash that takes as long to compare as any."""
    return _hasher().hash("nobody has this password")


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()
