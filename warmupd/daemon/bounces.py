"""Delivery reports that a visit found: the job has failed, its recipient is checked, the report is filed away."""

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from warmupd.core.fate import Fate, fate_of
from warmupd.core.mailbox import Mailbox
from warmupd.core.outcome import Outcome, classify
from warmupd.core.reply import Phase, SmtpReply
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.errors import LeaseLost
from warmupd.mail.found import Bounce
from warmupd.mail.imap import ImapError
from warmupd.mail.visit import Visit
from warmupd.store.bounces import record_bounces, reported_ends


class Bounces:
    """Follows up on delivery reports, each once."""

    def __init__(self, ground: Ground, leases: Leases, aftermath: Aftermath) -> None:
        self._ground = ground
        self._leases = leases
        self._aftermath = aftermath

    async def follow(self, mailbox: Mailbox, visit: Visit | None, bounces: Sequence[Bounce]) -> None:
        """Write down what failed for good, and file all reports on this mailbox's own messages away, if in a `visit`.

        One that speaks of another mailbox's message is let be; one that speaks of another recipient than the job's
        changes nothing. Reports are not signed. Who has the message can write one: its recipient, against himself
        alone, who is then visited and spared. Raises LeaseLost when the mailbox is another worker's.
        """
        if not bounces:
            return
        epoch, ground = self._leases.epoch_of(mailbox), self._ground
        if epoch is None:
            raise LeaseLost(f"the lease of mailbox {mailbox.id} is in doubt")
        known = await reported_ends(ground.db, mailbox.id, [_job(bounce) for bounce in bounces])
        ours = [(one, ends) for one, ends in zip(bounces, known, strict=True) if ends is not None]
        fates = [(one, ends, fate_of(one.fates, ends.recipient)) for one, ends in ours]
        failed = [(one, ends, fate) for one, ends, fate in fates if fate is not None and fate.failed]
        told = [(*_job(one), ends.for_sender(said(fate))) for one, ends, fate in failed]
        slot = self._leases.slot_of(mailbox)
        answers = await record_bounces(ground.db, mailbox.id, told, slot=slot, epoch=epoch, at=ground.clock.stamp())
        for (bounce, ends, fate), recipient_id in zip(failed, answers, strict=True):
            if recipient_id:
                outcome = judged(fate)
                ground.events.bounced(job=bounce.place.token.job_id, mailbox=mailbox.id, message=outcome.message)
                for_recipient = replace(outcome, message=ends.for_recipient(outcome.message))
                await self._aftermath.check_recipient(mailbox, recipient_id, for_recipient)
        if visit is None:
            return
        for bounce, _ in ours:
            with suppress(ImapError):  # what it says is written down, and the other reports matter more
                await visit.mark_read(bounce.place)
                await visit.file_away(bounce.place)


def said(fate: Fate) -> str:
    """The report's status and text, as the job keeps them."""
    quotes = fate.text if fate.status in fate.text else f"{fate.status} {fate.text}"
    return quotes.strip() or "a delivery report says that it could not be delivered"


def judged(fate: Fate) -> Outcome:
    """What the report means for the recipient: as if its server had said so at RCPT."""
    code = fate.code or (int(fate.status[0]) * 100 + 50 if fate.status else 554)
    reply = SmtpReply(phase=Phase.RCPT, code=code, enhanced=fate.status, text=fate.text)
    return replace(classify(reply), message=said(fate))


def _job(bounce: Bounce) -> tuple[dt.date, int]:
    return bounce.place.token.day, bounce.place.token.job_id
