"""A machine whose wall clock is wrong, and can be set: the database's clock is right."""

import datetime as dt

from warmupd.clock import VirtualClock


class SkewedClock(VirtualClock):
    """`now` is what this machine believes; `stamp`, which the database goes by, and durations are right."""

    ahead = dt.timedelta(0)

    def now(self) -> dt.datetime:
        return super().now() + self.ahead

    @property
    def truth(self) -> dt.datetime:
        return super().now()
