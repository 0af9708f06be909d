"""Folders of real stacks: those of owners that are gone are swept away, and nothing else is."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from warmupd.sandbox.real.belongings import PREFIX, make_folder, sweep

OWNER = "owner.json"


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def left_behind(place: Path) -> Path:
    """The folder of a process that has ended without a word."""
    program = "import tempfile, os, sys; from warmupd.sandbox.real.belongings import make_folder\n"
    program += f"tempfile.tempdir = {str(place)!r}; print(make_folder(), flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip())
    (folder / "users").write_text("box@one.test:{PLAIN}secret")
    return folder


def test_what_a_killed_owner_left_is_swept_away(tmp_path: Path) -> None:
    folder = left_behind(tmp_path)
    assert sweep() == [folder]
    assert not folder.exists()


def test_what_a_living_owner_has_stays() -> None:
    folder = make_folder()
    assert sweep() == []
    assert folder.exists()


def test_folder_whose_owners_number_is_another_process_by_now_is_swept(tmp_path: Path) -> None:
    mine, theirs = make_folder(), left_behind(tmp_path)
    owner = json.loads((theirs / OWNER).read_text()) | {"pid": json.loads((mine / OWNER).read_text())["pid"]}
    (theirs / OWNER).write_text(json.dumps(owner))
    assert sweep() == [theirs]
    assert mine.exists()


@pytest.mark.parametrize(("name", "value", "goes"), [("namespace", "pid:[1]", False), ("boot", "another", True)])
def test_owner_in_another_container_cannot_be_judged_and_one_before_a_reboot_can(
    tmp_path: Path, name: str, value: str, *, goes: bool
) -> None:
    folder = left_behind(tmp_path)
    (folder / OWNER).write_text(json.dumps(json.loads((folder / OWNER).read_text()) | {name: value}))
    assert bool(sweep()) == goes


@pytest.mark.parametrize("said", [None, "", "{}", '{"pid": 1}', '{"pid": "x", "started": "y"}', "[]", "7"])
def test_folder_that_does_not_say_whose_it_is_stays(tmp_path: Path, said: str | None) -> None:
    folder = tmp_path / f"{PREFIX}old"
    folder.mkdir()
    if said is not None:
        (folder / OWNER).write_text(said)
    assert sweep() == []
    assert folder.exists()


def test_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = left_behind(tmp_path).rename(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    assert sweep() == []
    assert (elsewhere / "users").exists()
