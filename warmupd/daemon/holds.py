"""What holds mailboxes back for a while: gates of caps that are spent, and mail servers that cannot be reached."""

import datetime as dt

from warmupd.clock import Clock
from warmupd.core.gate import Gates
from warmupd.core.mailbox import Mailbox

GLOBAL_CAPS = frozenset({"global_minute", "global_hour", "fleet_stopped"})
USER_CAPS = frozenset({"user_minute", "user_hour"})
HOST_WAITS = (60.0, 300.0, 900.0, 1800.0)  # seconds that a mail server is left alone, by failures in a row
HOST_FAILURES = 3  # connection failures in a row before a server is left alone


class Holds:
    """Kept in memory only: after a restart the first denial or failure tells again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._everybody_until = float("-inf")  # epoch seconds
        self._users = Gates()
        self._through: set[int] = set()  # mailboxes that a gate let out and that have not been answered yet
        self._host_failures: dict[str, int] = {}
        self._host_shut: dict[str, float] = {}  # host -> boottime

    def forget(self) -> None:
        """Start anew; hosts stay as they are known."""
        self._users = Gates()
        self._through.clear()

    def discard(self, mailbox_id: int) -> None:
        """The mailbox is planned anew: it does not wait behind a gate any more."""
        self._users.discard(mailbox_id)
        self._through.discard(mailbox_id)

    # -- caps ---------------------------------------------------------------------------------------------------

    def shut_for_everybody(self, until: dt.datetime) -> None:
        """A cap of the whole fleet is spent."""
        self._everybody_until = max(self._everybody_until, until.timestamp())

    def everybody_waits(self, now: dt.datetime) -> dt.datetime | None:
        """Until when nobody may ask; None when somebody may."""
        if now.timestamp() >= self._everybody_until:
            return None
        return dt.datetime.fromtimestamp(self._everybody_until, dt.UTC)

    def shut_for_user(self, mailbox: Mailbox, until: dt.datetime, now: dt.datetime) -> None:
        """A cap of the mailbox's user is spent; the mailbox waits behind it."""
        self._users.shut(mailbox.user_id, until.timestamp())
        self._through.discard(mailbox.id)
        self.park(mailbox, now)

    def park(self, mailbox: Mailbox, now: dt.datetime) -> bool:
        """Whether the mailbox now waits behind its user's gate."""
        gate = self._users.get(mailbox.user_id)
        if gate is None or mailbox.id in self._through or gate.is_open(now.timestamp()):
            return False
        gate.park(mailbox.id, now.timestamp())
        return True

    def release(self, now: dt.datetime) -> list[int]:
        """The mailboxes that their gates let out now."""
        freed = self._users.release(now.timestamp())
        self._through.update(freed)
        return freed

    def answered(self, mailbox: Mailbox, *, granted: bool) -> None:
        """The mailbox's request was answered, and not by its gate."""
        if mailbox.id in self._through:
            self._through.discard(mailbox.id)
            if gate := self._users.get(mailbox.user_id):
                gate.granted() if granted else gate.answered()

    def next_opening(self) -> dt.datetime | None:
        """When the next mailbox can leave a gate; None when none waits."""
        moment = self._users.next_opening()
        return None if moment is None else dt.datetime.fromtimestamp(moment, dt.UTC)

    # -- mail servers -------------------------------------------------------------------------------------------

    def host_failed(self, host: str, seconds: float | None) -> float | None:
        """The server could not be reached. For how many seconds it is left alone from now on; None: not yet."""
        failures = self._host_failures[host] = self._host_failures.get(host, 0) + 1
        if failures < HOST_FAILURES and seconds is None:
            return None
        wait = max(seconds or 0.0, HOST_WAITS[min(max(0, failures - HOST_FAILURES), len(HOST_WAITS) - 1)])
        self._host_shut[host] = self._clock.boottime() + wait
        return wait

    def host_answered(self, host: str) -> None:
        """The server was reached: what it was held for is over."""
        self._host_failures.pop(host, None)
        self._host_shut.pop(host, None)

    def host_wait(self, host: str) -> float | None:
        """Seconds that the server is still left alone; None when it may be asked."""
        until = self._host_shut.get(host)
        if until is None or until <= self._clock.boottime():
            return None
        return until - self._clock.boottime()
