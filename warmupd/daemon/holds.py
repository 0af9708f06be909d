"""What holds mailboxes back for a while: gates of caps that are spent, and mail servers that are busy or away."""

import datetime as dt
from collections import deque
from uuid import UUID

from warmupd.clock import Clock
from warmupd.core.gate import Gates
from warmupd.core.mailbox import Mailbox
from warmupd.daemon.permits import Permits

GLOBAL_CAPS = frozenset({"global_minute", "global_hour", "fleet_stopped"})
USER_CAPS = frozenset({"user_minute", "user_hour", "user_spacing"})
HOST_WAITS = (60.0, 300.0, 900.0, 1800.0)  # seconds that a mail server is left alone, time after time
HOST_FAILURES = 3  # connection failures in a row before a server is left alone


class Holds:
    """Kept in memory only: after a restart the first denial or failure tells again."""

    def __init__(self, clock: Clock) -> None:
        self.permits = Permits(clock)  # of sends under way
        self._clock = clock
        self._everybody_until = float("-inf")  # epoch seconds
        self.by_order = False  # sending is stopped for the whole fleet, as far as is known
        self._users = Gates()
        self._through: set[int] = set()  # mailboxes that a gate let out and that have not been answered yet
        self._behind: dict[int, UUID | str] = {}  # mailbox -> the user's gate or the mail server that it waits behind
        self._queues: dict[str, deque[int]] = {}  # who waits for a mail server; some have gone elsewhere since
        self._failures: dict[str, int] = {}  # connection failures in a row, those while the server was left alone once
        self._shut: dict[str, float] = {}  # mail server -> boottime until which it is left alone

    def waits(self, mailbox_id: int) -> bool:
        """Whether the mailbox waits behind a gate or for its mail server, and so is in no heap."""
        return mailbox_id in self._behind

    def discard(self, mailbox_id: int) -> None:
        """The mailbox is planned anew: it waits behind nothing any more."""
        if self._behind.pop(mailbox_id, None) is not None:
            self._users.discard(mailbox_id)
        self._through.discard(mailbox_id)

    def release(self, now: dt.datetime, *, per_host: int, most: int) -> list[int]:
        """The mailboxes that may ask now."""
        freed = self._users.release(now.timestamp())
        self._through.update(freed)
        for host in list(self._queues):
            freed += self._next_in_queue(host, self.permits.room_at(host, per_host, most))
        for mailbox_id in freed:
            self._behind.pop(mailbox_id, None)
        return freed

    # -- caps ---------------------------------------------------------------------------------------------------

    def shut_for_everybody(self, until: dt.datetime, *, by_order: bool = False) -> None:
        """A cap of the whole fleet is spent, or its sending was stopped."""
        self.by_order = by_order
        self._everybody_until = max(self._everybody_until, until.timestamp())

    def open_for_everybody(self) -> None:
        """Ask again: what held mailboxes back may be over. If a cap still does, the next denial tells so."""
        self._everybody_until = float("-inf")
        self._users.open()

    def everybody_waits(self, now: dt.datetime) -> dt.datetime | None:
        """Until when nobody may ask; None when somebody may."""
        if now.timestamp() >= self._everybody_until:
            return None
        return dt.datetime.fromtimestamp(self._everybody_until, dt.UTC)

    def since_opening(self, now: dt.datetime) -> float:
        """Seconds since everybody could ask again; less than none while everybody waits."""
        return now.timestamp() - self._everybody_until

    def shut_for_user(self, mailbox: Mailbox, until: dt.datetime, now: dt.datetime, *, since: dt.datetime) -> None:
        """A cap of the mailbox's user is spent; the mailbox waits behind it."""
        self._users.shut(mailbox.user_id, until.timestamp())
        self._through.discard(mailbox.id)
        self.park(mailbox, since, now)

    def park(self, mailbox: Mailbox, since: dt.datetime, now: dt.datetime) -> bool:
        """Whether the mailbox, who is owed a send `since` then, now waits behind its user's gate."""
        gate = self._users.get(mailbox.user_id)
        if gate is None or mailbox.id in self._through or gate.is_open(now.timestamp()):
            return False
        gate.park(mailbox.id, since.timestamp())
        self._behind[mailbox.id] = mailbox.user_id
        return True

    def answered(self, mailbox: Mailbox, *, granted: bool) -> None:
        """The mailbox's request was answered, and not by its gate."""
        self.by_order &= not granted
        if mailbox.id in self._through:
            self._through.discard(mailbox.id)
            if gate := self._users.get(mailbox.user_id):
                gate.granted() if granted else gate.answered()

    def next_opening(self) -> dt.datetime | None:
        """When the next mailbox can leave a gate; None when none waits."""
        moment = self._users.next_opening()
        if moment is None:
            return None
        now = self._clock.now()  # a gate that was opened before its time has none of its own
        return now if moment <= now.timestamp() else dt.datetime.fromtimestamp(moment, dt.UTC)

    # -- busy mail servers --------------------------------------------------------------------------------------

    def queue_for_host(self, mailbox: Mailbox) -> None:
        """The mailbox waits until its mail server is less busy."""
        self._queues.setdefault(mailbox.lane, deque()).append(mailbox.id)
        self._behind[mailbox.id] = mailbox.lane

    @property
    def has_queues(self) -> bool:
        """Whether mailboxes wait for their mail server to be less busy."""
        return bool(self._queues)

    def queued_room(self, *, per_host: int, most: int) -> int:
        """How many more may begin at that mail server of those queued for that has most room."""
        rooms = (
            min(self.permits.room_at(host, per_host, most), len(queue)) for host, queue in self._queues.items() if queue
        )
        return max(rooms, default=0)

    def empty_queues(self) -> None:
        """Nobody queues for a mail server any more: all are planned anew."""
        for host, queue in self._queues.items():
            for mailbox_id in queue:
                if self._behind.get(mailbox_id) == host:
                    del self._behind[mailbox_id]
        self._queues.clear()

    def _next_in_queue(self, host: str, room: int) -> list[int]:
        queue = self._queues[host]
        freed: list[int] = []
        while queue and len(freed) < room:
            mailbox_id = queue.popleft()
            if self._behind.get(mailbox_id) == host:
                freed.append(mailbox_id)
        if not queue:
            del self._queues[host]
        return freed

    # -- mail servers that are away -----------------------------------------------------------------------------

    def host_failed(self, server: str, seconds: float | None) -> float | None:
        """The server could not be reached. For how many seconds it is left alone from now on; None: nothing new.

        Sends that were under way when it was found to be away tell nothing new, unless it names the `seconds` itself.
        """
        if seconds is None and self.host_wait(server) is not None:
            return None
        failures = self._failures[server] = self._failures.get(server, 0) + 1
        if failures < HOST_FAILURES and seconds is None:
            return None
        wait = max(seconds or 0.0, HOST_WAITS[min(max(0, failures - HOST_FAILURES), len(HOST_WAITS) - 1)])
        self._shut[server] = self._clock.boottime() + wait
        return wait

    def host_answered(self, server: str) -> bool:
        """The server was reached: what it was held for is over. Whether it had been left alone."""
        self._failures.pop(server, None)
        return self._shut.pop(server, None) is not None

    def host_wait(self, server: str) -> float | None:
        """Seconds that the server is still left alone; None when it may be asked."""
        until = self._shut.get(server)
        if until is None or until <= self._clock.boottime():
            return None
        return until - self._clock.boottime()
