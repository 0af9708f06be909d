"""Every fact that the daemon tells: one function a fact, with a stable dotted name, for the log and the metrics."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog

from warmupd.daemon.logs import tell_left_out, tells_info
from warmupd.daemon.metrics import Metrics


class Events:
    """Where the parts of the daemon report what happened. No secret, address or message body passes through here."""

    def __init__(self, metrics: Metrics, log: Any = None) -> None:
        self.metrics = metrics
        self.waits: dict[str, str] = {}  # parts that wait for Postgres, and what it said to them
        self._log = log if log is not None else structlog.get_logger()

    def started(self, *, worker: str, slots: int) -> None:
        self._log.info("worker.started", worker=worker, slots=slots)

    def draining(self, in_flight: int) -> None:
        self._log.info("worker.draining", in_flight=in_flight)

    def stopped(self) -> None:
        tell_left_out(all_of_it=True)
        self._log.info("worker.stopped")

    def slots_claimed(self, count: int) -> None:
        self._log.info("lease.claimed", slots=count)

    def slots_given_back(self, count: int) -> None:
        self._log.info("lease.given_back", slots=count)

    def standing_by(self, why: str) -> None:
        self._log.warning("lease.standing_by", why=why)

    def triggered(self) -> None:
        self._log.info("fleet.triggered")

    def slots_lost(self, slots: Sequence[int]) -> None:
        self.metrics.lease_lost.inc(len(slots))
        self._log.warning("lease.lost", slots=list(slots))

    def database_unavailable(self, part: str, why: str) -> None:
        self.metrics.database_up.set(0)
        self._log.warning("database.unavailable", part=part, why=why)

    def database_back(self, part: str) -> None:
        self.metrics.database_up.set(1)
        self._log.info("database.back", part=part)

    def listening(self) -> None:
        self._log.info("database.listening")

    def not_listening(self, why: str) -> None:
        self._log.warning("database.not_listening", why=why, instead="looks for changes every two seconds")

    def days_opened(self, count: int) -> None:
        self._log.debug("day.opened", mailboxes=count)

    def settled(self, *, seconds: float, outcome: str, failed: str = "") -> None:
        """A reserved send ended so, and is written; `failed` is why its job ended FAILED, if it did."""
        self.metrics.cycle_duration.observe(seconds)
        self.metrics.attempts_ended[outcome].inc()
        if failed:
            self.metrics.failed(failed)

    def given_up(self, number: int, reason: str) -> None:
        """So many jobs ended FAILED without another attempt."""
        self.metrics.failed(reason, number)

    def reserved(self, *, asked: int, granted: int) -> None:
        self._log.debug("send.reserved", asked=asked, granted=granted)

    def denied(self, why: str) -> None:
        self.metrics.denied(why)

    def throttled(self, *, was: float, share: float, reason: str) -> None:
        if share < was:
            self._log.warning("fleet.throttled", was=round(was, 4), share=round(share, 4), reason=reason)
        else:
            self._log.info("fleet.restored", was=round(was, 4), share=round(share, 4), reason=reason)

    def sent(self, *, kind: str, job: int, seconds: float) -> None:
        self.metrics.sent_of_kind[kind].inc()
        if tells_info():
            self._log.info("send.sent", kind=kind, job=job, seconds=round(seconds, 3))

    def not_sent(self, *, job: int, mailbox: int, outcome: str, reason: str, message: str) -> None:
        self.metrics.errors.add()
        if outcome == "FAILED":
            self._log.warning("send.failed", job=job, mailbox=mailbox, reason=reason, message=message)
        elif outcome == "DEFERRED":
            self._log.warning("send.deferred", job=job, mailbox=mailbox, reason=reason, message=message)
        else:
            self._log.warning("send.returned", job=job, mailbox=mailbox, reason=reason, message=message)

    def unknown(self, *, job: int, mailbox: int, message: str) -> None:
        self.metrics.sends_unknown.inc()
        self.metrics.errors.add()
        self._log.warning("send.unknown", job=job, mailbox=mailbox, message=message)

    def bounced(self, *, job: int, mailbox: int, message: str) -> None:
        self.metrics.failed("bounced")
        self.metrics.errors.add()
        self._log.warning("job.bounced", job=job, mailbox=mailbox, message=message)

    def stale_settlement(self, job: int) -> None:
        self.metrics.stale_settlements.inc()
        self._log.warning("settle.stale", job=job)

    def settlements_lost(self, count: int) -> None:
        self._log.error("settle.lost", outcomes=count)

    def reaped(self, count: int) -> None:
        self.metrics.sends_unknown.inc(count)
        self._log.warning("job.reaped", jobs=count)

    def found_sent(self, *, mailbox: int, jobs: int) -> None:
        self._log.info("job.found_sent", mailbox=mailbox, jobs=jobs)

    def state_changed(self, *, mailbox: int, state: str, reason: str) -> None:
        self._log.warning("mailbox.state_changed", mailbox=mailbox, state=state, reason=reason)

    def health_changed(self, *, mailbox: int, band: str, reason: str) -> None:
        self._log.warning("mailbox.health_changed", mailbox=mailbox, band=band, reason=reason)

    def limit_learnt(self, *, mailbox: int, limit: int) -> None:
        self._log.warning("mailbox.limit_learnt", mailbox=mailbox, limit=limit)

    def resting(self, *, mailbox: int, seconds: float, reason: str) -> None:
        self._log.info("mailbox.resting", mailbox=mailbox, seconds=round(seconds), reason=reason)

    def files_exhausted(self, *, part: str, remedy: str) -> None:
        """No connection could be opened, for want of files: no mailbox's or server's fault."""
        self.metrics.errors.add()
        self._log.error("files.exhausted", part=part, remedy=remedy)

    def host_shut(self, *, host: str, seconds: float) -> None:
        self._log.warning("host.shut", host=host, seconds=round(seconds))

    def visited(self, *, mailbox: int, found: int, engaged: int, seconds: float) -> None:
        self.metrics.visits.labels(outcome="done").inc()
        self._log.info("visit.done", mailbox=mailbox, found=found, engaged=engaged, seconds=round(seconds, 3))

    def visit_failed(self, *, mailbox: int, why: str) -> None:
        self.metrics.visits.labels(outcome="failed").inc()
        self.metrics.errors.add()
        self._log.warning("visit.failed", mailbox=mailbox, why=why)

    def sighted(self, *, placement: str, provider: str) -> None:
        self.metrics.sighted(placement, provider)

    def engaged(self, action: str) -> None:
        self.metrics.engagements.labels(action=action).inc()

    def cleared(self, *, mailbox: int, messages: int, folder_gone: bool) -> None:
        self._log.info("removal.cleared", mailbox=mailbox, messages=messages, folder_gone=folder_gone)

    def not_cleared(self, *, mailbox: int, why: str, again_seconds: float) -> None:
        self._log.warning("removal.not_cleared", mailbox=mailbox, why=why, again_seconds=round(again_seconds))

    def secrets_wiped(self, mailboxes: Sequence[int]) -> None:
        self._log.info("removal.secrets_wiped", mailboxes=list(mailboxes))

    def user_erased(self, *, user: str, rows: int) -> None:
        self._log.info("user.erased", user=user, rows=rows)

    def partitions_dropped(self, names: Sequence[str]) -> None:
        self._log.info("partitions.dropped", partitions=list(names))

    def partition_waits(self, name: str) -> None:
        """It is detached once the transactions of before have ended."""
        self._log.warning("partitions.waiting", partition=name)

    def notice_delivered(self, *, notice: UUID, kind: str, channel: str, tries: int) -> None:
        self._log.info("notice.delivered", notice=str(notice), kind=kind, channel=channel, tries=tries)

    def notice_failed(self, *, notice: UUID, channel: str, why: str, tries: int, again_seconds: float | None) -> None:
        again = None if again_seconds is None else round(again_seconds)
        self._log.warning(
            "notice.not_delivered", notice=str(notice), channel=channel, why=why, tries=tries, again_seconds=again
        )

    def no_recipient(self, mailbox: int) -> None:
        self._log.warning("pairing.no_recipient", mailbox=mailbox)

    def part_failed(self, part: str, error: BaseException) -> None:
        self._log.error("worker.part_failed", part=part, error=f"{type(error).__name__}: {error}", exc_info=error)
