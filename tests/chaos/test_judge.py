"""What the judge makes of a machine that was late itself, and of take-overs."""

from collections import Counter
from typing import Any

from tests.chaos import judge
from tests.chaos.killer import Takeover
from tests.chaos.scenario import draw

SCENARIO = draw(1, 5.0)
NEVER = float("inf")


def _evidence(*takeovers: Takeover, lag: float = 0.0) -> Any:
    known = dict.fromkeys(judge.Evidence.__dataclass_fields__)
    return judge.Evidence(**{**known, "scenario": SCENARIO, "lag": lag, "takeovers": takeovers})  # type: ignore[arg-type]


def _took(kind: str, seconds: float, *, disturbed: bool = False) -> Takeover:
    return Takeover(kind=kind, seconds=seconds, disturbed=disturbed)


def _late_by(seconds: float) -> Any:
    return lambda lag: +Counter(late=int(seconds > lag))


def test_what_is_late_by_more_than_the_lag_is_a_violation() -> None:
    assert judge._weigh(_evidence(lag=0.1), _late_by(0.2)) == (Counter(late=1), Counter())
    assert judge._weigh(_evidence(lag=1.0), _late_by(2.0)) == (Counter(late=1), Counter())


def test_small_lag_is_excused() -> None:
    assert judge._weigh(_evidence(lag=0.2), _late_by(0.1)) == (Counter(), Counter())


def test_what_only_a_long_lag_would_excuse_is_not_judged() -> None:
    assert judge._weigh(_evidence(lag=1.0), _late_by(0.5)) == (Counter(), Counter(late=1))


def test_take_over_that_never_came_is_a_violation() -> None:
    wrong, _ = judge._slow(_evidence(_took("kill", 1.0), _took("kill", NEVER)))
    assert wrong == Counter({"taken over late after kill": 1})


def test_run_must_measure_a_take_over() -> None:
    wrong, _ = judge._slow(_evidence(_took("kill", 1.0, disturbed=True), _took("stop", 0.5)))
    assert wrong == Counter({"no take-over after kill was measured": 1})
