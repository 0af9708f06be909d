"""The result of a bench as a person reads it: tables on the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from warmupd.sandbox.bench_report import BenchReport


def show_sends(report: "BenchReport") -> None:
    """The result as a person reads it."""
    from rich.console import Console

    console = Console()
    console.print(_rounds(report))
    console.print(_whole(report))
    for warning in report.warnings:
        console.print(f"note: {warning}", highlight=False)
    if not report.went_well:
        ledger, sink = report.ledger, report.sink
        words = f"failed: {ledger.sent} messages sent, {ledger.failed} not; the sink took {sink.taken}"
        console.print(f"{words}, {sink.distinct} different ones, and refused {sink.refused}", highlight=False)


def narrow_table(title: str) -> "Table":
    """One whose eight columns of figures are whole on 60 characters."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)


def _rounds(report: "BenchReport") -> "Table":
    table = narrow_table("CPU milliseconds a send, by round")
    for name in ("round", "sends/s", "whole\nsend", "client", "Postgres", "sink", "rest", "a batch"):
        table.add_column(name, justify="right", overflow="fold")
    for number, one in enumerate(report.rounds, 1):
        shares = (one.cpu_ms, *map(one.ms, (one.used.client, one.used.postgres, one.used.sink, one.used.rest)))
        table.add_row(
            str(number), f"{one.sends_per_second:,.0f}", *(f"{share:.3f}" for share in shares), f"{one.batch:.0f}"
        )
    return table


def _whole(report: "BenchReport") -> "Table":
    from rich.table import Table

    table = Table(title="medians", title_justify="left", show_header=False)
    told, options = report.as_dict(), report.options
    table.add_row("sends a second", f"{told['sends_per_second']:,.0f}")
    table.add_row("CPU time a whole send, Postgres included", f"{told['cpu_ms_per_send']:.3f} ms")
    table.add_row("sends a second that one core would do", f"{told['sends_per_cpu_second']:,.0f}")
    if report.floor_ms is not None and report.ratio is not None:
        table.add_row(f"the floor: {report.floor.name}", f"{report.floor_ms:.3f} ms")
        table.add_row("ratio to the floor", f"{report.ratio:.2f}")
    table.add_row("from reservation to settlement, p50", f"{told['latency_ms']['p50']:.0f} ms")
    table.add_row("from reservation to settlement, p99", f"{told['latency_ms']['p99']:.0f} ms")
    table.add_row("reserved at once, settled at once", " ".join(f"{one:.0f}" for one in told["batch"].values()))
    table.add_row("peak memory of this process", f"{told['peak_rss_bytes'] / 2**20:.0f} MiB")
    table.add_row("mailboxes, loaded in", f"{options.mailboxes:,}, {report.loaded_seconds:.1f} s")
    table.add_row("bytes of a message, the floor's too", f"{report.sink.message_bytes:,}")
    table.add_row("sends at once", f"{options.concurrent}")
    table.add_row("security", options.security)
    machine = report.machine
    table.add_row("machine", f"{machine['cores']} x {machine['cpu']}, {machine['system']}")
    table.add_row("Python, OpenSSL", f"{machine['python']}, {machine['openssl']}")
    table.add_row("Postgres", f"fsync on, on {machine['file_system']}")
    return table
