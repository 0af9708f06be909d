"""The result of a bench of visits as a person reads it: a table on the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmupd.sandbox.visit_bench_report import VisitBenchReport

COLUMNS = (
    *("a visit", "rounds", "visits\na\nsecond", "client,\nCPU ms", "Post-\ngres"),
    *("server", "com-\nmands", "state-\nments"),
)


def show_visits(report: "VisitBenchReport") -> None:
    """The result as a person reads it."""
    from rich.console import Console

    from warmupd.cli.bench_result import narrow_table

    console = Console()
    table = narrow_table(f"a visit's costs, by what there is to do; {report.mailboxes:,} mailboxes")
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for cost in report.costs:
        table.add_row(
            cost.kind,
            str(cost.rounds),
            f"{cost.visits_per_second:,.0f}",
            *(f"{ms:.2f}" for ms in (cost.client_ms, cost.postgres_ms, cost.server_ms)),
            *(f"{number:.1f}" for number in (cost.commands, cost.statements)),
        )
    console.print(table)
    console.print(
        f"peak memory {report.peak_rss_bytes / 2**20:.0f} MiB; {report.failed} visits failed", highlight=False
    )
    if machine := report.machine:
        console.print(f"{machine['cores']} x {machine['cpu']}, {machine['system']}", highlight=False)
        console.print(
            f"Python {machine['python']}, {machine['openssl']}; Postgres: fsync on, on {machine['file_system']}",
            highlight=False,
        )
    for warning in report.warnings:
        console.print(f"note: {warning}", highlight=False)
