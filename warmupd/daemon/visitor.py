"""One visit: a mailbox is entered, looked into, and what is found is written down and treated."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

from warmupd.core.mailbox import Mailbox
from warmupd.core.proof import OwnProof, own_proof
from warmupd.core.provider_match import provider_of
from warmupd.core.provider_rules import may_keep_sent
from warmupd.core.window import is_open
from warmupd.daemon.bounces import Bounces
from warmupd.daemon.ground import Ground
from warmupd.daemon.keyring import Keyring
from warmupd.daemon.leases import Leases
from warmupd.daemon.recorder import Recorder
from warmupd.daemon.treatments import Key, Treated, treat
from warmupd.daemon.visiting import Visiting, enter_mailbox
from warmupd.errors import LeaseLost, NotFound
from warmupd.mail.imap import ImapError
from warmupd.mail.message_id import MessageKey
from warmupd.mail.visit import Found, Look, Visit
from warmupd.store.visits import DueVisit

LOOK_BACK = dt.timedelta(days=14)  # how far a folder is read that has never been read


class Visitor:
    """Pays visits, one at a time or many beside each other."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        recorder: Recorder,
        bounces: Bounces,
        keyring: Keyring,
        message_key: MessageKey,
    ) -> None:
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._leases = leases
        self._recorder = recorder
        self._bounces = bounces
        self._keyring = keyring
        self._message_key = message_key

    async def visit(
        self, mailbox: Mailbox, due: DueVisit, visiting: Visiting, *, epoch: int | None, began: dt.datetime
    ) -> tuple[Look, dt.datetime | None]:
        """What was found, and when there is something to do that cannot wait for the next planned visit.

        Raises LeaseLost when the mailbox is not surely this worker's, by `epoch`; NotFound when it was removed; else
        what `enter_mailbox` and the visit raise.
        """
        sealed, known = due.account, due.marks
        if sealed is None:
            raise NotFound("the mailbox was removed meanwhile")
        async with enter_mailbox(sealed, self._keyring, visiting, self._message_key.recognise) as visit:
            since = (began - LOOK_BACK).date()
            look = await visit.look_near(known, since=since)
            own = own_proof(sealed.address, sealed.imap_host, sealed.imap_username)
            treated = await self._take_in(mailbox, visit, look, epoch, own, due)
            if not look.trouble:
                further = await visit.look_further(known, since=since, everywhere=due.everywhere)
                if further.found or further.bounces:
                    due_now = replace(due, treats=True)
                    treated = treated.plus(await self._take_in(mailbox, visit, further, epoch, own, due_now))
                look = look.plus(further)
            look = replace(look, marks=visit.past_own(look.marks))
            if due.lost and may_keep_sent(provider_of(sealed.provider)):
                await self._look_for_lost(mailbox, visit, look, since)
        seconds = (self._clock.now() - began).total_seconds()
        found = len({one.token for one in look.found})
        self._events.visited(mailbox=mailbox.id, found=found, engaged=treated.engaged, seconds=seconds)
        return look, treated.follow_up

    async def _take_in(
        self, mailbox: Mailbox, visit: Visit, look: Look, epoch: int | None, own: OwnProof, due: DueVisit
    ) -> Treated:
        """Write down what a look has found, and treat what is due; after trouble the server is left alone.

        Unless it `treats` there is nothing due but what was found now. A report that is not filed away then stays as it
        is found: what it says is written down.
        """
        found = await self._recorder.record(mailbox, look.found, own)
        surely = ensure(self._leases, mailbox, epoch)
        idle = look.trouble is not None or not (due.treats or found)
        treated = (
            Treated() if idle else await self._treat(mailbox, visit, found, surely, failed_before=due.failures > 0)
        )
        await self._bounces.follow(mailbox, None if look.trouble else visit, look.bounces)
        return treated

    async def _treat(
        self, mailbox: Mailbox, visit: Visit, found: Mapping[Key, Found], epoch: int, *, failed_before: bool
    ) -> Treated:
        """In its owner's waking hours; at night a visit only looks."""
        if not is_open(self._clock.now(), mailbox.zone, mailbox.hours):
            return Treated()
        return await treat(
            self._db,
            visit,
            mailbox.id,
            found,
            epoch=epoch,
            trusted=lambda: self._leases.trusts(mailbox, epoch),
            clock=self._clock,
            events=self._events,
            failed_before=failed_before,
        )

    async def _look_for_lost(self, mailbox: Mailbox, visit: Visit, look: Look, since: dt.date) -> None:
        """Copies of what it sent and whose outcome was lost. What goes wrong here makes a good visit no worse."""
        copies = list(look.found)  # one may lie elsewhere, too: Gmail shows it in All Mail, an owner may have moved it
        try:
            copies += [] if look.trouble else await visit.look_into_sent(since=since)
        except ImapError as error:
            self._events.visit_failed(mailbox=mailbox.id, why=f"after all else, its sent mail: {error}")
        await self._recorder.confirm(mailbox, copies)


def ensure(leases: Leases, mailbox: Mailbox, epoch: int | None) -> int:
    """Raise LeaseLost unless the mailbox is surely this worker's, by the same epoch as then."""
    if epoch is None or not leases.trusts(mailbox, epoch):
        raise LeaseLost(f"the lease of mailbox {mailbox.id} is in doubt")
    return epoch
