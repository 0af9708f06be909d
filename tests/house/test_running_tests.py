"""The tests run without the plugins that only some of them need."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_without_the_plugin_for_benchmarks_the_others_are_collected() -> None:
    asked = (sys.executable, "-m", "pytest", "-p", "no:benchmark", "-p", "no:cacheprovider", "--collect-only", "-q")
    done = subprocess.run(
        [*asked, "tests/test_clock.py"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
