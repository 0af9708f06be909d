"""The presets of `init` are configurations that carry the fleets they are named for."""

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from tests.config.test_example import EXAMPLE
from warmupd.cli.init import Preset, _text
from warmupd.config import Config, load
from warmupd.core.capacity import Ceiling, Demand, concurrency_shortfall, global_shortfall, user_shortfall

OWNER = UUID(int=1)
CARRIES = {Preset.SMALL: 1_000, Preset.MEDIUM: 10_000, Preset.LARGE: 100_000}  # mailboxes
LEFT = {Preset.SMALL: 1, Preset.MEDIUM: 1, Preset.LARGE: 3}  # workers, when one has died
ONE_USERS = 1_454  # mailboxes, at most: of one user without a plan; of small, all


def written(preset: Preset, folder: Path) -> Config:
    file = folder / "config.toml"
    file.write_text(_text("postgresql://db/warmupd", None, preset), "utf-8")
    file.chmod(0o600)
    return load(file, environ={}, dotenv=None)


def busiest(config: Config, mailboxes: int) -> list[Demand]:
    """All ramped, in one zone, on a day that is as much above the target as it can be."""
    day = datetime(2026, 6, 3, tzinfo=UTC)
    quota = round(config.quota.target_daily * (1 + config.quota.variance)) * mailboxes
    opens, closes = (day.replace(hour=hour) for hour in (config.window.start_hour, config.window.end_hour))
    return [Demand(mailbox_id=1, user_id=OWNER, quota=quota, opens_at=opens, closes_at=closes, mailboxes=mailboxes)]


@pytest.mark.parametrize("preset", Preset)
def test_caps_carry_the_largest_fleet(preset: Preset, tmp_path: Path) -> None:
    limits, config = written(preset, tmp_path).limits, written(preset, tmp_path)
    everybody = Ceiling(per_hour=limits.global_per_hour, per_minute=limits.global_per_minute)
    one = Ceiling(per_hour=limits.user_per_hour, per_minute=limits.user_per_minute)
    assert global_shortfall(busiest(config, CARRIES[preset]), everybody) is None
    largest = min(CARRIES[preset], ONE_USERS)
    assert user_shortfall(busiest(config, largest), one, user="one", by_plan=False) is None


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize("text", [EXAMPLE.read_text(), *(_text("embedded", None, preset) for preset in Preset)])
def test_all_files_count_alike_what_a_fleet_needs_and_what_a_cap_carries(text: str) -> None:
    needs, carries = r"([\d,]+) mailboxes at\s40 a day need ([\d,]+)", r"([\d,]+) an hour\scarry \D*([\d,]+)"
    words = text.replace("\n# ", " ")
    busiest_day = 40 * (1 + Config.isolated().quota.variance) / 16  # sends an hour of a mailbox
    told = re.findall(needs, words) + [(carried, cap) for cap, carried in re.findall(carries, words)]
    assert told
    assert [number(mailboxes) for mailboxes, _ in told] == [int(number(cap) / busiest_day + 1e-9) for _, cap in told]


@pytest.mark.parametrize("preset", Preset)
def test_workers_that_are_left_when_one_dies_carry_it(preset: Preset, tmp_path: Path) -> None:
    config = written(preset, tmp_path)
    demands, each = busiest(config, CARRIES[preset]), config.sending.max_concurrent
    assert concurrency_shortfall(demands, workers=LEFT[preset], each=each, send_seconds=2.0) is None


def test_a_fleet_that_is_too_large_is_found_out(tmp_path: Path) -> None:
    config = written(Preset.SMALL, tmp_path)
    ceiling = Ceiling(per_hour=config.limits.global_per_hour, per_minute=config.limits.global_per_hour)
    assert global_shortfall(busiest(config, CARRIES[Preset.MEDIUM]), ceiling) is not None
