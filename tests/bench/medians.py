"""`python -m tests.bench.medians`: measures parts and whole sends, prints both as a table, writes it with --write."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("medians.md")
PARTS = ROOT / "tests/bench"
WAYS = {"STARTTLS": (), "TLS from the first byte": ("--implicit",), "without TLS": ("--no-tls",)}
MEASURED = (
    *("-q", "-p", "no:cacheprovider", "--benchmark-enable", "--benchmark-only"),
    *("--benchmark-max-time=0.3", "--benchmark-min-rounds=20", "--benchmark-columns=median,iqr,rounds"),
)

LEFT = ("benchmark", "what", "way")  # columns of words

Row = Sequence[str]


def main() -> int:
    """Measure; arguments that are not its own go to `warmupd bench`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.medians", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"also write {TABLE.relative_to(ROOT)}")
    own, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = _measure_parts(Path(folder) / "parts.json")
    sends = {way: _measure_sends([*words, *options]) for way, words in WAYS.items()}
    page = as_page(parts, sends)
    sys.stdout.write(page)
    if own.write:
        TABLE.write_text(page, "utf-8")
    return 0


def as_page(parts: Mapping[str, Any], sends: Mapping[str, Mapping[str, Any]]) -> str:
    """`parts` as pytest-benchmark writes them, `sends` as `warmupd bench --json` prints them, by way."""
    return "\n".join(
        [
            "# Medians, as last measured",
            "",
            "Written by `make bench-table`, never by hand. CPU time hardly depends on what else ran on the machine;",
            "real time, and sends a second, do.",
            "",
            *_machine(next(iter(sends.values()))),
            "",
            "## Parts",
            "",
            *_table(("benchmark", "what", "CPU, us", "a core does a second", "real, us"), map(as_part, _sorted(parts))),
            "",
            "Of a batch each figure is for one send. Reserve and settle count Postgres' CPU time as well; they go over",
            "one connection to a Postgres that flushes to disk.",
            "",
            "## Whole sends",
            "",
            *_table(SEND_HEAD, (_send(way, told) for way, told in sends.items())),
            "",
            *(f"- {way}: {warning}" for way, told in sends.items() for warning in told["warnings"]),
            "",
        ]
    )


SEND_HEAD = (
    *("way", "sends/s", "CPU, ms a send", "client", "Postgres", "sink", "floor (C)", "ratio", "p50, ms", "p99, ms"),
    *("a batch", "peak MiB", "mailboxes", "at once"),
)


def _send(way: str, told: Mapping[str, Any]) -> Row:
    cpu, floor = told["cpu_ms"], told["floor"]
    return (
        way,
        f"{told['sends_per_second']:.0f}",
        f"{told['cpu_ms_per_send']:.2f}",
        *(f"{cpu[part]:.2f}" for part in ("client", "postgres", "sink")),
        f"{floor['cpu_ms_per_send']:.2f}" if floor else "-",
        f"{told['ratio_to_floor']:.2f}" if floor else "-",
        *(f"{told['latency_ms'][rank]:.0f}" for rank in ("p50", "p99")),
        f"{told['batch']['reserved']:.0f}",
        f"{told['peak_rss_bytes'] / 2**20:.0f}",
        f"{told['mailboxes']:,}",
        f"{told['concurrent']}",
    )


def as_part(benchmark: Mapping[str, Any]) -> Row:
    """A row of one of pytest-benchmark's; `real` is told where it is not the same: where Postgres is waited for."""
    more = benchmark["extra_info"]
    seconds = benchmark["stats"]["median"] / more["each"]
    real = f"{more['real_seconds'] / more['each'] * 1e6:.1f}" if "real_seconds" in more else ""
    return benchmark["name"], more["what"], f"{seconds * 1e6:.2f}", f"{1 / seconds:,.0f}", real


def _sorted(parts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(parts["benchmarks"], key=lambda one: (one["fullname"].partition("::")[0], one["name"]))


def _machine(told: Mapping[str, Any]) -> list[str]:
    on = told["machine"]
    return [
        f"{on['cores']} x {on['cpu']}, {on['memory_bytes'] / 2**30:.0f} GiB, {on['system']}, Python {on['python']},",
        f"{on['openssl']}; Postgres with fsync, on {on['file_system']}.",
    ]


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    ruler = tuple("---" if name in LEFT else "---:" for name in head)
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _measure_parts(into: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", str(PARTS), *MEASURED, f"--benchmark-json={into}"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    found: dict[str, Any] = json.loads(into.read_text("utf-8"))
    return found


def _measure_sends(options: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "warmupd.cli.entry", "bench", "--json", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
