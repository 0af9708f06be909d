"""What becomes of a message is decided by its Message-ID and the seed, and comes near the shares."""

import pytest

from tests.sandbox.clients import ANNA, BERT
from warmupd.sandbox.fate import Shares


def ids(count: int) -> list[str]:
    return [f"<{number}@north.test>" for number in range(count)]


def test_shares_come_near_what_was_asked() -> None:
    shares = Shares(seed=7, spam_share=0.2, other_share=0.1, lost_share=0.05, refuse_share=0.1, defer_share=0.3)
    fates = [shares.fate(message_id) for message_id in ids(4000)]
    delivered = [fate for fate in fates if fate.folder]
    assert sum(fate.folder == "Junk" for fate in delivered) / len(delivered) == pytest.approx(0.2, abs=0.03)
    assert sum(fate.folder == "Promotions" for fate in delivered) / len(delivered) == pytest.approx(0.1, abs=0.03)
    assert sum(fate.refused for fate in fates) / 4000 == pytest.approx(0.1, abs=0.03)
    assert sum(fate.lost for fate in fates) / 4000 == pytest.approx(0.045, abs=0.02)
    assert sum(shares.defers(ANNA, BERT, count) for count in range(4000)) / 4000 == pytest.approx(0.3, abs=0.03)


def test_the_same_seed_tells_the_same_and_another_does_not() -> None:
    first, again, other = (
        [Shares(seed=seed, spam_share=0.5).fate(message_id) for message_id in ids(100)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_refused_or_lost_message_has_no_folder() -> None:
    for fate in map(Shares(lost_share=0.5, refuse_share=0.5, drop_after_dot_share=0.5).fate, ids(200)):
        assert (fate.folder == "") == (fate.refused or fate.lost)
        assert not (fate.refused and (fate.lost or fate.cut))


@pytest.mark.parametrize("wrong", [{"spam_share": 1.1}, {"lost_share": -0.1}, {"spam_share": 0.6, "other_share": 0.6}])
def test_impossible_shares_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        Shares(**wrong)  # type: ignore[arg-type]  # mypy takes every value for the seed or the folder
