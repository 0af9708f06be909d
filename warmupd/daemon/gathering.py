"""When Postgres is asked for sends: so seldom that much is asked at once, so soon that nobody waits for long."""

from warmupd.clock import Clock
from warmupd.daemon.schedule import Schedule

GATHER = 0.5  # seconds of the clock between two batches of mailboxes that fall due one by one
REFILL = 0.1  # between two batches while more are due than may begin: places that get free are filled together
ENOUGH = 50  # a batch that gains little by growing: of these, Postgres pays a tenth a send of what one alone costs
INSTANT = 0.001  # less is not worth waiting for, nor can every clock tell it


class Gathering:
    """Holds a batch back while it is small and the last one was just now. After a lull nobody is held back.

    While sends wait for others to end, half of those places getting free is enough, too: a place stays empty for
    REFILL seconds at most, and no more than half of all are.
    """

    def __init__(self, clock: Clock, schedule: Schedule) -> None:
        self._clock = clock
        self._schedule = schedule
        self._holds = schedule.holds
        self._asked_at = float("-inf")  # boottime

    def note_asked(self) -> None:
        """A batch is asked for now."""
        self._asked_at = self._clock.boottime()

    @property
    def wants_room(self) -> bool:
        """Whether somebody waits for a send to end."""
        room = self._holds.permits.room(self._schedule.pace.max_concurrent)
        return self._schedule.depth() >= room or self._holds.has_queues

    def wait(self) -> float:
        """Seconds of the clock until a batch may be asked for; 0.0 when it may now."""
        if not self._left_of(GATHER):
            return 0.0
        pace, due = self._schedule.pace, self._schedule.depth()
        most = min(pace.max_concurrent, pace.batch_size)
        room = min(self._holds.permits.room(pace.max_concurrent), most)
        lanes = self._holds.queued_room(per_host=pace.per_host_concurrent, most=pace.max_concurrent)
        if due < room and not lanes:
            return 0.0 if due >= ENOUGH else self._left_of(GATHER)
        if 2 * lanes >= pace.per_host_concurrent or (due >= room and 2 * room >= most):
            return 0.0
        return self._left_of(REFILL)

    def _left_of(self, seconds: float) -> float:
        left = self._asked_at + seconds - self._clock.boottime()
        return left if left > INSTANT else 0.0
