"""The sends that are under way: started, counted by mail server, and waited for."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from warmupd.clock import VirtualClock
from warmupd.core.job import Job
from warmupd.core.mailbox import Mailbox
from warmupd.core.outcome import OutcomeKind
from warmupd.core.veil import Ends
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.ground import Ground
from warmupd.daemon.head_start import HeadStarts, Login
from warmupd.daemon.holds import Holds
from warmupd.daemon.leases import Leases
from warmupd.daemon.sender import SLOW_SERVER, Sender
from warmupd.daemon.settler import Settler
from warmupd.errors import DatabaseUnavailable
from warmupd.store.accounts import SealedAccount, load_accounts


class Sends:
    """One task a send, from the reserved job to the outcome, which goes to the settler."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        holds: Holds,
        sender: Sender,
        settler: Settler,
        aftermath: Aftermath,
        head_starts: HeadStarts,
    ) -> None:
        self.head_starts = head_starts
        self._db = ground.db
        self._events = ground.events
        self._leases = leases
        self._permits = holds.permits
        self._sender = sender
        self._settler = settler
        self._aftermath = aftermath
        self._under_way: set[asyncio.Task[bool]] = set()
        self._restless: set[asyncio.Task[bool]] = set()  # of them, those that were not asleep when last looked at

    def __len__(self) -> int:
        return len(self._under_way)

    def room(self, most: int) -> int:
        """How many more may begin now, of `most` at once."""
        return self._permits.room(most)

    def next_room(self) -> float | None:
        """Seconds of the clock until there may be more room although no send ends; None: there will not."""
        return self._permits.next_room()

    async def accounts(self, jobs: Sequence[Job]) -> Mapping[int, SealedAccount] | None:
        """The accounts of both ends of these jobs; None when they cannot be had now."""
        if not jobs:
            return {}
        try:
            return await load_accounts(
                self._db, list({end for job in jobs for end in (job.mailbox_id, job.recipient_id)})
            )
        except DatabaseUnavailable as error:
            self._events.database_unavailable("accounts", str(error))
            return None

    def start(
        self, job: Job, mailbox: Mailbox, accounts: Mapping[int, SealedAccount], *, on_end: Callable[[], None]
    ) -> None:
        """Send the job; `on_end` is called when that has ended, whichever way."""
        login = self.head_starts.take(mailbox.id)
        self._permits.enter(mailbox.id, mailbox.lane)
        task = asyncio.create_task(self._send(job, mailbox, accounts, login), name=f"send {job.id}")
        self._under_way.add(task)
        self._restless.add(task)

        def ended(task: asyncio.Task[bool]) -> None:
            self._under_way.discard(task)
            self._restless.discard(task)
            if login is not None:
                login.end()  # a task that is cancelled before it began runs no `finally` of its own
            self._permits.leave(mailbox.id, in_vain=task.cancelled() or task.result())
            on_end()

        task.add_done_callback(ended)

    async def ended(self) -> None:
        """Return when no send is under way. Who has logged in without a reservation leaves."""
        await self.head_starts.cut()
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def cut(self) -> None:
        """Break off what is under way: those jobs' outcomes are lost, and looked up later."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.head_starts.cut()

    def asleep(self, clock: VirtualClock) -> bool:
        """Whether all that is under way waits for the clock alone."""
        while self._restless:  # first those of whom it was not so: it is asked dozens of times while many wake
            task = next(iter(self._restless))
            if not clock.asleep(task):
                return False
            self._restless.discard(task)
        self._restless = {task for task in self._under_way if not clock.asleep(task)}
        return not self._restless and self.head_starts.asleep(clock)

    async def _send(
        self, job: Job, mailbox: Mailbox, accounts: Mapping[int, SealedAccount], login: Login | None
    ) -> bool:
        """Whether it was in vain: nothing was accepted, and not for want of our own time."""
        structlog.contextvars.bind_contextvars(job=job.id)  # of this task: each line about it says so
        epoch = self._leases.epoch_of(mailbox)
        try:
            sent = await self._sender.send(
                job, mailbox, accounts, trusted=lambda: self._leases.trusts(mailbox, epoch), login=login
            )
            if sent.outcome.reason == SLOW_SERVER:
                self.head_starts.note_slow(mailbox.smtp_server)
            ends = _ends(job, accounts)
            said = ends.for_sender(sent.settlement.message)
            unveiled = said == sent.settlement.message  # as nearly always
            self._settler.add(sent.settlement if unveiled else replace(sent.settlement, message=said))
            await self._aftermath.follow(mailbox, job, sent.outcome, ends)
            return sent.outcome.kind is not OutcomeKind.SENT and sent.outcome.reason != SLOW_SERVER
        except Exception as error:  # noqa: BLE001  one send's fault must not end the worker; its job is reaped as UNKNOWN
            self._leases.end(job.attempt_token)
            self._events.part_failed("send", error)
            return True


def _ends(job: Job, accounts: Mapping[int, SealedAccount]) -> Ends:
    """Who must not read of whom in what is said of this job."""
    sender, recipient = accounts.get(job.mailbox_id), accounts.get(job.recipient_id)
    return Ends(
        sender=sender.address if sender else "",
        recipient=recipient.address if recipient else "",
        same_user=sender is not None and recipient is not None and sender.user_id == recipient.user_id,
    )
