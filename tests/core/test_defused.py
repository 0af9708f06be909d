"""Cells that a spreadsheet would compute: made harmless in what we write, and read back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.sheet import defused, fused, read_sheet


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-1"])
def test_formula_is_defused(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "ann@one.test", "'quoted'", "5", "a=b"])
def test_plain_text_stays(text: str) -> None:
    assert defused(text) == text


@given(st.lists(st.text("'=+-@a1", max_size=6), min_size=1, max_size=5))
def test_cells_come_back_as_they_were(texts: list[str]) -> None:
    line = ",".join(f'"{defused(text)}"' for text in texts)
    sheet = read_sheet(f"head\n{line}\n".encode())
    rows = [[cell.text for cell in fused(row).cells] for row in sheet.rows]
    assert rows == ([texts] if any(texts) else [])
