"""What servers say is told without whom they say it of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmupd.core import veil as house
from warmupd.core.veil import HIDDEN, Ends, veil

OWN = ["anna@own.test"]
LETTERS = st.text("abcé'ü.-+=#~_(", min_size=2, max_size=8).map(lambda word: f"q{word}q")
DOMAINS = st.sampled_from(["bücher.example", "xn--bcher-kva.example", "secret-client.test", "straße.example"])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("550 <ben@other.test> unknown", f"550 <{HIDDEN}> unknown"),
        ("mail from Anna@Own.test refused", "mail from Anna@Own.test refused"),
        ("<anna@own.test>: (anna@own.test)", "<anna@own.test>: (anna@own.test)"),
        ("no ben+tag@mail.other.test, no carl@x.y here.", f"no {HIDDEN}, no {HIDDEN} here."),
        ("550 münch@bücher.example", f"550 {HIDDEN}"),
        ("550 o'brien@x.test no", f"550 {HIDDEN} no"),
        ('550 "o brien"@x.test no', f"550 {HIDDEN} no"),
        ("rcpt=ben@x.test,from=anna@own.test no", f"{HIDDEN} no"),
        ("see https://x.test/?to=ben%40other.test", f"see {HIDDEN}"),
        ("at 3 @ a time", "at 3 @ a time"),
        ("see https://support.test/?p=1 and 5.7.1", "see https://support.test/?p=1 and 5.7.1"),
        ("", ""),
    ],
)
def test_addresses_are_hidden_but_the_own(said: str, told: str) -> None:
    assert veil(said, own=OWN) == told


def test_words_are_hidden_where_they_stand_alone() -> None:
    said = "other.test: BEN is unknown at mx.other.test, benign; ben"
    assert veil(said, own=OWN, hide=["other.test", "ben"]) == (
        f"{HIDDEN}: {HIDDEN} is unknown at {HIDDEN}, benign; {HIDDEN}"
    )


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("bücher.example", "no route to mx.XN--BCHER-KVA.example"),
        ("xn--bcher-kva.example", "no route to Bu\u0308cher.example"),
        ("straße.example", "no route to strasse.example"),
        ("other.test", "no route to other-test.mail.test"),
        ("other.test", "no route to .other.test"),
    ],
)
def test_a_domain_is_hidden_in_all_its_forms(domain: str, said: str) -> None:
    told = veil(said, own=OWN, hide=[domain])
    assert told.startswith(f"no route to {HIDDEN}")


def test_the_readers_own_domain_stays() -> None:
    assert veil("anna@own.test: own.test says no", own=OWN, hide=["own.test"]) == "anna@own.test: own.test says no"


def test_a_word_that_was_cut_is_left_out() -> None:
    assert veil("x " * 145 + "mx.secret...", own=OWN, hide=["secret.test"]).endswith("x ...")


@given(
    local=LETTERS, domain=DOMAINS, before=st.sampled_from(["<", "", "to:", "'", "("]), after=st.sampled_from(">.,:) ")
)
@settings(max_examples=60, deadline=None)
def test_nothing_of_an_address_is_left_and_what_is_veiled_stays(
    local: str, domain: str, before: str, after: str
) -> None:
    ends = Ends(sender=OWN[0], recipient=f"{local}@{domain}", same_user=False)
    said = f"550 5.1.1 {before}{local}@{domain}{after} of mx.{domain} is not {local} 7"
    told = ends.for_sender(said)
    assert domain not in told
    assert local not in told
    assert ends.for_sender(told) == told


def test_each_end_is_told_without_the_other_and_strangers_without_both() -> None:
    said = "anna@own.test to ben@mail.test at smtp.mail.test"
    ends = Ends(sender="anna@own.test", recipient="ben@mail.test", same_user=False)
    assert ends.for_sender(said) == f"anna@own.test to {HIDDEN} at {HIDDEN}"
    assert ends.for_recipient(said) == f"{HIDDEN} to ben@mail.test at smtp.mail.test"
    assert ends.for_others(said, host="smtp.mail.test") == f"{HIDDEN} to {HIDDEN} at smtp.mail.test"
    same = Ends(sender="anna@own.test", recipient="ben@mail.test", same_user=True)
    assert (same.for_sender(said), same.for_recipient(said)) == (said, said)


LONG_S, BARE_I = "\N{LATIN SMALL LETTER LONG S}", "\N{LATIN SMALL LETTER DOTLESS I}"  # s and i, when case is ignored
SAID = st.text(f"ab.-@%40[] \"'<>{LONG_S}Ksiİ{BARE_I}üé\N{FULLWIDTH COMMERCIAL AT}", max_size=14) | st.sampled_from(
    [
        "550 no",
        HIDDEN,
        HIDDEN.upper(),
        "K-s.test",
        f"k{LONG_S}-test.x",
        "xn--bcher-kva.example",
        "bücher.example",
        "strasse",
    ]
)
WORDS = st.sampled_from(
    ["s.test", "ks.test", "ks-test", "a-b", f"{LONG_S}.test", "i", "straße", "bücher.example", "xn--c"]
)


@given(said=st.lists(SAID | WORDS, max_size=4).map(" ".join), hide=st.lists(WORDS, max_size=3))
@settings(max_examples=300, deadline=None)
def test_a_word_that_is_not_looked_for_would_not_have_been_found(said: str, hide: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house, "_may_occur", lambda *_: True)
        patch.setattr(house, "_SIGNS", ("",))
        thorough = veil(said, own=OWN, hide=hide)
    assert veil(said, own=OWN, hide=hide) == thorough
