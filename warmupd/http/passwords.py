"""Log-in passwords: what is taken for one, and their hashes by argon2id with the library's parameters (RFC 9106)."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeVar

from warmupd.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 10  # characters
LONGEST = 1024  # characters: hashing takes as long as the password is
AT_ONCE = 2  # hashes that are computed at the same time: each takes 64 MiB, and a core
COMMON = frozenset(  # the first that are tried, as far as they are long enough to be taken otherwise
    """
    0123456789 1234567890 12345678910 123456789a 123456789q 1234567891 9876543210 0987654321 1029384756 1111111111
    1122334455 123123123123 1212121212 11223344556677 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc q1w2e3r4t5
    q1w2e3r4t5y6 qwertyuiop qwertyuiop123 qwerty12345 qwerty123456 qwerty1234 qwertz12345 asdfghjkl1 asdfghjkl123
    zxcvbnm123 qazwsxedc123 qwertyuiopasdfghjkl abcdefghij abcdefghijk abcdefghijklmnopqrstuvwxyz abcd1234567
    abc1234567 abc123456789 a123456789 aa12345678 aa123456789 aaaaaaaaaa password12 password123 password1234
    password12345 passwort123 passwort1234 motdepasse123 contrasena123 password01 password2024 password2025
    password2026 passw0rd123 p@ssw0rd123 p@ssword123 p@$$w0rd123 pa55word123 passwordpassword mypassword
    mypassword1 mypassword123 thepassword newpassword newpassword1 changeme123 changemenow letmein123 letmein1234
    welcome123 welcome1234 welcome2024 welcome2025 welcome2026 iloveyou123 iloveyou12 iloveyousomuch ihateyou123
    administrator admin12345 admin123456 administrator1 adminadmin superadmin root123456 rootrootroot testtest123
    test123456 test1234567 testtesttest user123456 guest12345 default123 secret1234 secret12345 trustno1trustno1
    football123 baseball123 basketball superman123 batman12345 dragon12345 monkey12345 princess123 sunshine123
    starwars123 liverpool1 liverpool123 chelsea123 manchester manchester1 whatever123 computer123 internet123
    correcthorsebatterystaple warmupd123 warmupdwarmupd
    """.split()
)

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
    if plain in COMMON or len(set(plain)) <= 2:  # noqa: PLR2004  two characters in turn
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


def _hash(password: str) -> str:
    return _hasher().hash(_bytes(password))


def _verify(password: str, password_hash: str | None) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        genuine = _hasher().verify(password_hash or _nobodys(), _bytes(password))
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
