"""What an import tells when the disk or the database fails at its end."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warmupd.cli import mailbox_import
from warmupd.cli.rejected_file import check_folder
from warmupd.clock import SystemClock
from warmupd.core.sheet import read_sheet
from warmupd.core.sheet_application import Given
from warmupd.daemon import prospect
from warmupd.daemon.importing import Import, RowState
from warmupd.errors import DatabaseUnavailable, UsageError

NOWHERE = Path("/proc/self/comm")  # nobody can make a file beside it, not even root
SHEET = read_sheet(b"email,password\nanna@gmail.com,hush\nbert,hush\n")


async def ended(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    async def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(prospect, "capacity_now_and_ramped", away)
    importing = Import(SHEET, Given())
    importing.rows[0].state = RowState.ENROLLED
    session: Any = SimpleNamespace(db=None, config=None, clock=SystemClock())
    await mailbox_import._tell_end(session, SHEET, importing, [], {"file": file, "as_json": True}, saved=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


async def test_database_that_is_away_at_the_end_takes_neither_result_nor_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "boxes.csv"
    file.touch()
    told = await ended(file, monkeypatch, capsys)
    assert "bert" in Path(told["rejected_file"]).read_text("utf-8-sig")
    assert told["capacity"] == {"today": None, "ramped": None}


async def test_disk_that_takes_no_file_takes_no_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = await ended(NOWHERE, monkeypatch, capsys)
    assert (told["counts"]["enrolled"], told["rejected_file"]) == (1, None)


def test_folder_that_takes_no_file_is_told_before_anything_is_saved() -> None:
    with pytest.raises(UsageError, match="cannot be written to"):
        check_folder(NOWHERE)
