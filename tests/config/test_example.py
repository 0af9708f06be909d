"""config.toml.example is the manual: complete, true and explained."""

import re
import tomllib
from pathlib import Path

from warmupd.config import Config, load

EXAMPLE = Path(__file__).parents[2] / "config.toml.example"


def test_example_names_every_key_with_its_default() -> None:
    switched_on = tomllib.loads(re.sub(r"^#(?=[a-z_]+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert switched_on == Config.isolated().redacted()


def test_example_explains_every_key() -> None:
    for paragraph in EXAMPLE.read_text().split("\n\n")[1:]:
        lines = [line for line in paragraph.splitlines() if not line.startswith("[")]
        prose = [line for line in lines if line.startswith("# ")]
        assert not lines or sum(map(len, prose)) >= 60, paragraph


def test_example_loads_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(EXAMPLE.read_text())
    defaults = Config.isolated().redacted()
    assert load(file, environ={}, dotenv=None).redacted() | {"database": None} == defaults | {"database": None}
