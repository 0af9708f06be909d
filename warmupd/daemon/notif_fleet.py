"""Looking after the fleet's health on behalf of its operators: one worker at a time looks, and tells what is new."""

import datetime as dt

from warmupd.config import Config
from warmupd.core.condition import Condition
from warmupd.core.notice_fleet import CALM, Issue, Memory, Trouble, look, troubles_of
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
    memory = {name: Memory.read(known) for name, known in plain.items()}
    kept, notice = look(memory, await troubles(db, config, at=at), at)
    remembered = {name: known.plain() for name, known in kept.items()}
    await end_look(db, mark, remembered, notice, to=to, at=at)
    return True


async def troubles(db: Database, config: Config, *, at: dt.datetime) -> list[Trouble]:
    """What is wrong with the fleet now. What a single user's caps hold back is between them and their operator."""
    condition, reasons, short = await fleet_condition(db, config, at=at, single_users=False)
    critical = troubles_of(Issue.CRITICAL, reasons) if condition is Condition.CRITICAL else []
    lost = await lost_workers(db, within=CALM, at=at)
    return [
        *critical,
        *troubles_of(Issue.DEGRADED, reasons),
        *(Trouble(issue=Issue.CAPACITY_SHORT, key=f"{one.setting} {one.who}", text=one.text) for one in short),
        *(Trouble(issue=Issue.WORKER_LOST, key=name, text=f"{name} ended without stopping") for name in lost),
    ]
