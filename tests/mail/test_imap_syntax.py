"""Quoting, names, answers and headers, as IMAP writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.mail.imap_frames import KEPT_LITERAL, MAX_KEPT, Framer, WireLost
from warmupd.mail.imap_syntax import (
    Literal,
    SyntaxTrouble,
    address_of,
    astring,
    codes,
    from_modified_utf7,
    header_fields,
    plain_text,
    to_modified_utf7,
    uid_set,
    uids_of,
    values,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", b"INBOX"),
        ("R&D", b"R&-D"),
        ("Entwürfe", b"Entw&APw-rfe"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 section 5.1.3
        ("😀", b"&2D3eAA-"),
    ],
)
def test_names_are_written_in_modified_utf7(name: str, wire: bytes) -> None:
    assert to_modified_utf7(name) == wire
    assert from_modified_utf7(wire) == name


@given(NAMES)
def test_every_name_comes_back_from_the_wire(name: str) -> None:
    assert from_modified_utf7(to_modified_utf7(name)) == name


@given(st.binary())
def test_no_name_of_a_server_raises(wire: bytes) -> None:
    from_modified_utf7(wire)


@given(st.binary())
def test_an_argument_never_leaves_its_quotes(text: bytes) -> None:
    argument = astring(text)
    if isinstance(argument, Literal):
        assert argument == text
    else:
        assert values([argument.encode()]) == [text]


def test_uids_are_named_in_runs() -> None:
    assert uid_set([7, 3, 1, 2, 9, 10]) == "1:3,7,9:10"


def test_an_answer_is_read_with_its_lists_and_literals() -> None:
    line = b'3 FETCH (UID 9 FLAGS (\\Seen "(") BODY[HEADER.FIELDS (MESSAGE-ID FROM)]<0> '
    assert values([line, bytearray(b"a)b"), b" X NIL)"]) == [
        b"3",
        b"FETCH",
        [b"UID", b"9", b"FLAGS", [b"\\Seen", b"("], b"BODY[HEADER.FIELDS (MESSAGE-ID FROM)]<0>", b"a)b", b"X", None],
    ]


@pytest.mark.parametrize("line", [b"(", b")", b'"open', b"(" * 40 + b")" * 40, b"a ] b"])
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(SyntaxTrouble):
        values([line])


def test_codes_are_taken_from_status_lines_only() -> None:
    lines = [b"OK [UIDVALIDITY 5] x", b"OK no code [X 1]", b"LIST [UIDNEXT 9]", b"NO [permanentflags (\\Seen \\*)] y"]
    assert codes(lines) == {"UIDVALIDITY": "5", "PERMANENTFLAGS": "(\\Seen \\*)"}


@given(st.binary(), st.lists(st.integers(1, 40)))
def test_frames_do_not_depend_on_how_the_octets_arrive(noise: bytes, cuts: list[int]) -> None:
    noise = noise.replace(b"\r\n", b"")
    stream = b"* OK {3}\r\n* 1 FETCH (X {%d}\r\n%b Y {0}\r\n)\r\nA1 OK {9}\r\n" % (len(noise), noise)
    framer, at, frames = Framer(), 0, []
    for cut in (*cuts, len(stream)):
        frames += [[bytes(part) for part in parts] for parts in framer.feed(stream[at : at + cut])]
        at += cut
    assert frames == [[b"* OK {3}"], [b"* 1 FETCH (X ", noise, b" Y ", b"", b")"], [b"A1 OK {9}"]]
    assert not framer.is_amid


@pytest.mark.parametrize("data", [b"x" * 65536, b"x\r\n" * 4096, b"* 1 FETCH {17000000}\r\n"])
def test_a_stream_without_end_is_cut_off(data: bytes) -> None:
    framer = Framer()

    def feed() -> None:
        for _ in range(10 * MAX_KEPT // len(data)):
            list(framer.feed(data))

    with pytest.raises(WireLost):
        feed()


def test_of_a_huge_literal_only_the_beginning_is_kept() -> None:
    framer = Framer()
    frames = [*framer.feed(b"* 1 FETCH {1000000}\r\n" + b"x" * 500_000), *framer.feed(b"x" * 500_000 + b" )\r\n")]
    assert [len(part) for part in frames[0]] == [10, KEPT_LITERAL, 2]
    assert framer.kept < 2 * KEPT_LITERAL


@given(st.binary())
def test_no_header_raises(block: bytes) -> None:
    for text in header_fields(block).values():
        assert "\n" not in plain_text(text)
        address_of(text)


def test_headers_are_unfolded_and_the_first_counts() -> None:
    fields = header_fields(b"Subject: one\r\n two\r\nSubject: three\r\nno colon\r\nFROM:x\r\n\r\n")
    assert fields == {"subject": "one two", "from": "x"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Ann <Ann@One.test>", "ann@one.test"),
        ("ann@one.test (Ann)", "ann@one.test"),
        ('"bob@two.test" <ann@one.test>', "ann@one.test"),
        ("nobody", ""),
    ],
)
def test_the_sender_is_the_address(text: str, address: str) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=?utf-8?b?R3LDvMOfZQ==?=", "Grüße"), ("=?nope?q?x?=", "=?nope?q?x?="), ("=?utf-8?q?a=0Ab?=", "a b")],
)
def test_subjects_are_decoded_to_one_plain_line(text: str, shown: str) -> None:
    assert plain_text(text) == shown


@pytest.mark.parametrize(
    ("text", "most", "uids"),
    [
        ("1:3,7", 9, [1, 2, 3, 7]),
        ("3:1", 3, [3, 2, 1]),
        ("5", 1, [5]),
        ("1:4294967295", 200, []),
        ("1,2", 1, []),
        ("1:*", 9, []),
        ("", 9, []),
    ],
)
def test_uid_sets_are_read_within_bounds(text: str, most: int, uids: list[int]) -> None:
    assert uids_of(text, most=most) == uids
