"""Credentials in a server's words: gone in every shape, and the words around them are left alone."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from warmupd.mail.concealment import HIDDEN, KEPT, conceal, forms_of


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('bad LOGIN "a@x" "Secretpasswor', 'bad LOGIN "a@x" "[hidden]'),
        ("SECRETPASSWORD!", "[hidden]!"),
        ("Secr", "[hidden]"),
        ("it is secre...", "it is [hidden]..."),
        ("it is ...tpassword", "it is ...[hidden]"),
        ("xsecretpassx", "x[hidden]x"),
        ("Sec", "Sec"),
        ("a secretary, unsecret", "a secretary, unsecret"),
        ("\u0130 secretpassword", "\u0130 [hidden]"),
        ("", ""),
    ],
)
def test_secret_is_hidden_and_other_words_are_not(text: str, left: str) -> None:
    assert conceal(text, ["Secretpassword"]) == left


def test_short_secret_is_hidden_wherever_it_stands() -> None:
    assert conceal("no aB1 nor xab1x, but ab", ["ab1", ""]) == "no [hidden] nor x[hidden]x, but ab"


def test_secrets_that_overlap_are_hidden_as_one() -> None:
    assert conceal("try abcdefghijkl now", ["abcdefgh", "efghijkl"]) == "try [hidden] now"


def test_long_text_is_cut() -> None:
    assert conceal("a" * 3 * KEPT, ["b"]) == "a" * KEPT


SECRET = 'Hush/17"Kx qW%9z\\vB+t'
NEAR = f"user\0name\0{SECRET}\0more"


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        SECRET.upper(),
        SECRET[::-1],
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        repr(SECRET),
        json.dumps(SECRET),
        SECRET.replace("\\", "\\\\").replace('"', '\\"'),
        *(base64.b64encode(f"{'x' * shift}{SECRET}y".encode()).decode() for shift in range(3)),
        base64.urlsafe_b64encode(NEAR.encode()).decode(),
    ],
)
def test_secret_is_hidden_however_it_is_written(said: str) -> None:
    left = conceal(f"535 you said {said} to us", forms_of(SECRET))
    assert HIDDEN in left
    assert len(left.replace(HIDDEN, "")) <= len("535 you said  to us") + (0 if said == SECRET else 28)
    pieces = {form[at : at + 8].lower() for form in forms_of(SECRET) for at in range(len(form) - 7)}
    assert not [piece for piece in pieces if piece in left.lower()]


def test_no_secret_has_no_forms() -> None:
    assert forms_of("") == ()
