"""The run that all changes must pass ends in the time that it names."""

import re
import subprocess
from pathlib import Path

TEXT = (Path(__file__).parents[2] / ".ci/run").read_text()


def carried_out(left: int, *, minutes: int = 5) -> "subprocess.CompletedProcess[str]":
    """A part that never ends, with so many seconds left of the whole time."""
    functions = "".join(re.findall(r"^(?:within|part)\(\) \{\n.*?^\}\n", TEXT, re.MULTILINE | re.DOTALL))
    script = (
        f'{functions}failed=()\ndeadline=$((SECONDS + {left}))\npart hangs {minutes} sleep 60\necho "${{failed[*]}}"'
    )
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20, check=False)


def test_part_that_hangs_ends_with_the_time_of_all() -> None:
    for left in (1, 0, -5):
        assert carried_out(left).stdout == "=== hangs\nhangs\n"


def test_time_of_all_is_what_its_head_says() -> None:
    assert "Under half an hour" in TEXT
    assert int(re.findall(r"^deadline=\$\(\(SECONDS \+ (\d+) \* 60\)\)$", TEXT, re.MULTILINE)[0]) < 30
    assert re.findall(r"^.*(?<!within )(?<!&& )(?:\btimeout\b|^ +apt-get).*$", TEXT, re.MULTILINE) == [
        '    timeout --kill-after=10 "$seconds" "$@"'
    ]


def test_part_beside_others_is_told_of_when_it_has_ended_and_its_failure_is_remembered() -> None:
    functions = "".join(re.findall(r"^(?:within|beside|meet)\(\) \{\n.*?^\}\n", TEXT, re.MULTILINE | re.DOTALL))
    script = f"{functions}failed=()\ndeadline=$((SECONDS + 9))\n" + "".join(
        f"beside '{name}' 1 {command}\necho meanwhile\nmeet\n"
        for name, command in (("good", "echo fine"), ("bad", "sh -c 'echo what; exit 3'"))
    )
    done = subprocess.run(
        ["bash", "-euc", f'{script}echo "${{failed[*]}}"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == "meanwhile\n=== good\nfine\nmeanwhile\n=== bad\nwhat\nbad\n"
