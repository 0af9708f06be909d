"""The result of a simulation as a person reads it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from warmupd.cli.demo_result import VIOLATIONS

if TYPE_CHECKING:
    from rich.table import Table

    from warmupd.sandbox.simulation.report import SimulationReport

WIDTH = 72  # characters of the line of queue depths
_BROKEN = VIOLATIONS | {
    "days": "days with a window or quota that is not what was asked for",
    "visits_failed": "visits that failed, though no server gave a reason to",
}
_BARS = "▁▂▃▄▅▆▇█"
_MIB = 1 << 20


def show_simulation(report: "SimulationReport") -> None:
    """Tables on the terminal."""
    from rich.console import Console

    console = Console()
    console.print(_table(_title(report), _results(report)))
    console.print(_table("the machine", _machine(report)))
    console.print(_table("ran under", [(k.replace("_", " "), str(v)) for k, v in report.conditions.items()]))
    if report.endings:
        console.print(_table("jobs that did not end as sent", [(k, str(n)) for k, n in report.endings.items()]))
    line = sparkline(report.queue_depth, min(WIDTH, console.width))
    console.print(f"due sends through the run (at most {report.queue_depth_max}):\n{line}")
    broken = _table("violations, counted from the servers' record and the ledger", [])
    for name, count in report.violations.items():
        broken.add_row(_BROKEN[name], str(count), style="bold red" if count else None)
    console.print(broken)


def sparkline(depths: Sequence[int], width: int = WIDTH) -> str:
    """The most of each part of the series, as a bar; a dot where it was 0 throughout."""
    if not depths:
        return ""
    step = max(1, -(-len(depths) // width))
    parts = [max(depths[place : place + step]) for place in range(0, len(depths), step)]
    highest = max(parts)
    return "".join("." if not part else _BARS[(part * len(_BARS) - 1) // highest] for part in parts)


def _title(report: "SimulationReport") -> str:
    killed = f" ({report.killed} killed)" if report.killed else ""
    return (
        f"{report.mailboxes} mailboxes of {report.users} user(s), {report.days} day(s), {report.workers} worker(s)"
        f"{killed}, {report.climate} climate"
    )


def _results(report: "SimulationReport") -> list[tuple[str, str]]:
    caps = report.caps
    rows = [
        ("caps an hour and a minute: all", f"{caps['global_per_hour']}, {caps['global_per_minute']}"),
        ("caps an hour and a minute: a user", f"{caps['user_per_hour']}, {caps['user_per_minute']}"),
        ("quota of all mailboxes", str(report.quota)),
        *(
            [("of it taken off by limits, health or the ramp", str(report.quota_lowered))]
            if report.quota_lowered
            else []
        ),
        ("sent", str(report.sent)),
        ("fill rate", f"{report.fill_rate:.2%}"),
        ("fill rate of the worst mailbox", f"{report.p0_fill_rate:.1%}"),
        ("fill rate that 99 of 100 mailboxes reach", f"{report.p01_fill_rate:.1%}"),
        ("fill rate of the median mailbox", f"{report.p50_fill_rate:.1%}"),
        ("mailboxes that met their quota each day", f"{report.mailboxes_met} of {report.mailboxes}"),
        ("failed for good", str(report.failed)),
        ("outcome still unknown", str(report.unknown)),
    ]
    if report.unmet_days:
        rows.append(("mailbox days short of their quota", str(report.unmet_days)))
    if report.unopened_days:
        rows.append(("days that were never opened", str(report.unopened_days)))
    if report.visits_per_day:
        rows += [
            ("visits a mailbox and day", str(report.visits_per_day)),
            ("outcome unknown, then found by looking", str(report.unknowns_resolved)),
            ("of these sends, answers", str(report.replies)),
            *((f"found: {place.lower()}", str(count)) for place, count in report.placement.items()),
            ("rescued from spam", str(report.rescued)),
            ("IMAP logins that failed, as modelled", str(report.logins_shut_out)),
        ]
    return rows


def _machine(report: "SimulationReport") -> list[tuple[str, str]]:
    return [
        ("wall time of the days", f"{report.wall_seconds:.1f} s"),
        ("setting up, and counting afterwards", f"{report.setup_seconds:.1f} s, {report.judge_seconds:.1f} s"),
        ("sends a second of wall time", f"{report.sends_per_wall_second:.0f}"),
        ("CPU of the workers' process, of Postgres", _pair(report.cpu_seconds, report.postgres_cpu_seconds, "s", 1)),
        ("of it, for loading", _pair(report.loading_cpu_seconds, report.loading_postgres_cpu_seconds, "s", 2)),
        (
            "a simulated minute before the first window",
            _pair(report.idle_cpu_ms_per_minute, report.idle_postgres_cpu_ms_per_minute, "ms", 1),
        ),
        ("a send, from then on", _pair(report.cpu_ms_per_send, report.postgres_cpu_ms_per_send, "ms", 3)),
        (
            "a send, less what idles along",
            _pair(report.net_cpu_ms_per_send, report.net_postgres_cpu_ms_per_send, "ms", 3),
        ),
        ("reserves, and sends in one", f"{report.reserves}, {report.batch_mean:.1f}"),
        ("a reserve, median and p99", f"{report.reserve_ms_p50:.1f} ms, {report.reserve_ms_p99:.1f} ms"),
        ("most memory of the process", f"{report.peak_rss_bytes / _MIB:.0f} MiB"),
        ("growth of the database a day", f"{report.storage_bytes_per_day / _MIB:.1f} MiB"),
    ]


def _pair(first: float | None, second: float | None, unit: str, digits: int) -> str:
    """Of the workers' process, and of Postgres; what cannot be told is not made up."""
    return ", ".join("unknown" if one is None else f"{one:.{digits}f} {unit}" for one in (first, second))


def _table(title: str, rows: Sequence[tuple[str, str]]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False, min_width=len(title) + 2)
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table
