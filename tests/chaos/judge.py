"""The judge: compares the ledger with what the mail server took, message by message, and counts what was broken."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median

from tests.chaos.caps import above_caps, load_steps
from tests.chaos.fleet_time import FleetTime
from tests.chaos.killer import AFTER_KILL, Hand, Takeover
from tests.chaos.scenario import Scenario
from tests.chaos.worker import SEND_WITHIN
from tests.store.invariants import broken
from warmupd.core.job import JobStatus
from warmupd.mail.message_id import MessageKey
from warmupd.sandbox.record import Record, Taken
from warmupd.sandbox.reserved import JobKey
from warmupd.sandbox.violations import Promises, count_violations
from warmupd.store.database import Database
from warmupd.store.evidence import load_reservations
from warmupd.store.ledger import LedgerEntry, load_day_entries, load_ledger
from warmupd.store.shortfall import count_unknowns

MOST_LAG = 0.25  # real seconds: what is due at a moment is not judged by more than this
LATE = 0.25  # real seconds that a line may take to the mail server, and be read there, when the machine is idle
AFTER_STOP = 2.0  # real seconds
MOST_UNPROVEN = 3
ENOUGH = 10  # messages, for a run to say something
# A mailbox's epochs, whatever slot it is in: a resize of the fleet moves it.
EPOCHS = """
    SELECT id FROM (SELECT id, epoch < max(epoch) OVER (PARTITION BY mailbox_id ORDER BY picked_at
                        RANGE UNBOUNDED PRECEDING EXCLUDE GROUP) AS late FROM warmup_jobs WHERE epoch IS NOT NULL) AS j
    WHERE late
"""
OPEN = "SELECT status, count(*) AS n FROM warmup_jobs WHERE status IN ('PENDING', 'PROCESSING', 'UNKNOWN') GROUP BY 1"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A run that is over and at rest."""

    scenario: Scenario
    time: FleetTime
    owners: Mapping[str, tuple[int, int]]
    sinks: frozenset[str]
    trusted: frozenset[int]  # mailboxes that were proven before
    key: MessageKey
    record: Record
    lag: float  # the mail server's, in real seconds
    hands: Sequence[Hand]
    takeovers: Sequence[Takeover]
    resized: bool
    done: Mapping[str, int]  # faults by kind
    faults: Sequence[str]  # of the run itself: who did not stop, or died


@dataclass(kw_only=True)
class Verdict:
    """What is to be told of a run."""

    seed: int
    faults: Mapping[str, int]
    sends: int
    unknowns: int
    resolved: int
    failed: int
    takeovers: Sequence[Takeover]
    violations: Counter[str] = field(default_factory=Counter)
    unjudged: Counter[str] = field(default_factory=Counter)  # late, on a machine that was late itself

    @property
    def is_empty(self) -> bool:
        """Too little was sent for the run to say that all is well."""
        return self.sends < ENOUGH

    @property
    def line(self) -> str:
        """For people."""
        faults = " ".join(f"{kind} {n}" for kind, n in self.faults.items())
        took = [f"{one.kind} {one.seconds:.2f}{'*' if one.disturbed else ''}" for one in self.takeovers]
        wrong = "; ".join(f"{n} {kind}" for kind, n in sorted(self.violations.items()))
        wrong = wrong or ("empty, not counted" if self.is_empty else "ok")
        wrong += "".join(f"; not judged: {n} {kind}" for kind, n in sorted(self.unjudged.items()))
        return (
            f"seed {self.seed}: {wrong} | {faults} | {self.sends} sent, {self.failed} failed,"
            f" {self.unknowns} lost, {self.resolved} of them found | taken over: {', '.join(took) or 'none'}"
        )


