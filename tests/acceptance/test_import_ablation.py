"""Ablation: each safeguard of an import is taken out once, and its test must fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ablation import take_out
from tests.acceptance import test_import as of_import
from tests.acceptance.console import Console, opened_console  # noqa: F401  it is a fixture
from tests.acceptance.test_import import file  # noqa: F401  it is a fixture
from warmupd.cli import rejected_file
from warmupd.daemon import host_check
from warmupd.daemon.importing import Import
from warmupd.store import enrolment

pytestmark = [pytest.mark.ablation, pytest.mark.acceptance]

SAFEGUARDS: list[tuple[Callable[..., Any], str, str, Callable[[Console, Path], None]]] = [
    (
        rejected_file._quoted,
        """return f'"{doubled}"'""",
        "return text",
        of_import.test_bad_rows_come_back_with_reasons_and_are_imported_once_corrected,
    ),
    (
        rejected_file._create,
        "| os.O_EXCL",
        "",
        of_import.test_bad_rows_come_back_with_reasons_and_are_imported_once_corrected,
    ),
    (
        enrolment._row,
        '"PAUSED" if new.pause_reason else "ACTIVE"',
        '"ACTIVE"',
        of_import.test_layout_of_other_tools_is_enrolled,
    ),
    (
        host_check.check_hosts,
        "if verdict is not None:",
        "if False:",
        of_import.test_private_address_is_refused_without_a_check_too,
    ),
    (
        Import.compare,
        "if not anew:",
        "if False:",
        of_import.test_what_its_user_removed_of_late_is_not_enrolled_anew_by_chance,
    ),
    (
        Import.compare,
        "find_removals(db, user=str(user_id))",
        "find_removals(db)",
        of_import.test_what_another_user_removed_is_enrolled,
    ),
]


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), SAFEGUARDS, ids=[one[1] for one in SAFEGUARDS])
def test_safeguard_of_an_import_is_missed(
    console: Console,
    file: Path,  # noqa: F811  the fixture
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    safeguard: str,
    nothing: str,
    test: Callable[[Console, Path], None],
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, FileNotFoundError)):
        test(console, file)
