"""What to simulate, and the configuration that the simulated workers run under."""

import datetime as dt
from dataclasses import dataclass
from math import ceil
from zoneinfo import ZoneInfo

from warmupd.config import Config
from warmupd.core.mailbox import Hours
from warmupd.core.window import window_of
from warmupd.errors import UsageError
from warmupd.sandbox.simulation.climate import CLIMATES
from warmupd.store.embedded import MEMORY

FIRST_DAY = dt.date(2027, 3, 1)  # a Monday; a simulation's days are its own, so that the same seed is the same run
ATLANTIC = ("Europe/London", "America/New_York", "Europe/Berlin", "America/Sao_Paulo", "Europe/Athens")
WORLD = (
    *ATLANTIC,
    "Asia/Tokyo",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Asia/Dubai",
    "Pacific/Auckland",
    "Asia/Shanghai",
)
BEFORE = dt.timedelta(minutes=10)  # the run begins this long before the first window opens
IDLE = BEFORE - dt.timedelta(minutes=1)  # so much of it is counted as idling: then days are opened
AFTER = dt.timedelta(minutes=10)  # and goes on this long after the last one closes
AFTER_VISITS = dt.timedelta(minutes=75)  # to be found, what was sent last needs a visit
HEADROOM = 2.0  # of automatic caps: times what the quotas ask for in an even hour
LARGE = 2000  # mailboxes: beyond it visits are asked for by name, and time goes on while Postgres works
MOST_GRAIN = 1.0  # seconds: conversations are prolonged by it twice, and once more where time goes on meanwhile
HOURS = Hours(start=6, end=22)  # as the configuration has them unless it is changed
RAMP_START = 5  # sends on the first day of a ramp
MOST_MEMORY = 2048  # MiB of Postgres' shared_buffers
MAILBOXES_A_MIB = 100  # beyond the least: most of what a day writes, some 14 KB a mailbox at 30 sends, fits into it
PER_USER = 100  # mailboxes, unless users are named


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """A worker ends as by kill -9, so long after midnight (UTC) of the first day."""

    after: dt.timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationOptions:
    """What to run. Raises UsageError for what cannot be."""

    mailboxes: int = 1000
    users: int | None = None  # None: one for every hundred mailboxes
    days: int = 1
    workers: int = 1
    seed: int = 1
    per_day: int = 30
    ramp: bool = False  # from the first day of the ramp, else ramped already
    visits: int | None = None  # a day and mailbox; None: 6 in small worlds, none in large ones
    pools: str = "shared"  # or "private": each user's own
    zones: tuple[str, ...] = ATLANTIC
    caps: str = "auto"  # or "default", or "GLOBAL,USER" an hour
    climate: str = "fair"
    kills: tuple[Kill, ...] = ()
    restart_after: dt.timedelta | None = None  # None: who was killed does not come back
    grain: float = 0.5  # seconds: all who wake within it wake together
    overlap: bool | None = None  # whether time goes on, by a grain, while Postgres works; None: in large worlds
    lease_seconds: int = 30

    def __post_init__(self) -> None:
        if self.mailboxes < 2:
            raise UsageError("a simulation needs two mailboxes at least: they write to each other")
        if not 1 <= self.user_count <= self.mailboxes:
            raise UsageError(f"{self.users} users cannot share {self.mailboxes} mailboxes")
        if self.pools == "private" and self.mailboxes // self.user_count < 2:
            raise UsageError("in private pools each user needs two mailboxes at least")
        if self.restart_after is None and len(self.kills) >= self.workers:
            raise UsageError(
                f"{len(self.kills)} of {self.workers} workers are to be killed: nobody would be left",
                remedy="start more with --workers, or have them come back with --restart-after",
            )
        if not 0 < self.grain <= MOST_GRAIN:
            raise UsageError(f"a grain of {self.grain:g} s is too coarse: MAIL FROM follows its reservation within 5 s")
        if self.climate not in CLIMATES:
            raise UsageError(f"the climate {self.climate} is not known", remedy=f"there are {', '.join(CLIMATES)}")
        self.limits()
        self._check_kills()

    @property
    def user_count(self) -> int:
        return self.users if self.users is not None else max(1, self.mailboxes // PER_USER)

    @property
    def visits_a_day(self) -> int:
        return self.visits if self.visits is not None else 6 if self.mailboxes <= LARGE else 0

    @property
    def overlaps(self) -> bool:
        return self.overlap if self.overlap is not None else self.mailboxes > LARGE

    @property
    def delay(self) -> float:
        """Seconds that somebody may wake late."""
        return self.grain * (2 if self.overlaps else 1)

    @property
    def memory(self) -> int:
        """MiB that Postgres has as shared_buffers."""
        return min(max(self.mailboxes // MAILBOXES_A_MIB, MEMORY), MOST_MEMORY)

    @property
    def dates(self) -> tuple[dt.date, ...]:
        """The local days that all mailboxes live through."""
        return tuple(FIRST_DAY + dt.timedelta(days=number) for number in range(self.days))

    @property
    def midnight(self) -> dt.datetime:
        """UTC, of the first day: what kills are counted from."""
        return dt.datetime.combine(FIRST_DAY, dt.time(), dt.UTC)

    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """The run's time: from before the first window opens to after the last one has closed."""
        opening = [window for zone in self.zones if (window := window_of(self.dates[0], zone, HOURS))]
        closing = [window for zone in self.zones if (window := window_of(self.dates[-1], zone, HOURS))]
        after = AFTER_VISITS if self.visits_a_day else AFTER
        return min(one.opens_at for one in opening) - BEFORE, max(one.closes_at for one in closing) + after

    def strikes(self) -> list[tuple[dt.datetime, int]]:
        """When a worker dies (-1) or comes (+1), in order."""
        deeds = [(self.midnight + kill.after, -1) for kill in self.kills]
        if self.restart_after is not None:
            deeds += [(at + self.restart_after, 1) for at, _ in deeds]
        return sorted(deeds)

    def limits(self) -> "Caps":
        """The caps that `caps` stands for. Raises UsageError."""
        if self.caps == "auto":
            hour = self.per_day / 16 * HEADROOM
            return Caps(
                global_per_hour=ceil(self.mailboxes * hour),
                user_per_hour=ceil(-(-self.mailboxes // self.user_count) * hour),
            )
        if self.caps == "default":
            return Caps(global_per_hour=10_000, user_per_hour=300)
        numbers = [number.strip() for number in self.caps.split(",")]
        if len(numbers) != 2 or not all(is_number(number, digits=9) and int(number) for number in numbers):
            raise UsageError(
                f"--caps {self.caps} is not understood",
                remedy='give "auto", "default", or two numbers: sends an hour of all, and of one user ("20000,500")',
            )
        return Caps(global_per_hour=int(numbers[0]), user_per_hour=int(numbers[1]))

    def config(self, key: str) -> Config:
        """Of every worker. As many sends at once as the busiest minutes can need."""
        caps, at_once = self.limits(), max(20, ceil(self.mailboxes * self.per_day / 57_600 * 12 / self.workers))
        return Config.isolated(
            {
                "secrets.keys": [key],
                "quota.min_daily": self.per_day,
                "quota.target_daily": self.per_day,
                "quota.ramp_start": min(RAMP_START, self.per_day) if self.ramp else self.per_day,
                "quota.variance": 0.0,
                "limits.global_per_hour": caps.global_per_hour,
                "limits.user_per_hour": caps.user_per_hour,
                "worker.lease_seconds": self.lease_seconds,
                "sending.max_concurrent": min(5000, at_once),
                "sending.per_host_concurrent": min(5000, at_once),
                "engagement.visits_per_day": max(1, self.visits_a_day),
                "housekeeping.job_retention_days": 3650,  # the whole run is judged by its jobs
            }
        )

    def _check_kills(self) -> None:
        """Each falls into the run, and so does who comes back; somebody is there to be killed."""
        (begin, end), left = self.span(), self.workers
        for at, change in self.strikes():
            if not begin <= at < end:
                what = "--kill-at" if change < 0 else "what --restart-after starts"
                raise UsageError(
                    f"{what} must lie within the run: {at:%Y-%m-%d %H:%M} UTC does not",
                    remedy=f"the run lasts from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC;"
                    f" {self.midnight:%Y-%m-%d} is its day 1",
                )
            if not left and change < 0:
                raise UsageError(
                    f"nobody is left to be killed at {at:%H:%M}",
                    remedy="start more with --workers, or have them come back sooner with --restart-after",
                )
            left += change


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """Most sends an hour; the minute's follow from them as the configuration has it."""

    global_per_hour: int
    user_per_hour: int


def is_number(word: str, *, digits: int) -> bool:
    """Whether these are at most so many decimal digits, and nothing else."""
    return word.isdecimal() and len(word) <= digits


def check_zones(names: str) -> tuple[str, ...]:
    """`atlantic`, `world`, or IANA names with commas between. Raises UsageError for one that is not known."""
    if known := {"atlantic": ATLANTIC, "world": WORLD}.get(names):
        return known
    zones = tuple(name.strip() for name in names.split(",") if name.strip())
    for zone in zones or ("",):
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise UsageError(
                f"{zone!r} is not a time zone", remedy='give "atlantic", "world" or names such as Europe/Berlin'
            ) from None
    return zones