async def judge(db: Database, given: Evidence) -> Verdict:
    """Everything that must hold, at rest."""
    ledger, taken = await load_ledger(db), given.record.taken
    unknowns = await count_unknowns(db)
    verdict = Verdict(
        seed=given.scenario.seed,
        faults=dict(sorted((+Counter(given.done)).items())),
        sends=len(taken),
        unknowns=await db.fetchval("SELECT count(*) FROM warmup_jobs WHERE outcome IN ('reaped', 'unverified')")
        + unknowns.resolved,
        resolved=unknowns.resolved,
        failed=sum(entry.status is JobStatus.FAILED for entry in ledger),
        takeovers=given.takeovers,
    )
    wrong = verdict.violations
    surely, perhaps = await _promises(db, given, ledger)
    wrong.update(surely)
    verdict.unjudged = perhaps
    surely, perhaps = await _above_caps(db, given)
    wrong.update(surely)
    verdict.unjudged.update(perhaps)
    for sentence in await broken(db):
        if not (given.resized and sentence.startswith("I5")):
            wrong[sentence] += 1
    wrong["I5 an older epoch reserved for a mailbox after a newer one"] += len(await db.fetch(EPOCHS))
    for row in await db.fetch(OPEN):
        wrong[f"I2 {row['status']} at rest"] += row["n"]
    wrong.update(_unlike(ledger, taken, given))
    wrong["I9 more than three messages taken for an address before its proof"] += await _unproven(db, given)
    wrong["sent after it was frozen for longer than its lease"] += await _woken(db, given)
    wrong["I2 lost by a worker that ended in order"] += await _forgotten(db, given)
    surely, perhaps = _slow(given)
    wrong.update(surely)
    verdict.unjudged.update(perhaps)
    wrong.update(given.faults)
    verdict.violations = +wrong
    return verdict


def _weigh(given: Evidence, broken_by: Callable[[float], Counter[str]]) -> tuple[Counter[str], Counter[str]]:
    """What is broken, and what cannot be told: the lag of a moment must not excuse all others.

    `broken_by` tells what is, with an excuse of so many seconds. More than MOST_LAG is not excused; what would be
    broken without the rest of a longer lag is not judged.
    """
    surely, by_little = broken_by(given.lag), broken_by(min(given.lag, MOST_LAG))
    return surely, by_little - surely


async def _promises(db: Database, given: Evidence, ledger: Sequence[LedgerEntry]) -> tuple[Counter[str], Counter[str]]:
    limits, speed = given.scenario.limits, given.time.speed
    days, reservations = await load_day_entries(db), await load_reservations(db)
    promises = Promises(
        mailbox_gap=dt.timedelta(minutes=0.75),
        user_gap=dt.timedelta(seconds=1),
        global_per_minute=int(limits["limits.global_per_minute"]),
        global_per_hour=int(limits["limits.global_per_hour"]),
        user_per_minute=int(limits["limits.user_per_minute"]),
        user_per_hour=int(limits["limits.user_per_hour"]),
        slack=dt.timedelta(seconds=SEND_WITHIN),
        early=dt.timedelta(seconds=0.02 * speed),
    )

    def broken_by(lag: float) -> Counter[str]:
        found = count_violations(
            ledger,
            days,
            [*given.record.taken, *given.record.refused],
            promises=replace(promises, late=dt.timedelta(seconds=(LATE + lag) * speed)),
            clock_at=given.time.at,
            owners=given.owners,
            job_of=lambda one: _job_of(one, given.key),
            reservations=reservations,
        )
        return +Counter(asdict(found))

    return _weigh(given, broken_by)


async def _above_caps(db: Database, given: Evidence) -> tuple[Counter[str], Counter[str]]:
    limits, steps = given.scenario.limits, await load_steps(db)
    moments = [one.picked_at for one in await load_reservations(db)]

    def broken_by(lag: float) -> Counter[str]:
        number = above_caps(
            moments,
            steps,
            minute=int(limits["limits.global_per_minute"]),
            hour=int(limits["limits.global_per_hour"]),
            slack=dt.timedelta(seconds=(LATE + lag) * given.time.speed),
        )
        return +Counter({"I3 above the caps in force": number})

    return _weigh(given, broken_by)


def _job_of(taken: Taken, key: MessageKey) -> JobKey | None:
    token = key.recognise(taken.token)
    return (token.day, token.job_id) if token is not None else None


def _unlike(ledger: Sequence[LedgerEntry], taken: Sequence[Taken], given: Evidence) -> Counter[str]:
    """What the server took, and the ledger does not say so. What it took and then lost cannot be known to anybody."""
    found: Counter[str] = Counter()
    status = {(entry.job_day, entry.job_id): entry.status for entry in ledger}
    for one in taken:
        job = _job_of(one, given.key)
        if job not in status:
            found["I1 taken by the server, of no job"] += 1
        elif status[job] not in {JobStatus.SENT, JobStatus.REPLIED} and _is_there(one, given.sinks):
            found[f"I1 taken by the server, {status[job]} by the ledger"] += 1
    return found


