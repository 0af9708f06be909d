"""When there is one local worker more, and when one less."""

import pytest

from warmupd.core.scaling import STAY, UP_ROUNDS, Load, Rules, Step, Watched, decide, observe, restart_pause

RULES = Rules(least=1, most=3, up_depth=100, down_idle=600.0, permits=20)


def looks(*rounds: tuple[int, ...], seconds: float = 5.0, in_flight: int = 0) -> Watched:
    """What is known after looks at the depths of workers a, b, c, each so many seconds after the one before."""
    watched = Watched()
    for turn, depths in enumerate(rounds):
        names = zip("abc", depths, strict=False)
        loads = [Load(name=name, depth=depth, in_flight=in_flight) for name, depth in names]
        watched = observe(watched, loads, turn * seconds, RULES)
    return watched


@pytest.mark.parametrize(
    ("rounds", "own", "step"),
    [
        ([(101,)] * UP_ROUNDS, "a", Step(start=True)),
        ([(101,)] * (UP_ROUNDS - 1), "a", STAY),  # a moment's crowd
        ([(101,), (100,), (101,), (101,)], "a", STAY),  # not in a row
        ([(100,)] * 9, "a", STAY),  # not above
        ([(150, 40)] * 9, "ab", STAY),  # 95 a worker
        ([(150, 60)] * 9, "ab", Step(start=True)),
        ([(999, 999)] * 9, "a", STAY),  # no: see `most`
        ([(999, 999, 999)] * 9, "abc", STAY),  # there are as many as there may be
        ([], "", Step(start=True)),  # fewer than there must be
    ],
)
def test_one_more(rounds: list[tuple[int, ...]], own: str, step: Step) -> None:
    rules = (
        RULES
        if own != "a" or len(rounds[0]) == 1
        else Rules(least=1, most=1, up_depth=100, down_idle=600.0, permits=20)
    )
    assert decide(looks(*rounds), own, 0.0, rules) == step


@pytest.mark.parametrize(
    ("rounds", "own", "now", "step"),
    [
        ([(0, 0)], "ab", 600.0, Step(stop="b")),  # the youngest
        ([(0, 3)], "ab", 600.0, Step(stop="a")),  # the idle one
        ([(0, 0)], "ab", 599.0, STAY),
        ([(0, 0), (0, 1), (0, 0)], "ab", 600.0, Step(stop="a")),
        ([(0, 0)], "a", 9999.0, STAY),  # the last one stays; b runs elsewhere
        ([(0, 999)] * 2, "ab", 9999.0, STAY),  # too much is due
    ],
)
def test_one_less(rounds: list[tuple[int, ...]], own: str, now: float, step: Step) -> None:
    assert decide(looks(*rounds), own, now, RULES) == step


@pytest.mark.parametrize(("in_flight", "step"), [(5, Step(stop="b")), (6, STAY)])
def test_what_is_under_way_must_fit_into_half_of_the_others(in_flight: int, step: Step) -> None:
    assert decide(looks((0, 0), in_flight=in_flight), "ab", 600.0, RULES) == step


def test_worker_that_dies_at_once_is_started_later_and_later() -> None:
    assert [restart_pause(ends) for ends in (0, 1, 2, 3, 5, 6, 7, 10_000)] == [1, 2, 4, 8, 32, 60, 60, 60]
