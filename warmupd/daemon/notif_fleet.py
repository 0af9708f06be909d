"""Looking after the fleet's health on behalf of its operators: one worker at a time looks, and tells what is new."""

import datetime as dt
from collections.abc import Mapping, Sequence

from warmupd.config import Config
from warmupd.core.condition import Condition
from warmupd.core.notice_fleet import CALM, Issue, Memory, look
from warmupd.daemon.overview import fleet_condition
from warmupd.store.database import Database
from warmupd.store.fleet_health import begin_look, end_look, lost_workers


def operators_of(config: Config) -> list[tuple[str, str]]:
    """Channel and recipient of everybody who hears of the fleet."""
    section = config.notifications
    mail = [("EMAIL", address) for address in section.operator_emails] if section.smtp_host else []
    return [*mail, *([("WEBHOOK", "")] if section.webhook_url.get_secret_value() else [])]


async def look_after_fleet(db: Database, config: Config, *, every: float, at: dt.datetime) -> bool:
    """Look if nobody has within `every` seconds, and tell; whether this was a look. Without operators nobody looks."""
    to = operators_of(config)
    turn = await begin_look(db, every=every, at=at) if to else None
    if turn is None:
        return False
    mark, plain = turn
    memory = {Issue(word): Memory.read(known) for word, known in plain.items()}
    kept, notice = look(memory, await issues(db, config, at=at), at)
    remembered = {issue.value: known.plain() for issue, known in kept.items()}
    await end_look(db, mark, remembered, notice, to=to, at=at)
    return True


async def issues(db: Database, config: Config, *, at: dt.datetime) -> Mapping[Issue, Sequence[str]]:
    """What is wrong with the fleet now, each with its reasons."""
    condition, reasons, short = await fleet_condition(db, config, at=at)
    found: dict[Issue, Sequence[str]] = {}
    if condition is Condition.CRITICAL:
        found[Issue.CRITICAL] = reasons
    if condition is not Condition.OK:
        found[Issue.DEGRADED] = reasons
    if short:
        found[Issue.CAPACITY_SHORT] = [one.text for one in short]
    if lost := await lost_workers(db, within=CALM, at=at):
        found[Issue.WORKER_LOST] = [f"{name} ended without stopping" for name in lost]
    return found
