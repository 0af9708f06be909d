"""Which part of a delivery report speaks of the message's own recipient."""

import pytest

from warmupd.core.fate import Fate, fate_of


def part(final: str, original: str = "", *, failed: bool = True) -> Fate:
    return Fate(final=final, original=original, failed=failed, code=None, status="", text="")


@pytest.mark.parametrize(
    ("final", "original", "ours"),
    [
        ("bob@two.test", "", True),
        ("bob@two.test", "team@list.test", True),
        ("u17@mail.two.test", "bob@two.test", True),
        ("bob@two.test", "bob@mail.two.test", True),
        ("", "bob@two.test", True),
        ("bobs.forwarding@elsewhere.test", "bob@two.test", False),
        ("bob@notwo.test", "bob@two.test", False),
        ("bobs.forwarding@elsewhere.test", "", False),
        ("", "", False),
    ],
)
def test_whose_part_it_is(final: str, original: str, ours: bool) -> None:
    assert (fate_of([part(final, original)], "Bob@two.test") is not None) == ours


def test_of_several_parts_the_one_of_our_recipient_counts() -> None:
    parts = [part("eve@far.test"), part("bob@two.test", failed=False)]
    assert fate_of(parts, "bob@two.test") is parts[1]


def test_of_several_parts_on_our_recipient_the_failure_counts() -> None:
    parts = [part("bob@two.test", failed=False), part("bob@two.test")]
    assert fate_of(parts, "bob@two.test") is parts[1]
