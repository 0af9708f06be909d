"""Taking a safeguard out of a function, to see the test fail that stands for it."""

import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest


def take_out(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], safeguard: str, nothing: str) -> None:
    """In the function's source `safeguard` becomes `nothing`, for everybody who has it by whatever name."""
    assert isinstance(function, FunctionType)
    names = dict(function.__globals__)
    exec("from __future__ import annotations\n" + without(source_of(function), safeguard, nothing), names)
    monkeypatch.setattr(function, "__code__", names[function.__name__].__code__)


def source_of(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def without(source: str, safeguard: str, nothing: str) -> str:
    assert safeguard in source, "the safeguard is written differently by now"
    return source.replace(safeguard, nothing)
