"""`warmupd explain`: why a mailbox is or is not sending."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.explain import Explained

EXAMPLE = "Example: warmupd explain anna@example.com"

Address = Annotated[str, typer.Argument(metavar="MAILBOX", help="Its address.", show_default=False)]


def explain(mailbox: Address, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Say why a mailbox is or is not sending.

    Its state, today's quota and how it came about, what was sent, the next send, the last error and its remedy, and
    the caps that hold it back.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.daemon.explain import explain_mailbox
    from warmupd.store.accounts import find_mailbox

    async def task(session: "Session") -> "Explained":
        mailbox_id = await find_mailbox(session.db, mailbox)
        return await explain_mailbox(session.db, session.config, mailbox_id, at=session.clock.now())

    explained = work(config, task, name="explain")
    if as_json:
        print_json(explained)
    else:
        _print(explained)


def _print(explained: "Explained") -> None:
    from warmupd.cli.output import print_facts, print_wrapped

    row, verdict = explained.mailbox, explained.verdict
    print_wrapped(f"{row.address}: {verdict.text}.")
    if verdict.remedy:
        print_wrapped(f"What to do: {verdict.remedy}.")
    print()
    print_facts(_facts(explained))


def _facts(explained: "Explained") -> Iterator[tuple[str, str]]:
    from warmupd.cli.mailbox_show import login
    from warmupd.core.provider_match import provider_of

    row = explained.mailbox
    state = f"{row.state}: {row.state_reason}" if row.state_reason else row.state
    yield "State", state + (f", until {_clock(explained, row.state_until)}" if row.state_until else "")
    yield "Provider", provider_of(row.provider).name
    yield "Login", login(row)
    yield "Window", _window(explained)
    yield "Quota", _quota(explained)
    yield "Short", explained.shortfall
    yield "Health", _health(explained)
    yield "Today", _today(explained)
    yield "Answers", _waiting(explained)
    yield "Next send", _next(explained)
    if (rest := row.rest(explained.at)) is not None:
        yield "Resting", f"until {_clock(explained, rest.until)} ({rest.reason.replace('_', ' ')}): {rest.message}"
    if (host := explained.host_rest) is not None:
        word = "left" if host.until > explained.at else "was left"
        yield "Mail server", f"{word} alone until {_clock(explained, host.until)}: {host.message}"
    yield "Recipients", _recipients(explained)
    yield "Caps", _caps(explained)
    yield "Fleet", "sending is stopped" if explained.fleet_stopped else ""
    yield "Worker", _worker(explained)
    yield "Visits", _visits(explained)
    yield "Proof", _proof(explained)
    yield "Placement", placement(explained.placement_7d)
    yield "Last error", _last_error(explained)
    if explained.over_limit:
        yield "Plan", explained.over_limit.told


def _window(explained: "Explained") -> str:
    row, hours = explained.mailbox, explained.hours
    days = " on weekdays" if hours.weekdays_only else ""
    state = "open" if explained.window_open else "closed"
    local = f"{explained.at.astimezone(_zone(explained)):%H:%M}"
    zone = f"{explained.zone} (of the {row.zone_of})"
    return f"{hours.start:02}:00 to {hours.end:02}:00{days}, {zone}; {state}, it is {local}"


def _quota(explained: "Explained") -> str:
    budget = explained.budget
    if budget is None:
        ramp = explained.ramp
        return f"not set yet today; the ramp starts at {ramp.start}, adds {ramp.step} a day, and ends at {ramp.target}"
    from warmupd.core.shortfall import FACTOR_WORDS

    factors = [f"{FACTOR_WORDS.get(word, word)} {quota}" for word, quota in budget.factors]
    return f"{budget.quota} (day {budget.ramp_day} of the ramp: {', '.join(factors)})"


def _health(explained: "Explained") -> str:
    found, band = explained.health, explained.mailbox.health.lower()
    if not found.seen:
        return f"{band}; no message of the last days was found yet"
    places = f"{found.inbox} in the inbox, {found.spam} in spam, {found.other} elsewhere"
    if explained.score is None:
        return f"{band}; {places}: too few to judge"
    return f"{band}; {explained.score:.0%} in the inbox ({places})"


def _today(explained: "Explained") -> str:
    from warmupd.cli.output import ago

    if explained.today is None:
        return ""
    flying = sum(job.status == "PROCESSING" for job in explained.jobs)
    lost = [job.picked_at for job in explained.jobs if job.status == "UNKNOWN" and job.picked_at]
    told = [
        f"{explained.today.sent} sent",
        f"{flying} in flight",
        f"{explained.today.failed} failed ({explained.today.bounced} refused for good)",
    ]
    if lost:
        oldest = ago((explained.at - min(lost)).total_seconds())
        told.append(f"{len(lost)} unknown (looked for, the oldest for {oldest})")
    return f"{', '.join(told)}, {explained.left} left; {explained.attempts_left} attempts left"


def _waiting(explained: "Explained") -> str:
    waiting = [job for job in explained.jobs if job.status == "PENDING"]
    times = [_clock(explained, job.scheduled_for) + (" (retry)" if job.retry_count else "") for job in waiting[:5]]
    more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
    return f"{len(waiting)} planned: {', '.join(times)}{more}" if waiting else "none planned"


def _next(explained: "Explained") -> str:
    verdict = explained.verdict
    if verdict.next_send_at is None:
        return "none until that changes"
    about = told = _clock(explained, verdict.next_send_at)
    first, last = verdict.not_before, verdict.not_after
    if first is not None and explained.at < first and _clock(explained, first) != about:
        told += f", not before {_clock(explained, first)}"
    if last is None:
        return f"about {told}, or later: that depends on others"
    if _clock(explained, last) != about:
        told += f", by {_clock(explained, last)} at the latest"
    return f"about {told}"


def _recipients(explained: "Explained") -> str:
    from warmupd.cli.output import count

    recipients, row = explained.recipients, explained.mailbox
    if recipients is None:
        return ""
    pool = f"the pool {row.pool}" if row.shared_pool else f"the private pool of {row.user}"
    told = f"{count(recipients.available, 'other mailbox')} in {pool}, {recipients.proven} proven"
    if recipients.exhausted:
        told += f"; {recipients.exhausted} left out, not proven after three messages"
    if recipients.queued:
        told += f"; {recipients.queued} to be begun with once others are proven"
    if recipients.spared:
        told += f"; {recipients.spared} spared for a while, full or written to too often"
    if resting := recipients.others - recipients.receiving:
        told += f"; {resting} not active"
    return told


def _caps(explained: "Explained") -> str:
    used = {cap.cap: f"{cap.used:,} of {cap.limit:,}" for cap in explained.caps}
    whose = (("user", explained.mailbox.user), ("global", "all users"))
    return "; ".join(
        f"{used[f'{who}_hour']} an hour and {used[f'{who}_minute']} a minute, {name}" for who, name in whose
    )


def _worker(explained: "Explained") -> str:
    holder = explained.holder
    if holder is None:
        return f"none holds slot {explained.mailbox.slot}"
    at = f", http://{holder.http_address}" if holder.http_address else ""
    return f"{holder.name} holds slot {explained.mailbox.slot}{at}"


def _visits(explained: "Explained") -> str:
    row = explained.mailbox
    last = f"last {_clock(explained, row.last_visit_at)}" if row.last_visit_at else "none yet"
    following = f", next {_clock(explained, row.next_visit_at)}" if row.next_visit_at else ""
    failed = f"; {row.visit_failures} failed in a row" if row.visit_failures else ""
    return last + following + failed


def _proof(explained: "Explained") -> str:
    row = explained.mailbox
    if row.proven_at is not None and row.own_only and row.shared_pool:  # in a private pool nobody else writes to it
        told = f"a message of its user's own was found in it {_clock(explained, row.proven_at)}"
        return f"{told}; until one of another's is, {row.unproven_sends} of at most 3 of theirs were sent to it"
    if row.proven_at is not None:
        return f"its owner reads it: a message was found in it {_clock(explained, row.proven_at)}"
    told = f"not proven yet; {row.unproven_sends} of at most 3 messages were sent to it"
    if row.unproven_sends or explained.unproven_room:
        return told
    return told + "; it waits until others of its user's that were begun with today are proven, or a day is over"


def placement(found: Mapping[str, int]) -> str:
    """Where a mailbox's messages were found lately, in words."""
    samples = sum(found.values())
    if not samples:
        return "none of its messages was found in the last 7 days"
    told = [f"{found[place]:,} {place.lower()}" for place in ("INBOX", "SPAM", "OTHER")]
    if found["MISSING"]:
        told.append(f"{found['MISSING']:,} missing")
    return f"{', '.join(told)}, of {samples:,} in 7 days"


def _last_error(explained: "Explained") -> str:
    from warmupd.cli.output import ago

    row = explained.mailbox
    if not row.last_error or row.last_error_at is None:
        return "none"
    age = ago((explained.at - row.last_error_at).total_seconds())
    return f"{age} ago: {row.last_error}" + (f". Remedy: {row.last_remedy}" if row.last_remedy else "")


def _clock(explained: "Explained", moment: dt.datetime) -> str:
    """The moment on the mailbox's clock, with the date when it is another day."""
    local, today = moment.astimezone(_zone(explained)), explained.at.astimezone(_zone(explained))
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"


def _zone(explained: "Explained") -> dt.tzinfo:
    from warmupd.core.window import zone_info

    return zone_info(explained.zone)
