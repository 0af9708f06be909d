"""Credentials in a server's words: gone in every shape, and the words around them are left alone."""

import pytest

from warmupd.mail.concealment import KEPT, conceal


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
