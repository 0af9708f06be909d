"""Composed messages are what a mail client would write, and nothing from outside gets into their headers."""

import datetime as dt
import re
import sys
from collections import Counter
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from warmupd.core.job import Job, JobKind, Thread
from warmupd.errors import UsageError
from warmupd.mail.content import Library
from warmupd.mail.header_text import clean
from warmupd.mail.language import Names
from warmupd.mail.message import Correspondent, Message, compose
from warmupd.mail.message_id import MessageKey, MessageToken
from warmupd.mail.persona import Quoting, persona_of
from warmupd.mail.vault import Vault

LIBRARY = Library.load()
ENGLISH = LIBRARY.languages["en"]
KEY = MessageKey(Vault(["b2xkZXIgdGhhbiB0aGUgaGlsbHMsIGJ1dCBhIGtleS4"]))
NOW = dt.datetime(2026, 3, 3, 10, 5, 7, tzinfo=ZoneInfo("Europe/Berlin"))
ANNA = Correspondent(1, "anna@alpha.example", "Anna Smith")
TOM = Correspondent(2, "tom@beta.example", "Tom Baker")
PARENT = "<parent@beta.example>"
LUNCH = Thread(topic="en/lunch", seed=5)


def job(thread: Thread, job_id: int = 4711) -> Job:
    return Job(
        id=job_id,
        day=dt.date(2026, 3, 3),
        kind=JobKind.WARMUP if thread.depth == 1 else JobKind.REPLY,
        mailbox_id=1,
        recipient_id=2,
        attempt_token=UUID(int=0),
        not_before=0.0,
        asked_at=0.0,
        deadline=5.0,
        window_end=3600.0,
        retry_count=0,
        thread=thread,
    )


def composed(
    thread: Thread = LUNCH,
    sender: Correspondent = ANNA,
    recipient: Correspondent = TOM,
    *,
    now: dt.datetime = NOW,
    library: Library = LIBRARY,
    language: str = "en",
) -> Message:
    return compose(
        job(thread), sender=sender, recipient=recipient, library=library, message_key=KEY, now=now, language=language
    )


def parsed(message: Message) -> EmailMessage:
    found = message_from_bytes(message.content, policy=default)
    assert isinstance(found, EmailMessage)
    assert found.defects == []
    return found


def reply(subject: str = "Lunch", depth: int = 2, references: tuple[str, ...] = (PARENT,)) -> Thread:
    return Thread(
        topic="en/lunch", seed=5, depth=depth, subject=subject, in_reply_to=references[-1], references=references
    )


def body(message: Message) -> str:
    text = parsed(message).get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n").rstrip("\n")


def check_wire(message: Message) -> None:
    """Seven bits, CRLF only, no line over 998, and exactly the fields that we write."""
    message.content.decode("ascii")
    lines = message.content.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert max(map(len, lines)) <= 998
    head = message.content.partition(b"\r\n\r\n")[0]
    names = re.findall(rb"^([A-Za-z-]+): ", head, re.MULTILINE)
    optional = {b"In-Reply-To", b"References"}
    assert [name for name in names if name not in optional] == [
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type",
        b"Content-Transfer-Encoding", b"X-Warmupd",
    ]  # fmt: skip


def test_headers_come_back_as_they_were_meant() -> None:
    message = composed()
    mail = parsed(message)
    assert str(mail["From"]) == "Anna Smith <anna@alpha.example>"
    assert str(mail["To"]) == "Tom Baker <tom@beta.example>"
    assert mail["Date"].datetime == NOW
    assert mail["Message-ID"] == message.message_id
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"
    assert (message.sender, message.recipient) == ("anna@alpha.example", "tom@beta.example")
    check_wire(message)


def test_message_id_and_own_header_name_the_job() -> None:
    message = composed()
    assert KEY.recognise(message.message_id) == MessageToken(dt.date(2026, 3, 3), 4711)
    assert message.message_id.endswith("@alpha.example>")
    assert KEY.recognise(str(parsed(message)["X-Warmupd"])) == MessageToken(dt.date(2026, 3, 3), 4711)


