"""Lots that modelled servers draw: the same for the same question, in whatever order things come."""

_MASK = (1 << 64) - 1
MILLION = 1_000_000


def draw(seed: int, mailbox_id: int, number: int) -> int:
    """64 bits that belong to these three (the finaliser of MurmurHash3 on their sum with odd weights)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + mailbox_id * 0xBF58476D1CE4E5B9 + number * 0x94D049BB133111EB) & _MASK
    mixed = ((mixed ^ (mixed >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    mixed = ((mixed ^ (mixed >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return mixed ^ (mixed >> 33)
