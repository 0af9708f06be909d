"""Numbers that count what everybody does, shown so that they count nothing: a permutation under the site's secret."""

from hashlib import blake2b

_ROUNDS = range(4)
_HALF = 2**32


def disguise(number: int, secret: str) -> str:
    """16 digits that stand for `number` (0 to 2^63 - 1). They have no order, and none is near another.

    Ids of jobs come from one sequence for all users: two of a user's own would tell how much others sent between them.
    So would those of the history tell how often others' mailboxes changed.
    A Feistel network (Luby and Rackoff, 1988) of four rounds.
    """
    left, right = divmod(number, _HALF)
    for turn in _ROUNDS:
        left, right = right, left ^ _mixed(right, turn, secret)
    return f"{left:08x}{right:08x}"


def number_of(text: str, secret: str) -> int | None:
    """The number that `text` stands for; None for what nobody was shown."""
    try:
        left, right = divmod(int(text, 16), _HALF)
    except ValueError:
        return None
    if len(text) != 16 or left >= _HALF:
        return None
    for turn in reversed(_ROUNDS):
        left, right = right ^ _mixed(left, turn, secret), left
    number = left * _HALF + right
    return number if disguise(number, secret) == text and number < 2**63 else None


def _mixed(half: int, turn: int, secret: str) -> int:
    key = blake2b(secret.encode(), digest_size=32, person=b"warmupd jobs").digest()
    digest = blake2b(bytes([turn]) + half.to_bytes(4, "big"), digest_size=4, key=key).digest()
    return int.from_bytes(digest, "big")
