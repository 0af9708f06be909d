"""What it costs to write, to judge and to know messages again, and to open what logs in for them."""

import datetime as dt
from uuid import UUID

import pytest

from tests.bench.conftest import Bench
from tests.bench.cpu import CPU
from warmupd.core.job import Job, JobKind, Thread
from warmupd.core.outcome import OutcomeKind, classify
from warmupd.core.reply import Phase, SmtpReply
from warmupd.mail.content import Library
from warmupd.mail.message import compose
from warmupd.mail.message_id import MessageKey, MessageToken
from warmupd.mail.persona import Correspondent
from warmupd.mail.vault import Vault

pytestmark = pytest.mark.benchmark(timer=CPU)

NOON = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
VAULT = Vault([Vault.new_key()])
KEY = MessageKey(VAULT)
ADA = Correspondent(mailbox_id=1, address="ada@one.test", display_name="Ada Abbott")
BEN = Correspondent(mailbox_id=2, address="ben@two.test", display_name="Ben Brandt")


def test_compose(bench: Bench) -> None:
    library, seeds = Library.load(), iter(range(10**9))

    def write() -> bytes:
        seed = next(seeds)
        job = _job(seed, Thread(topic=library.choose_topic(seed, "en"), seed=seed))
        return compose(job, sender=ADA, recipient=BEN, library=library, message_key=KEY, now=NOON).content

    assert b"\r\nMessage-ID: <" in bench("a message is written", write)


def test_classify_accepted(bench: Bench) -> None:
    reply = SmtpReply(phase=Phase.BODY, code=250, enhanced="2.0.0", text="queued as 4XyZ")
    assert bench("an acceptance is judged", lambda: classify(reply)).kind is OutcomeKind.SENT


def test_classify_refused(bench: Bench) -> None:
    reply = SmtpReply(phase=Phase.RCPT, code=550, enhanced="5.1.1", text="The email account does not exist.")
    assert bench("a refusal is judged", lambda: classify(reply)).kind is OutcomeKind.FAILED


def test_recognise_own(bench: Bench) -> None:
    header = KEY.message_id(NOON.date(), 4711, "one.test")
    assert bench("a Message-ID of ours is known again", lambda: KEY.recognise(header)) == MessageToken(
        NOON.date(), 4711
    )


def test_recognise_foreign(bench: Bench) -> None:
    header = "<CAF9x7pQdZ1yE+8jv2r0n3B6yq5mW4kT7hL=o2uXcVbN1mKpQ@mail.two.test>"
    assert bench("a Message-ID of somebody else's is not", lambda: KEY.recognise(header)) is None


def test_seal(bench: Bench) -> None:
    sealed = bench("a password is sealed", lambda: VAULT.seal("correct horse", mailbox_id=7, purpose="smtp"))
    assert VAULT.unseal(sealed, mailbox_id=7, purpose="smtp") == "correct horse"


def test_unseal(bench: Bench) -> None:
    sealed = VAULT.seal("correct horse", mailbox_id=7, purpose="smtp")
    opened = bench("a password is opened", lambda: VAULT.unseal(sealed, mailbox_id=7, purpose="smtp"))
    assert opened == "correct horse"


def _job(number: int, thread: Thread) -> Job:
    return Job(
        id=number,
        day=NOON.date(),
        kind=JobKind.WARMUP,
        mailbox_id=ADA.mailbox_id,
        recipient_id=BEN.mailbox_id,
        attempt_token=UUID(int=number),
        asked_at=0.0,
        not_before=0.0,
        deadline=5.0,
        window_end=3600.0,
        retry_count=0,
        thread=thread,
    )