def _is_there(taken: Taken, sinks: frozenset[str]) -> bool:
    return bool(taken.folder) and taken.recipient not in sinks


async def _unproven(db: Database, given: Evidence) -> int:
    """By the mail server's record, which forgets nothing."""
    proven = {row[0]: row[1] for row in await db.fetch("SELECT mailbox_id, proven_at FROM proofs")}
    got: Counter[int] = Counter()
    for one in given.record.taken:
        recipient, _ = given.owners[one.recipient]
        proven_at = proven[recipient]
        got[recipient] += proven_at is None or given.time.at(one.mail_at) < proven_at
    return sum(max(0, number - MOST_UNPROVEN) for recipient, number in got.items() if recipient not in given.trusted)


async def _woken(db: Database, given: Evidence) -> int:
    """Messages whose body was begun by a worker that had woken after its lease, with a reservation of before."""
    count = 0
    for hand in given.hands:
        for since, until in hand.frozen:
            if until - since > hand.spec.lease:
                rows = await db.fetch(
                    "SELECT day, id FROM warmup_jobs WHERE worker_id LIKE $1 AND picked_at < $2",
                    f"%:{hand.pid}",
                    given.time.at(since),
                )
                jobs = {(row["day"], row["id"]) for row in rows}
                count += sum(
                    one.mail_at < since and until < one.accepted_at < until + 60 and _job_of(one, given.key) in jobs
                    for one in given.record.taken
                )
    return count


async def _forgotten(db: Database, given: Evidence) -> int:
    """Reservations that were nobody's, though the worker that had asked for them drained and gave back what it had."""
    orderly = [hand.pid for hand in given.hands if hand.process.exitcode == 0]
    lost: int = await db.fetchval(
        "SELECT count(*) FROM warmup_jobs WHERE error_message LIKE 'the worker was lost%'"
        " AND split_part(worker_id, ':', 2)::int = ANY ($1)",
        orderly,
    )
    return lost


def _slow(given: Evidence) -> tuple[Counter[str], Counter[str]]:
    """Take-overs that nothing else disturbed, and that took longer than is promised on an idle machine."""

    def broken_by(lag: float) -> Counter[str]:
        found: Counter[str] = Counter()
        for one in given.takeovers:
            most = (
                (given.scenario.lease + AFTER_KILL) * given.scenario.pace
                if one.kind == "kill"
                else AFTER_STOP + 4 * lag
            )
            if not one.disturbed and one.seconds > most:
                found[f"taken over late after {one.kind}"] += 1
        return found

    surely, perhaps = _weigh(given, broken_by)
    if not any(one.kind == "kill" and not one.disturbed for one in given.takeovers):
        surely["no take-over after kill was measured"] += 1
    return surely, perhaps


def summary(verdicts: Sequence[Verdict]) -> str:
    """All runs in a few lines."""
    faults: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for verdict in verdicts:
        faults.update(verdict.faults)
        wrong.update(verdict.violations)
    lines = [
        f"{sum(not v.is_empty for v in verdicts)} runs, and {sum(v.is_empty for v in verdicts)} with hardly a message",
        f"{sum(v.sends for v in verdicts)} messages taken",
        f"{sum(v.unknowns for v in verdicts)} outcomes lost, {sum(v.resolved for v in verdicts)} of them found",
        "faults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(faults.items())),
    ]
    for kind in ("kill", "stop"):
        took = [one.seconds for v in verdicts for one in v.takeovers if one.kind == kind and not one.disturbed]
        if took:
            lines.append(
                f"taken over after {kind}: {len(took)} times, median {median(took):.2f} s, worst {max(took):.2f} s"
            )
    if unjudged := sum(sum(v.unjudged.values()) for v in verdicts):
        lines.append(f"not judged: {unjudged}, in {sum(bool(v.unjudged) for v in verdicts)} runs on a busy machine")
    lines.append(f"violations: {', '.join(f'{n} {kind}' for kind, n in sorted(wrong.items())) or 'none'}")
    if bad := [str(verdict.seed) for verdict in verdicts if verdict.violations]:
        lines.append(f"seeds with violations: {' '.join(bad)}")
    return "\n".join(lines)
