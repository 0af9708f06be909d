"""`warmupd mailbox show`."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.config import Config
    from warmupd.daemon.shown import Shown
    from warmupd.store.mailbox_report import MailboxReport

EXAMPLE = "Example: warmupd mailbox show anna@example.com"

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The mailbox's address.", show_default=False)]


def show(address: Address, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """One mailbox and its settings. Why it is or is not sending: `warmupd explain`.

    What a mailbox does not say itself is shown as "(default)": of its user, or of the configuration. A changed ramp,
    quota or window counts from its next local day.
    """
    from warmupd.cli.output import print_facts, print_json
    from warmupd.cli.session import work
    from warmupd.daemon.shown import show_mailbox
    from warmupd.store.accounts import find_mailbox

    async def task(session: "Session") -> None:
        mailbox_id = await find_mailbox(session.db, address)
        shown = await show_mailbox(session.db, session.config, mailbox_id, at=session.clock.now())
        if as_json:
            print_json(shown)
        else:
            print_facts(_facts(shown, session.config))

    work(config, task, name="mailbox show")


def _facts(shown: "Shown", config: "Config") -> list[tuple[str, str]]:
    from warmupd.cli.explain import placement as in_words

    settings = dataclasses.asdict(shown.settings)
    return [
        *_identity(shown.mailbox),
        *_servers(settings),
        ("Login", login(shown.mailbox)),
        *_provider(settings),
        *_sending(shown, settings, config),
        ("Placement", in_words(shown.placement_7d)),
        *_landings(shown.placement_by_provider),
    ]


def _identity(report: "MailboxReport") -> list[tuple[str, str]]:
    state = f"{report.state}: {report.state_reason}" if report.state_reason else report.state
    until = f", until {_utc(report.state_until)}" if report.state_until else ""
    return [
        ("Mailbox", f"{report.address} (number {report.id})"),
        ("Name", report.display_name),
        ("User", f"{report.user}, plan {report.plan}"),
        ("Pool", f"{report.pool}, shared" if report.shared_pool else "their private pool"),
        ("Labels", ", ".join(report.labels)),
        ("State", state + until),
        ("Health", report.health.lower()),
        ("Enrolled", _utc(report.enrolled_at)),
    ]


def login(report: "MailboxReport") -> str:
    """How it logs in, and how long what it has for that lasts."""
    if report.oauth_provider is None:
        return "by password"
    until = f"its token lasts until {_utc(report.token_until)}" if report.token_until else "no token yet"
    return f"by OAuth of {report.oauth_provider.lower()}, {until}; it is renewed by itself"


def _servers(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    def server(kind: str) -> str:
        host, port, security = (settings[f"{kind}_{part}"] for part in ("host", "port", "security"))
        return f"{host}:{port}, {security}, as {settings[f'{kind}_username']}"

    return [
        ("SMTP", server("smtp")),
        ("IMAP", server("imap")),
        ("Junk", settings["junk_folder"] or "found by itself"),
    ]


def _landings(by_provider: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """Where its messages landed, provider by provider, once it has written to several."""
    from warmupd.cli.explain import placement as in_words
    from warmupd.core.provider_match import provider_of

    if len(by_provider) < 2:
        return []
    return [("", f"at {provider_of(word).name}: {in_words(found)}") for word, found in by_provider.items()]


def _provider(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whose servers they are, and what is known of them: what the mailbox says itself comes first."""
    from warmupd.core.provider_match import provider_of

    provider, own = provider_of(settings["provider"]), settings["provider_limit"]
    limit = provider.daily_limit if own is None else own
    told = "no limit is known" if limit is None else f"takes at most {limit} a day, own mail included"
    facts = [
        f"{provider.name}, {told}" + (" (default)" if limit is not None and own is None else ""),
        f"visited every {provider.poll_minutes} minutes at most" if provider.poll_minutes else "",
        "keeps a copy of what is sent" if provider.keeps_sent else "",
        "takes no passwords, but OAuth" if provider.needs_oauth else "",
    ]
    return [("Provider", "; ".join(fact for fact in facts if fact))]


def _sending(shown: "Shown", settings: Mapping[str, Any], config: "Config") -> list[tuple[str, str]]:
    """What holds for it, its own or by default."""

    def told(text: object, column: str) -> str:
        return f"{text}" if settings[column] not in {None, ""} else f"{text} (default)"

    ramp, hours = shown.ramp, shown.hours
    first = f"{ramp.start} (already warm)" if settings["already_warm"] else told(ramp.start, "ramp_start")
    own_mail = config.quota.own_mail_per_day if settings["own_mail"] is None else settings["own_mail"]
    learnt = settings["learnt_limit"]
    return [
        ("Language", told(settings["language"] or config.content.language, "language")),
        ("Time zone", f"{shown.zone} (of the {shown.mailbox.zone_of})"),
        (
            "Window",
            f"from hour {told(hours.start, 'start_hour')} to hour {told(hours.end, 'end_hour')}, "
            + told("on weekdays only" if hours.weekdays_only else "every day", "weekdays_only"),
        ),
        ("Ramp", f"first day {first}, {told(ramp.step, 'ramp_step')} more each day; {_days(settings['ramp_days'])}"),
        ("Quota", f"target {told(ramp.target, 'target_daily')}, minimum {told(ramp.floor, 'min_daily')} once ramped"),
        ("Engagement", _engagement(settings, config, told)),
        ("Own mail", told(f"{own_mail} a day", "own_mail")),
        ("Learnt", "" if learnt is None else f"the provider turned out to take {learnt} a day"),
    ]


def _engagement(settings: Mapping[str, Any], config: "Config", told: Callable[[object, str], str]) -> str:
    """What it does with the messages that it gets."""
    from warmupd.daemon.owner_settings import default_of

    def holds(column: str, form: str = "{}") -> str:
        own = settings[column]
        return told(form.format(default_of(config, column) if own is None else own), column)

    rescue = default_of(config, "rescue") if settings["rescue"] is None else settings["rescue"]
    return (
        f"answers {holds('reply_rate', '{:.0%}')}, stars {holds('star_rate', '{:.0%}')}, visited"
        f" {holds('visits_per_day')} times a day, "
        + told("rescued from spam" if rescue else "left in spam", "rescue")
        + f"; filed in {holds('warmup_folder')} after {holds('file_after_hours', '{:g}')} h,"
        f" deleted after {holds('retention_days', '{:g}')} days"
    )


def _days(ramp_days: int) -> str:
    from warmupd.cli.output import count

    return f"{count(ramp_days, 'day')} climbed so far" if ramp_days else "at its first day"


def _utc(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
