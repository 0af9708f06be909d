"""How often one client may ask: a number of goes a minute, refilled steadily."""

import math
from collections import OrderedDict
from dataclasses import dataclass

MOST_KEYS = 20_000  # remembered; the one that asked longest ago is forgotten first


@dataclass(slots=True)
class _Bucket:
    goes: float
    at: float


class Limiter:
    """A token bucket for each key. In memory: each worker has its own. `per_minute` may be changed at any time."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, *, now: float) -> float:
        """Take one go at `now` (seconds that never jump). 0.0: granted; else in how many seconds there is one."""
        bucket = self._filled(key, now)
        if bucket.goes >= 1.0:
            bucket.goes -= 1.0
            return 0.0
        return (1.0 - bucket.goes) * 60.0 / self.per_minute

    def give_back(self, key: str, *, now: float) -> None:
        """The go was not what is to be limited: a log-in that succeeded."""
        bucket = self._filled(key, now)
        bucket.goes = min(self.per_minute, bucket.goes + 1.0)

    def _filled(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.pop(key, None) or _Bucket(goes=self.per_minute, at=now)
        bucket.goes = min(self.per_minute, bucket.goes + (now - bucket.at) * self.per_minute / 60.0)
        bucket.at = now
        self._buckets[key] = bucket
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return bucket


def retry_after(seconds: float) -> dict[str, str]:
    """The header that goes with 429 and 503 (RFC 9110 section 10.2.3)."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
