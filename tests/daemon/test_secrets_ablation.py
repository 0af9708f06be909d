"""Ablation: each safeguard of keys, tokens and the doctor's look at them is taken out once, and its test must fail."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.ablation import take_out
from tests.core import test_sheet as of_sheet
from tests.daemon import test_diagnosis as of_diagnosis
from tests.daemon import test_looks as of_looks
from tests.daemon import test_rotation as of_rotation
from tests.daemon import test_tokens as of_tokens
from tests.daemon.granted import provider
from tests.daemon.rig import Rig
from tests.mail.token_server import TokenServer
from warmupd.core.sheet import Cell
from warmupd.daemon import diagnosis, rotation
from warmupd.daemon.revisits import Revisits
from warmupd.daemon.sender import Sender
from warmupd.daemon.tokens import TokenKeeper
from warmupd.errors import WarmupdError
from warmupd.store import sealed

__all__ = ["provider"]

pytestmark = pytest.mark.ablation

FAILED = (AssertionError, WarmupdError, pytest.fail.Exception, KeyError)
OF_GRANTS: list[tuple[Callable[..., Any], str, str, Callable[[Rig, TokenServer], Awaitable[None]]]] = [
    (
        diagnosis._clients,
        "if known[provider].client_id:",
        "if True:",
        of_diagnosis.test_mailboxes_of_a_provider_that_does_not_know_us_are_told_of,
    ),
    (
        TokenKeeper._ask,
        "self._resting[who] = now",
        "_ = now",
        of_tokens.test_broken_endpoint_is_left_alone_for_every_mailbox,
    ),
]
OF_FLEET: list[tuple[Callable[..., Any], str, str, Callable[[Rig], Awaitable[None]]]] = [
    (
        rotation._demand_workers,
        "if names := await",
        "if False and await",
        of_rotation.test_a_worker_that_lacks_the_newest_key_is_named_and_nothing_is_changed,
    ),
    (
        Revisits.after_failure,
        "failures=due.failures",
        "failures=0",
        of_looks.test_failures_before_a_restart_count_for_how_long_is_waited,
    ),
]


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), OF_GRANTS, ids=[one[1] for one in OF_GRANTS])
async def test_safeguard_of_grants_is_missed(
    rig: Rig,
    provider: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[Rig, TokenServer], Awaitable[None]],
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(FAILED):
        await test(rig, provider)


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), OF_FLEET, ids=[one[1] for one in OF_FLEET])
async def test_safeguard_of_the_fleet_is_missed(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[Rig], Awaitable[None]],
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(FAILED):
        await test(rig)


async def test_compare_and_set_of_a_rotation_is_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, sealed.replace_sealed, " AND t.{column} = a.was", "")
    with pytest.raises(FAILED):
        await of_rotation.test_what_somebody_changes_meanwhile_stays_and_is_resealed_after_it(rig, monkeypatch)


def test_jitter_of_a_named_wait_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, Sender._apart, " * self._rng.uniform(1.0, 1.5)", "")
    with pytest.raises(AssertionError):
        of_tokens.test_mailboxes_that_a_provider_told_one_time_come_back_apart()


def test_silence_of_a_cells_repr_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cell, "__repr__", lambda self: f"Cell(text={self.text!r})")
    with pytest.raises(AssertionError):
        of_sheet.test_no_repr_shows_a_cell()