def test_the_same_job_gives_the_same_bytes() -> None:
    assert composed() == composed()


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("Europe/Berlin", "Tue, 03 Mar 2026 10:05:07 +0100"),
        ("America/St_Johns", "Tue, 03 Mar 2026 10:05:07 -0330"),
        ("Asia/Kathmandu", "Tue, 03 Mar 2026 10:05:07 +0545"),
        ("UTC", "Tue, 03 Mar 2026 10:05:07 +0000"),
    ],
)
def test_the_date_is_in_the_senders_zone(zone: str, written: str) -> None:
    message = composed(now=NOW.replace(tzinfo=ZoneInfo(zone)))
    assert f"\r\nDate: {written}\r\n".encode() in message.content


def test_a_time_without_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="aware"):
        composed(now=NOW.replace(tzinfo=None))


def test_a_first_message_belongs_to_no_thread() -> None:
    mail = parsed(composed())
    assert mail["In-Reply-To"] is mail["References"] is None
    assert not str(mail["Subject"]).startswith("Re:")


def test_an_answer_is_threaded_under_its_parent() -> None:
    root = "<root@alpha.example>"
    mail = parsed(composed(reply(depth=3, references=(root, PARENT))))
    assert mail["In-Reply-To"] == PARENT
    assert str(mail["References"]).split() == [root, PARENT]


@pytest.mark.parametrize(
    ("parent", "answer"),
    [
        ("Lunch?", "Re: Lunch?"),
        ("Re: Lunch?", "Re: Lunch?"),
        ("RE: re: AW: Lunch?", "Re: Lunch?"),
        ("Re[2]: Lunch?", "Re: Lunch?"),
        ("[EXT] Re: Lunch?", "Re: [EXT] Re: Lunch?"),
        ("Regarding lunch", "Re: Regarding lunch"),
        ("Käse am Freitag", "Re: Käse am Freitag"),
        ("  spread\r\n  over lines ", "Re: spread over lines"),
        ("Re:", f"Re: {ENGLISH.subject('en/lunch', 5, Names(sender='Anna', recipient='Tom'))}"),
    ],
)
def test_an_answer_keeps_the_subject_that_was_shown(parent: str, answer: str) -> None:
    assert parsed(composed(reply(parent)))["Subject"] == answer


def test_references_are_bounded_and_keep_the_root() -> None:
    ids = tuple(f"<{number}@alpha.example>" for number in range(40))
    mail = parsed(composed(reply(depth=41, references=ids)))
    assert str(mail["References"]).split() == [ids[0], *ids[-9:]]
    assert mail["In-Reply-To"] == ids[-1]


@pytest.mark.parametrize(
    "bad", ["", "no brackets@x", "<a b@x>", "<a@x>\r\nBcc: <all@x>", "<ü@x>", "<" + "a" * 300 + ">"]
)
def test_what_is_no_message_id_is_left_out(bad: str) -> None:
    thread = Thread(topic="en/lunch", seed=5, depth=2, subject="x", in_reply_to=bad, references=(PARENT, bad))
    message = composed(thread)
    assert str(parsed(message)["References"]) == PARENT
    assert parsed(message)["In-Reply-To"] == PARENT
    check_wire(message)


NAMES = st.text(max_size=150)


