"""What servers say is told without whom they say it of."""

import pytest

from warmupd.core.veil import HIDDEN, veil

OWN = ["anna@own.test"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("550 <ben@other.test> unknown", f"550 <{HIDDEN}> unknown"),
        ("mail from Anna@Own.test refused", "mail from Anna@Own.test refused"),
        ("no ben+tag@mail.other.test, no carl@x.y here.", f"no {HIDDEN}, no {HIDDEN} here."),
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
