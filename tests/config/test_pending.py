"""A key that has no effect yet is named when it is set, and the example says which they are."""

from pathlib import Path

import pytest

from warmupd.config import Config, pending
from warmupd.config.pending import PENDING, set_in_vain

EXAMPLE = Path(__file__).parents[2] / "config.toml.example"


def test_nothing_is_in_vain_by_default() -> None:
    assert set_in_vain(Config()) == []


def test_a_key_set_in_vain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "PENDING", ("housekeeping.resync_minutes",))
    config = Config.isolated({"housekeeping.resync_minutes": 3, "quota.target_daily": 35})
    assert set_in_vain(config) == ["housekeeping.resync_minutes"]


def test_the_example_names_all_of_them() -> None:
    head = EXAMPLE.read_text("utf-8").split("[database]")[0].replace("\n# ", " ")
    for name in PENDING:
        said = (
            "oauth.*.authorize_url" if name.startswith("oauth.") else f"[{name[:-1]}]" if name.endswith(".") else name
        )
        assert said in head
