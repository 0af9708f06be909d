"""Message-IDs are recognised wherever they come back, and only if they are ours."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmupd.mail.message_id import MessageKey, MessageToken
from warmupd.mail.vault import Vault

OLD = "b2xkZXIgdGhhbiB0aGUgaGlsbHMsIGJ1dCBhIGtleS4"
NEW = "bmV3ZXIgdGhhbiB0aGUgZGF5LCAzMiBieXRlcyBvbiE"
KEY = MessageKey(Vault([NEW]))
DAY = dt.date(2026, 3, 3)
ID = KEY.message_id(DAY, 4711, "example.com")
OURS = MessageToken(DAY, 4711)


@settings(deadline=None)
@given(day=st.dates(), job_id=st.integers(0, 2**63 - 1))
def test_every_job_is_recognised_by_its_id(day: dt.date, job_id: int) -> None:
    assert KEY.recognise(KEY.message_id(day, job_id, "example.com")) == MessageToken(day, job_id)


@pytest.mark.parametrize(
    "header",
    [
        ID,
        ID.strip("<>"),
        ID.upper(),
        f"Message-ID:\r\n {ID}\r\n",
        f"  {ID}  (added by relay)",
        f"<first@elsewhere.example>\r\n\t{ID}\r\n <third@elsewhere.example>",
        f"{ID[:20]}\r\n {ID[20:]}",
        f"<0001-{ID[1:41]}-rewritten@mail.relay.example>",
        KEY.token(DAY, 4711),
        f"X-Warmupd: {KEY.token(DAY, 4711)}",
        "<" + "x" * 300 + f"@a.example> {ID}",
    ],
)
def test_what_mail_systems_do_to_an_id_does_not_matter(header: str) -> None:
    assert KEY.recognise(header) == OURS


@given(bit=st.integers(0, 199))
def test_a_forged_token_is_not_ours(bit: int) -> None:
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    token = KEY.token(DAY, 4711)
    place = bit // 5
    forged = token[:place] + digits[digits.index(token[place]) ^ (1 << bit % 5)] + token[place + 1 :]
    assert KEY.recognise(f"<{forged}@example.com>") is None


@settings(deadline=None)
@given(st.text(max_size=300))
def test_foreign_text_is_none_and_never_an_error(header: str) -> None:
    assert KEY.recognise(header) is None


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ234567 \u212a\u017f\r\n", min_size=40))
def test_letters_that_look_like_a_token_are_not_ours(header: str) -> None:
    assert KEY.recognise(header) is None


def test_another_fleet_is_not_ours() -> None:
    assert MessageKey(Vault([OLD])).recognise(ID) is None


def test_rotation_recognises_messages_under_way() -> None:
    rotated = MessageKey(Vault([NEW, OLD]))
    sent_before = MessageKey(Vault([OLD])).message_id(DAY, 4711, "example.com")
    assert rotated.recognise(sent_before) == OURS
    assert rotated.message_id(DAY, 4711, "example.com") == ID


def test_a_flood_of_candidates_is_bounded() -> None:
    flood = f"<{'a' * 40}@x> " * 100
    assert KEY.recognise(flood + ID) is None  # ours would be the hundred-and-first
    assert KEY.recognise("x " * 10_000 + ID) is None


def test_the_domain_and_the_key_do_not_show_in_the_token() -> None:
    assert f"<{KEY.token(DAY, 4711)}@example.com>" == ID
    assert repr(KEY) == "<MessageKey with 1 keys>"
