"""The result of a demo as a person reads it: tables on the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

    from warmupd.sandbox.report import DemoReport
    from warmupd.sandbox.shortfall import Shortfall

VIOLATIONS = {
    "spacing": "sends of a mailbox, or of a user, too close together",
    "window": "sends outside the mailbox's local hours",
    "caps": "sends above a cap a minute or an hour",
    "quota": "sends above a mailbox's quota",
    "outside_pool": "messages to somebody outside the pool",
    "twice": "messages sent twice",
    "unreserved": "messages offered to the mail server without a reservation for that moment",
    "lost": "messages called sent that the mail server never took",
    "misplaced": "messages seen in another place than the mail server put them",
    "unexplained": "mailboxes short of their quota by more than their reasons account for",
}
AWAY = "away"  # the kind of weather in which the mail server is not there at all
TOO_BUSY = 60  # minutes a day
MOST_SHORTFALLS = 20  # shown; --json lists all


def show_report(report: "DemoReport") -> None:
    """The result as a person reads it."""
    from rich.console import Console

    console = Console()
    console.print(_results(report))
    if report.weather:
        console.print(_weather(report))
    if report.shortfalls:
        console.print(_shortfalls(report))
    broken = _table("violations, counted from the server's record and the ledger", "promise broken", "times")
    for key, words in VIOLATIONS.items():
        count = getattr(report.violations, key)
        broken.add_row(words, str(count), style="bold red" if count else None)
    console.print(broken)
    if report.busy_minutes > TOO_BUSY * report.days:
        hours = report.busy_minutes / 60
        console.print(f"for {hours:.1f} hours of that time this machine could not keep up: try a lower --speed")
    console.print(f"{report.wall_seconds:.0f} s in all")


def _results(report: "DemoReport") -> "Table":
    table = _table(f"{report.mailboxes} mailboxes, {report.days} day(s), {report.weather_name} weather")
    rows = [
        ("quota of all mailboxes", report.quota),
        ("sent", report.sent),
        ("fill rate", f"{report.fill_rate:.1%}"),
        ("mailboxes that met their quota", f"{report.mailboxes_met} of {report.mailboxes}"),
        ("of these sends, answers", report.replies),
        ("failed for good", report.failed),
        ("outcome unknown, then found by looking", report.unknowns_resolved),
        ("outcome still unknown", report.unknown),
        *((f"found in {_PLACES[place]}", count) for place, count in report.placement.items()),
        ("not looked for yet when the day ended", report.unseen),
        ("rescued from spam", report.rescued),
        ("attempts, by the mail server's own record", report.server["attempts"]),
        ("of these taken", report.server["accepted"]),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def _weather(report: "DemoReport") -> "Table":
    attempts = report.server["attempts"]
    struck = sum(report.weather.values()) - report.weather.get(AWAY, 0)
    table = _table(f"the weather, on purpose, in {struck} of {attempts} attempts", "kind", "times")
    for kind, count in report.weather.items():
        minutes = f" ({report.server['away_minutes']} minutes in all)" if kind == AWAY else ""
        table.add_row(kind.replace("_", " ") + minutes, str(count))
    return table


def _shortfalls(report: "DemoReport") -> "Table":
    table = _table("short of their quota, and why", "mailbox", "sent", "reasons")
    for short in report.shortfalls[:MOST_SHORTFALLS]:
        table.add_row(short.mailbox, f"{short.sent} of {short.quota}", _reasons(short))
    if (more := len(report.shortfalls) - MOST_SHORTFALLS) > 0:
        table.add_row(f"and {more} more", "", "--json lists all")
    return table


def _reasons(short: "Shortfall") -> str:
    words = [reason.words for reason in short.reasons]
    if short.unexplained:
        words.append(f"{short.unexplained} for reasons not known{'' if short.opened else ': its day was never opened'}")
    return "\n".join(words)


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=bool(columns), min_width=len(title) + 2)
    for column in columns or ("", ""):
        justify: JustifyMethod = "right" if column in {"times", ""} and table.columns else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return table


_PLACES = {"INBOX": "the inbox", "SPAM": "spam", "OTHER": "another folder", "MISSING": "no folder"}
