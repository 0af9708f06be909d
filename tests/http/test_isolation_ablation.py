"""Ablation of what keeps users apart: each safeguard is taken out once, and a walk along all routes must miss it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.ablation import take_out
from tests.http import test_isolation as walks
from tests.http.belongings import Belongings, settle_in
from tests.http.conftest import House
from warmupd.http import identity, session
from warmupd.http.bearer import Signer
from warmupd.http.identity import Scope
from warmupd.store.owned import owned

pytestmark = pytest.mark.ablation

TOKENS = walks.test_nothing_opens_without_a_token_that_counts
SCOPES = partial(walks.test_service_token_opens_no_more_than_its_scope, scope=Scope.READ)
OTHERS = walks.test_another_user_sees_changes_and_infers_nothing
FORMS = walks.test_no_form_is_taken_from_elsewhere


@dataclass(frozen=True, kw_only=True)
class Case:
    """`safeguard` of a function becomes `nothing`; `walk` must then fail."""

    function: Callable[..., Any]
    safeguard: str
    nothing: str
    walk: Callable[..., Awaitable[None]]

    def __str__(self) -> str:
        return f"{self.function.__qualname__}: {self.safeguard}"


CASES = [
    Case(
        function=owned,
        safeguard='f"AND {column} = ${len(arguments) + 1}"',
        nothing='f"AND ${len(arguments) + 1}::uuid IS NOT NULL"',
        walk=OTHERS,
    ),
    Case(function=Signer.read, safeguard="claims if now < claims.expires_at else None", nothing="claims", walk=TOKENS),
    Case(
        function=identity._by_signature,
        safeguard="or access.credentials_version != claims.credentials_version",
        nothing="",
        walk=TOKENS,
    ),
    Case(
        function=identity.identity_of,
        safeguard="scopes=wanted if access.role is Role.ADMIN else wanted - {Scope.ADMIN}",
        nothing="scopes=frozenset(Scope)",
        walk=SCOPES,
    ),
    Case(function=session.visitor, safeguard="demand_own_origin(request)", nothing="pass", walk=FORMS),
    Case(
        function=session.visitor,
        safeguard="not hmac.compare_digest(",
        nothing="None is hmac.compare_digest(",
        walk=FORMS,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_safeguard_is_missed(house: House, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    belongings: Belongings = await settle_in(house)
    take_out(monkeypatch, case.function, case.safeguard, case.nothing)
    with pytest.raises(AssertionError):
        await case.walk(house, belongings)
