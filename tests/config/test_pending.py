"""A key that has no effect yet is named when it is set, and the example says which they are."""

from pathlib import Path

from warmupd.config import Config
from warmupd.config.pending import PENDING, set_in_vain

EXAMPLE = Path(__file__).parents[2] / "config.toml.example"


def test_nothing_is_in_vain_by_default() -> None:
    assert set_in_vain(Config()) == []


def test_a_key_set_in_vain_is_named() -> None:
    config = Config.isolated({"housekeeping.job_retention_days": 3, "quota.target_daily": 35})
    assert set_in_vain(config) == ["housekeeping.job_retention_days"]


def test_the_example_names_all_of_them() -> None:
    head = EXAMPLE.read_text("utf-8").split("[database]")[0].replace("\n# ", " ")
    for name in PENDING:
        said = (
            "oauth.*.authorize_url" if name.startswith("oauth.") else f"[{name[:-1]}]" if name.endswith(".") else name
        )
        assert said in head