@settings(deadline=None, max_examples=300)
@given(name=NAMES, other=NAMES)
@example(name='Smith, "Anna" (Sales)\\', other="=?utf-8?q?Bcc?=")
@example(name="Tom\r\nBcc: everyone@example.com", other="Zoë\u2028Subject: x\x00\x85y")
@example(name="山田太郎", other="\ud800 \U0001f600")
@example(name="anna@alpha.example", other="http://evil.example Tom")
def test_no_name_gets_out_of_its_header(name: str, other: str) -> None:
    sender, recipient = Correspondent(1, "a@alpha.example", name), Correspondent(2, "b@beta.example", other)
    message = composed(sender=sender, recipient=recipient)
    check_wire(message)
    mail = parsed(message)
    assert [address.addr_spec for address in mail["From"].addresses] == ["a@alpha.example"]
    assert [address.addr_spec for address in mail["To"].addresses] == ["b@beta.example"]
    for header, who in (("From", sender), ("To", recipient)):
        shown, meant = mail[header].addresses[0].display_name, persona_of(who, ENGLISH).display_name
        assert shown.replace(" ", "") == meant.replace(" ", "")
        assert shown == meant or b"?=\r\n =?" in message.content  # the parser forgets RFC 2047, 6.2 in display names
    assert max(map(len, message.content.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 120


@settings(deadline=None, max_examples=300)
@given(subject=st.text(max_size=300))
@example(subject="x\r\nBcc: everyone@example.com")
@example(subject="\r\n\r\nbody")
@example(subject="=?utf-8?q?=0D=0ABcc:_x?=")
@example(subject="word " * 60)
@example(subject="w" * 240)
@example(subject="Größe und Straße " * 20)
def test_no_subject_gets_out_of_its_header(subject: str) -> None:
    message = composed(reply("Q " + subject))
    check_wire(message)
    assert parsed(message)["Subject"] == f"Re: {clean('Q ' + subject, 250)}"
    assert max(map(len, message.content.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78


@settings(deadline=None, max_examples=100)
@given(topic=st.text(max_size=30), seed=st.integers(-(2**63), 2**63), depth=st.integers(1, 60))
def test_any_thread_can_be_composed(topic: str, seed: int, depth: int) -> None:
    message = composed(Thread(topic=topic, seed=seed, depth=depth, subject="s", in_reply_to=PARENT))
    check_wire(message)
    assert len(body(message)) > 10


def test_an_international_domain_is_written_in_ascii() -> None:
    message = composed(sender=Correspondent(1, "anna@bücher.example"), recipient=Correspondent(2, "t@例え.example"))
    assert message.sender == "anna@xn--bcher-kva.example"
    assert message.recipient == "t@xn--r8jz45g.example"
    assert message.message_id.endswith("@xn--bcher-kva.example>")
    check_wire(message)


@pytest.mark.parametrize(
    "address",
    [
        "jörg@alpha.example",
        "anna@straße.example",  # IDNA 2003 would make it strasse: somebody else's
        "anna",
        "anna@",
        "@alpha.example",
        "anna@alpha..example",
        "anna smith@alpha.example",
        "anna@alpha.example\r\nRCPT TO:<x@y.example>",
        "anna@alpha.example>",
        "a,b@alpha.example",
        "x" * 65 + "@alpha.example",
        "anna@" + "a." * 130 + "example",
    ],
)
def test_an_address_that_smtp_cannot_take_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"address|domain") as refusal:
        composed(recipient=Correspondent(2, address))
    assert refusal.value.remedy
    assert "\n" not in str(refusal.value)


def test_the_body_is_greeting_text_and_name_in_short_lines() -> None:
    for seed in range(200):
        text = body(composed(Thread(topic=LIBRARY.choose_topic(seed), seed=seed)))
        assert re.match(r"(?:(?:Hi|Hello|Hey|Dear) )?Tom,\n\n", text)
        assert re.search(r"\n\n[A-Z][a-z ]+,\nAnna(?: Smith)?$", text)
        assert max(map(len, text.split("\n"))) <= 72
        assert 40 <= len(text.split()) <= 180


def test_each_mailbox_keeps_its_style() -> None:
    def style(mailbox_id: int, seed: int) -> tuple[str, ...]:
        message = composed(Thread(topic="en/lunch", seed=seed), Correspondent(mailbox_id, "x@a.example"))
        lines = body(message).split("\n")
        return (lines[0], lines[-2], lines[-1])

    assert all(len({style(mailbox_id, seed) for seed in range(20)}) == 1 for mailbox_id in range(1, 30))
    assert len({style(mailbox_id, 1) for mailbox_id in range(1, 300)}) > 250


@pytest.mark.parametrize(
    ("display_name", "address", "first_name", "shown"),
    [
        ("Anna Smith", "x@a.example", "Anna", "Anna Smith"),
        ("Smith, Anna", "x@a.example", "Anna", "Smith, Anna"),
        ("Dr. Anna Smith", "x@a.example", "Anna", "Dr. Anna Smith"),
        ("Jean-Luc O'Neill", "x@a.example", "Jean-Luc", "Jean-Luc O'Neill"),
        ("हिन्दी नाम", "x@a.example", "हिन्दी", "हिन्दी नाम"),
        ("", "anna.smith@a.example", "Anna", "Anna Smith"),
        ("anna.smith@a.example", "anna.smith@a.example", "Anna", "Anna Smith"),
    ],
)
def test_names_are_read_as_people_read_them(display_name: str, address: str, first_name: str, shown: str) -> None:
    persona = persona_of(Correspondent(1, address, display_name), ENGLISH)
    assert (persona.first_name, persona.display_name) == (first_name, shown)


@pytest.mark.parametrize("address", ["mb17@a.example", "info@a.example", "sales.team@a.example"])
def test_a_mailbox_without_a_name_is_given_one_for_ever(address: str) -> None:
    personas = {persona_of(Correspondent(17, address), ENGLISH).display_name for _ in range(3)}
    assert len(personas) == 1
    assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+", personas.pop())


def test_a_name_given_later_does_not_change_the_habits() -> None:
    before, after = (persona_of(Correspondent(17, "m@a.example", name), ENGLISH) for name in ("", "Anna Smith"))
    assert (before.greeting, before.quoting, before.greets_in_answers) == (
        after.greeting,
        after.quoting,
        after.greets_in_answers,
    )


def writer_who(quoting: Quoting) -> Correspondent:
    every = (Correspondent(number, "x@a.example", "Xenia Young") for number in range(1, 1000))
    return next(who for who in every if persona_of(who, ENGLISH).quoting is quoting)


def test_two_thirds_of_the_mailboxes_quote() -> None:
    quoting = [persona_of(Correspondent(number, "x@a.example"), ENGLISH).quoting for number in range(3000)]
    assert 0.62 < sum(habit is not Quoting.NOTHING for habit in quoting) / 3000 < 0.71


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_full_quote_is_what_the_other_one_wrote(depth: int) -> None:
    asker, answerer = TOM, writer_who(Quoting.ALL)
    parent = body(composed(reply(depth=depth - 1) if depth > 2 else LUNCH, asker, answerer))
    answer = body(composed(reply(depth=depth), answerer, asker))
    quoted = [line[2:] for line in answer.split("\n") if line.startswith(">")]
    own_words = parent.split("\n\nXenia Young ")[0]  # what the parent itself quoted is not quoted again
    assert "\n".join(quoted) == own_words
    assert re.search(r"\nTom Baker (wrote|said):\n>", answer)


def test_a_short_quote_is_the_beginning_and_no_quote_is_none() -> None:
    parent = body(composed(LUNCH, TOM, writer_who(Quoting.BEGINNING)))
    answer = body(composed(reply(), writer_who(Quoting.BEGINNING), TOM))
    quoted = [line[2:] for line in answer.split("\n") if line.startswith(">")]
    assert "\n".join(quoted) == "\n\n".join(parent.split("\n\n")[:2])
    assert ">" not in body(composed(reply(), writer_who(Quoting.NOTHING), TOM))


def test_a_text_that_is_not_ascii_travels_quoted_printable(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    long = "Grüße aus Zürich " * 20
    topic = f"[subjects]\nKäse\n[opener]\n{long}\n\n.\n[answer 1]\na\n[answer 2]\nb\n[answer 3]\nc\n"
    (tmp_path / "en" / "cheese.txt").write_text(topic, "utf-8")
    message = composed(Thread(topic="en/cheese", seed=1), library=Library.load(tmp_path))
    check_wire(message)
    assert parsed(message)["Content-Transfer-Encoding"] == "quoted-printable"
    assert parsed(message)["Subject"] == "Käse"
    assert long.strip() in " ".join(body(message).split("\n"))
    assert max(map(len, message.content.split(b"\r\n"))) <= 78


def test_a_first_message_whose_topic_is_gone_gets_another() -> None:
    message = composed(Thread(topic="en/gone", seed=5))
    assert message == composed(Thread(topic=LIBRARY.choose_topic(5), seed=5))


def test_an_answer_to_a_lost_topic_is_short_and_quotes_nothing_it_does_not_know() -> None:
    lost = Thread(topic="en/gone", seed=5, depth=2, subject="Old plans", in_reply_to=PARENT)
    text = body(composed(lost, writer_who(Quoting.ALL), TOM))
    assert ">" not in text
    assert len(text.split()) < 50


def test_composing_takes_few_steps() -> None:
    """EmailMessage alone would take ten times as many; `warmupd bench` tells the time."""
    thread = Thread(topic=LIBRARY.choose_topic(5), seed=5)
    composed(thread)  # what is read once is read
    steps = Counter[str]()
    sys.setprofile(lambda _frame, event, _arg: steps.update([event]))
    try:
        composed(thread)
    finally:
        sys.setprofile(None)
    assert 0 < steps["call"] + steps["c_call"] < 500
