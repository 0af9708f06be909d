"""Delivery reports that a visit found: the job has failed, its recipient is checked, the report is filed away."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

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
from warmupd.store.bounces import record_bounces


class Bounces:
    """Follows up on delivery reports, each once."""

    def __init__(self, ground: Ground, leases: Leases, aftermath: Aftermath) -> None:
        self._ground = ground
        self._leases = leases
        self._aftermath = aftermath

    async def follow(self, mailbox: Mailbox, visit: Visit, bounces: Sequence[Bounce]) -> None:
        """Write down what failed for good, and file all reports on this mailbox's own messages away.

        One that speaks of another mailbox's message is let be. Raises LeaseLost when the mailbox is another worker's.
        """
        if not bounces:
            return
        epoch, ground = self._leases.epoch_of(mailbox), self._ground
        if epoch is None:
            raise LeaseLost(f"the lease of mailbox {mailbox.id} is in doubt")
        failed = [bounce for bounce in bounces if bounce.failed]
        told = [(one.place.token.day, one.place.token.job_id, said(one)) for one in failed]
        slot = self._leases.slot_of(mailbox)
        answers = await record_bounces(ground.db, mailbox.id, told, slot=slot, epoch=epoch, at=ground.clock.stamp())
        for bounce, recipient_id in zip(failed, answers, strict=True):
            if recipient_id is None:
                continue
            if recipient_id:
                outcome = judged(bounce)
                ground.events.bounced(job=bounce.place.token.job_id, mailbox=mailbox.id, message=outcome.message)
                await self._aftermath.check_recipient(mailbox, recipient_id, outcome)
            with suppress(ImapError):  # what it says is written down, and the other reports matter more
                await visit.mark_read(bounce.place)
                await visit.file_away(bounce.place)


def said(bounce: Bounce) -> str:
    """The report's status and text, as the job keeps them."""
    quotes = bounce.text if bounce.status in bounce.text else f"{bounce.status} {bounce.text}"
    return quotes.strip() or "a delivery report says that it could not be delivered"


def judged(bounce: Bounce) -> Outcome:
    """What the report means for the recipient: as if its server had said so at RCPT."""
    code = bounce.code or (int(bounce.status[0]) * 100 + 50 if bounce.status else 554)
    reply = SmtpReply(phase=Phase.RCPT, code=code, enhanced=bounce.status, text=bounce.text)
    return replace(classify(reply), message=said(bounce))
