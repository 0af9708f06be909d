"""The committed table is of the benchmarks that there are."""

import ast
from pathlib import Path
from typing import Any

from tests.bench import medians

HERE = Path(__file__).parent


def benchmarks() -> set[str]:
    """Every test that takes the fixture `bench`."""
    return {
        node.name
        for file in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        if "bench" in {argument.arg for argument in node.args.args}
    }


def test_the_table_has_a_row_for_each_benchmark_and_each_way_of_sending() -> None:
    page = medians.TABLE.read_text("utf-8")
    first = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")}
    assert len(benchmarks()) >= 12
    assert first == {*benchmarks(), *medians.WAYS, "benchmark", "way"} | {"---"} & first


def test_a_table_tells_of_a_batch_what_one_send_costs() -> None:
    more: dict[str, Any] = {"what": "a send is reserved", "each": 50, "real_seconds": 0.01}
    row = medians.as_part({"name": "test_reserve", "stats": {"median": 0.005}, "extra_info": more})
    assert row == ("test_reserve", "a send is reserved", "100.00", "10,000", "200.0")
