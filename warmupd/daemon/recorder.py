"""Recording what a visit found: where each message landed, what is planned for it, and that its owner reads there."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from warmupd.core.engagement import EngagementPolicy, plan_engagement
from warmupd.core.mailbox import Mailbox
from warmupd.core.placement import FolderRole, Placement, placement_of
from warmupd.core.proof import OwnProof
from warmupd.core.window import local_day, window_of
from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.errors import LeaseLost
from warmupd.mail.visit import Found
from warmupd.store.proofs import prove_by_earlier
from warmupd.store.sightings import Known, Parent, Sighting, find_parents, record_missing, record_sightings
from warmupd.store.unknowns import confirm_sent

Key = tuple[dt.date, int]  # a job's day and id

# Of several copies of one message the one that its reader would meet first.
_ORDER = {FolderRole.INBOX: 0, FolderRole.JUNK: 1, FolderRole.OTHER: 2, FolderRole.WARMUP: 3, FolderRole.TRASH: 4}


class Recorder:
    """Turns found messages into sightings, once each."""

    def __init__(
        self,
        ground: Ground,
        leases: Leases,
        policy: EngagementPolicy,
        *,
        on_answers: Callable[[int], None],
        on_found: Callable[[int], None],
    ) -> None:
        """`on_answers` is told each mailbox for which answers were planned, `on_found` each in which a message was."""
        self.policy = policy
        self._ground = ground
        self._leases = leases
        self._on_answers = on_answers
        self._on_found = on_found

    async def record(self, mailbox: Mailbox, found: Sequence[Found], own: OwnProof = OwnProof.OWN) -> dict[Key, Found]:
        """Write down what was found for the first time; all that was found, by job, each where its reader meets it.

        `own` is what a message of the same user's mailboxes proves there. What bears the name of a message to this
        mailbox and comes from somebody else is none of ours: it counts for nothing, and is in no answer. Of several
        copies one is treated, and the others are let be.

        Raises LeaseLost when the mailbox is another worker's by now.
        """
        copies: defaultdict[Key, list[Found]] = defaultdict(list)
        for one in found:
            copies[one.token.day, one.token.job_id].append(one)
        known = await find_parents(self._ground.db, mailbox.id, list(copies)) if copies else []
        parents = [parent for parent in known if not parent.sighted]
        for parent in parents:
            key = (parent.job_day, parent.job_id)
            copies[key] = [one for one in copies[key] if one.is_from(parent.senders)]
        first = {
            key: min(several, key=lambda one: _ORDER.get(one.role, len(_ORDER)))
            for key, several in copies.items()
            if several
        }
        sightings = []
        for parent in parents:
            key = (parent.job_day, parent.job_id)
            if key in first and (sighting := self._sighting(mailbox, parent, copies[key], first[key])):
                sightings.append(sighting)
        if sightings:
            await self._write(mailbox, sightings, own)
        if others := copies.keys() - {(parent.job_day, parent.job_id) for parent in known}:
            await self._prove_by_earlier(mailbox, sorted(others), own)
        return first

    async def confirm(self, mailbox: Mailbox, copies: Sequence[Found]) -> None:
        """Write down that the mailbox's server took the messages of which these are its own copies.

        Raises LeaseLost when the mailbox is another worker's by now.
        """
        keys = {(one.token.day, one.token.job_id) for one in copies if one.role is FolderRole.SENT}
        if not keys:
            return
        slot, epoch = self._lease_of(mailbox)
        ground = self._ground
        confirmed = await confirm_sent(
            ground.db, mailbox.id, list(keys), slot=slot, epoch=epoch, at=ground.clock.stamp()
        )
        if confirmed:
            ground.events.found_sent(mailbox=mailbox.id, jobs=confirmed)

    async def miss(self, mailbox: Mailbox, *, began: dt.datetime, since: dt.date) -> None:
        """Write down what a complete visit that began then should have found, of what was sent on `since` or later.

        Raises LeaseLost when the mailbox is another worker's by now.
        """
        slot, epoch = self._lease_of(mailbox)
        ground = self._ground
        missed = await record_missing(
            ground.db, mailbox.id, began=began, since=since, slot=slot, epoch=epoch, at=ground.clock.stamp()
        )
        for _ in range(missed):
            ground.events.sighted(placement=Placement.MISSING, provider=mailbox.provider)

    def _sighting(self, mailbox: Mailbox, parent: Parent, copies: Sequence[Found], first: Found) -> Sighting | None:
        placement = placement_of(one.role for one in copies)
        if placement is None:
            return None
        now = self._ground.clock.now()
        today = window_of(local_day(now, mailbox.zone), mailbox.zone, mailbox.hours)
        policy = self.policy.of(mailbox.habits)
        return Sighting(
            job_day=parent.job_day,
            job_id=parent.job_id,
            placement=placement,
            folder=first.folder,
            uidvalidity=first.uidvalidity,
            uid=first.uid,
            message_id=first.message_id,
            thread=_thread(first),
            engagement=plan_engagement(
                placement,
                parent.thread_depth,
                now,
                today,
                replace(policy, reply_rate=0.0) if parent.before_restore else policy,
                self._ground.rng,
                sent_at=parent.sent_at,
            ),
            let_be=first.role is FolderRole.TRASH,  # its owner has thrown it away
        )

    async def _write(self, mailbox: Mailbox, sightings: Sequence[Sighting], own: OwnProof) -> None:
        slot, epoch = self._lease_of(mailbox)
        ground = self._ground
        known = await record_sightings(
            ground.db, mailbox.id, sightings, slot=slot, epoch=epoch, at=ground.clock.stamp(), own=own
        )
        for sighting, word in zip(sightings, known, strict=True):
            if word is Known.NEW:
                ground.events.sighted(placement=sighting.placement, provider=mailbox.provider)
        if Known.NEW in known:
            self._on_found(mailbox.id)
        if any(sighting.engagement.answer_at and not sighting.let_be for sighting in sightings):
            self._on_answers(mailbox.id)

    async def _prove_by_earlier(self, mailbox: Mailbox, keys: Sequence[Key], own: OwnProof) -> None:
        """What is not for this row may be from when the address was enrolled before."""
        slot, epoch = self._lease_of(mailbox)
        ground = self._ground
        if await prove_by_earlier(
            ground.db, mailbox.id, keys, slot=slot, epoch=epoch, at=ground.clock.stamp(), own=own
        ):
            self._on_found(mailbox.id)

    def _lease_of(self, mailbox: Mailbox) -> tuple[int, int]:
        slot = self._leases.slot_of(mailbox)
        epoch = self._leases.epoch_of(mailbox)
        if epoch is None:
            raise LeaseLost(f"slot {slot} is not ours any more")
        return slot, epoch


def _thread(found: Found) -> dict[str, object]:
    """What an answer to this message needs."""
    return {
        "subject": found.subject,
        "in_reply_to": found.message_id,
        "references": [*found.references, found.message_id],
    }
