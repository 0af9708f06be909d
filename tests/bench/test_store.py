"""What Postgres takes for a batch of 50, asked over one connection."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.bench.conftest import Bench, Laid
from tests.bench.cpu import CPU
from tests.store.rows import Worker, after, ask, reasons
from warmupd.core.job import Job, JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.store import jobs
from warmupd.store.jobs import Denied, Request, Settlement

pytestmark = pytest.mark.benchmark(timer=CPU)

BATCH = 50
ROUNDS = 60
SENDERS = 1000  # each batch has senders of its own until all had one
GAP = 130.0  # seconds that lie between two turns of a sender


def test_reserve(bench: Bench, laid: Laid) -> None:
    batches, (worker, moments) = _batches(bench, laid), _worker(laid)

    def ask_for(requests: list[Request], seconds: float) -> list[Job | Denied]:
        return laid.run(laid.ground.reserve(worker, *requests, at=after(seconds)))

    answers = bench(
        "a send is reserved, in batches of 50",
        ask_for,
        setup=lambda: ((next(batches), next(moments)), {}),
        each=BATCH,
        rounds=_rounds(bench),
    )
    assert reasons(answers) == ["granted"] * BATCH


def test_settle(bench: Bench, laid: Laid) -> None:
    batches, (worker, moments) = _batches(bench, laid), _worker(laid)

    def reserved() -> tuple[tuple[list[Settlement], float], dict[str, object]]:
        seconds = next(moments)
        answers = laid.run(laid.ground.reserve(worker, *next(batches), at=after(seconds)))
        sent = [Settlement(job=job, kind=OutcomeKind.SENT, reason="sent") for job in answers if isinstance(job, Job)]
        return (sent, seconds), {}

    def write(sent: list[Settlement], seconds: float) -> list[JobStatus | None]:
        return laid.run(jobs.settle(laid.ground.db, sent, at=after(seconds + 1)))

    became = bench("an outcome is settled, in batches of 50", write, setup=reserved, each=BATCH, rounds=_rounds(bench))
    assert became == [JobStatus.SENT] * BATCH


def _rounds(bench: Bench) -> int:
    return ROUNDS if bench.measures else 1


def _worker(laid: Laid) -> tuple[Worker, Iterator[float]]:
    """With a lease for good; and when each batch is asked for: all senders had their turn in `GAP` seconds."""
    return laid.run(laid.ground.worker()), (number * GAP * BATCH / SENDERS for number in count())


def _batches(bench: Bench, laid: Laid) -> Iterator[list[Request]]:
    """Batch after batch of senders, each of whom writes to the next one."""
    most = SENDERS if bench.measures else 2 * BATCH
    ids = [found for _ in range(most // BATCH) for found in laid.run(laid.ground.mailboxes(BATCH))]
    laid.run(laid.ground.db.execute("VACUUM ANALYZE"))
    pairs = list(zip(ids, [*ids[1:], ids[0]], strict=True))
    return (
        [ask(sender, recipient) for sender, recipient in pairs[start : start + BATCH]]
        for turn in count()
        for start in [turn * BATCH % len(pairs)]
    )
