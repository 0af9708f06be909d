"""`warmupd mailbox show`."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.mailbox_report import MailboxReport

EXAMPLE = "Example: warmupd mailbox show anna@example.com"

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The mailbox's address.", show_default=False)]


def show(address: Address, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """One mailbox and its settings. Why it is or is not sending: `warmupd explain`."""
    from warmupd.cli.explain import placement as in_words
    from warmupd.cli.output import print_facts, print_json
    from warmupd.cli.session import work
    from warmupd.store.accounts import find_mailbox
    from warmupd.store.mailbox_report import mailbox_reports, own_settings
    from warmupd.store.reports import placements

    async def task(session: "Session") -> None:
        mailbox_id = await find_mailbox(session.db, address)
        (report,) = await mailbox_reports(session.db, [mailbox_id])
        settings = await own_settings(session.db, mailbox_id)
        placement = await placements(session.db, at=session.clock.now(), sender_id=mailbox_id)
        if as_json:
            print_json({"mailbox": report, "settings": settings, "placement_7d": placement})
        else:
            print_facts([*_facts(report, settings), ("Placement", in_words(placement))])

    work(config, task, name="mailbox show")


def _facts(report: "MailboxReport", settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    def server(kind: str) -> str:
        host, port, security = (settings[f"{kind}_{part}"] for part in ("host", "port", "security"))
        return f"{host}:{port}, {security}, as {settings[f'{kind}_username']}"

    def or_default(*columns: str, form: str) -> str:
        values = [settings[column] for column in columns]
        if all(value is None for value in values):
            return "the default"
        return form.format(*("default" if value is None else value for value in values))

    return [
        ("Mailbox", f"{report.address} (number {report.id})"),
        ("Name", report.display_name),
        ("User", f"{report.user}, plan {report.plan}"),
        ("Pool", f"{report.pool}, shared" if report.shared_pool else "their private pool"),
        ("Labels", ", ".join(report.labels)),
        ("State", f"{report.state}: {report.state_reason}" if report.state_reason else report.state),
        ("Health", report.health.lower()),
        (
            "Enrolled",
            f"{report.enrolled_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC, {settings['ramp_days']} days of ramp",
        ),
        ("SMTP", server("smtp")),
        ("IMAP", server("imap")),
        ("Junk", settings["junk_folder"] or "found by itself"),
        ("Language", settings["language"]),
        ("Time zone", or_default("timezone", form="{}")),
        ("Window", or_default("start_hour", "end_hour", form="from hour {} to hour {}")),
        ("Weekdays", or_default("weekdays_only", form="weekdays only: {}")),
        ("Ramp", or_default("ramp_start", "ramp_step", form="starts at {}, {} more each day")),
        ("Quota", or_default("target_daily", "min_daily", form="target {}, minimum {}")),
        ("Warm", "already; its ramp starts at its minimum" if settings["already_warm"] else ""),
        ("Own mail", or_default("own_mail", form="{} a day")),
        ("Provider", or_default("provider_limit", form="at most {} a day")),
        ("Learnt", "" if settings["learnt_limit"] is None else f"the provider takes {settings['learnt_limit']} a day"),
    ]
