"""The sends that are under way: started, counted by mail server, and waited for."""

import asyncio
from collections.abc import Callable, Mapping

from warmupd.clock import VirtualClock
from warmupd.core.job import Job
from warmupd.core.mailbox import Mailbox
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.ground import Ground
from warmupd.daemon.holds import Holds
from warmupd.daemon.leases import Leases
from warmupd.daemon.sender import Sender
from warmupd.daemon.settler import Settler
from warmupd.store.accounts import SealedAccount


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
    ) -> None:
        self._events = ground.events
        self._leases = leases
        self._holds = holds
        self._sender = sender
        self._settler = settler
        self._aftermath = aftermath
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def start(
        self, job: Job, mailbox: Mailbox, accounts: Mapping[int, SealedAccount], *, on_end: Callable[[], None]
    ) -> None:
        """Send the job; `on_end` is called when that has ended, whichever way."""
        self._holds.enter_host(mailbox.lane)
        task = asyncio.create_task(self._send(job, mailbox, accounts), name=f"send {job.id}")
        self._under_way.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            self._holds.leave_host(mailbox.lane)
            on_end()

        task.add_done_callback(ended)

    async def ended(self) -> None:
        """Return when no send is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def cut(self) -> None:
        """Break off what is under way: those jobs' outcomes are lost, and looked up later."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def asleep(self, clock: VirtualClock) -> bool:
        """Whether all that is under way waits for the clock alone."""
        return all(clock.asleep(task) for task in self._under_way)

    async def _send(self, job: Job, mailbox: Mailbox, accounts: Mapping[int, SealedAccount]) -> None:
        epoch = self._leases.epoch_of(mailbox)
        try:
            sent = await self._sender.send(job, mailbox, accounts, trusted=lambda: self._leases.trusts(mailbox, epoch))
            self._settler.add(sent.settlement)
            await self._aftermath.follow(mailbox, job, sent.outcome)
        except Exception as error:  # noqa: BLE001  one send's fault must not end the worker; its job is reaped as UNKNOWN
            self._leases.end(job.attempt_token)
            self._events.part_failed("send", error)
