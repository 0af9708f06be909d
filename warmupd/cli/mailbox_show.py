"""`warmupd mailbox list` and `show`."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.options import AsJson, ConfigPath, OfDomain, OfLabel, OfUser
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.mailbox_report import MailboxReport
    from warmupd.store.reports import DayCounts

LIST_EXAMPLE = "Example: warmupd mailbox list --state AUTH_FAILED"
SHOW_EXAMPLE = "Example: warmupd mailbox show anna@example.com"

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The mailbox's address.", show_default=False)]
OfState = Annotated[
    str | None, typer.Option("--state", metavar="STATE", help="All in this state, such as PAUSED.", show_default=False)
]


def list_all(
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    state: OfState = None,
    as_json: AsJson = False,
) -> None:
    """All mailboxes, or those that fit, with what they sent today."""
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.store.accounts import find_mailboxes
    from warmupd.store.mailbox_report import mailbox_reports

    wanted = None if state is None else _known_state(state)

    async def task(session: "Session") -> None:
        ids = await find_mailboxes(session.db, user=user, label=label, domain=domain)
        found = await mailbox_reports(session.db, ids)
        found = [mailbox for mailbox in found if wanted is None or mailbox.state == wanted]
        days = await _days(session, [mailbox.id for mailbox in found])
        if as_json:
            print_json([{"mailbox": mailbox, "today": days.get(mailbox.id)} for mailbox in found])
        else:
            _print_list(found, days)

    work(config, task, name="mailbox list")


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


def _known_state(word: str) -> str:
    from warmupd.core.mailbox import MailboxState

    known = [state.value for state in MailboxState if state is not MailboxState.REMOVED]  # which no list shows
    if word.upper() not in known:
        raise UsageError(f"{word} is not a state", remedy=f"one of: {', '.join(known)}")
    return word.upper()


async def _days(session: "Session", ids: Sequence[int]) -> "dict[int, DayCounts]":
    from warmupd.core.opening import is_current
    from warmupd.daemon.options import defaults_of
    from warmupd.store.mailboxes import load_mailboxes
    from warmupd.store.reports import days_of

    now = session.clock.now()
    mailboxes = await load_mailboxes(session.db, defaults_of(session.config), ids)
    last = await days_of(session.db, ids)
    return {m.id: last[m.id] for m in mailboxes if m.id in last and is_current(last[m.id].day, m.zone, now)}


def _print_list(found: "Sequence[MailboxReport]", days: "Mapping[int, DayCounts]") -> None:
    from warmupd.cli.output import count, print_table

    rows = []
    for mailbox in found:
        day = days.get(mailbox.id)
        rows.append(
            [
                mailbox.address,
                mailbox.user,
                mailbox.state,
                mailbox.health.lower(),
                f"{day.sent}/{day.day.quota}" if day else "",
                " ".join(mailbox.labels),
                mailbox.state_reason,
            ]
        )
    print_table(["mailbox", "user", "state", "health", "today", "labels", "reason"], rows, right=["today"])
    if not rows:
        print(count(0, "mailbox"))


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
