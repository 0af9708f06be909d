"""Behind a pooler nothing is heard: workers look instead, and say so once; `listen_url` leads past it."""

from typing import Any

from warmupd.cli.run import _listener
from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.core.finding import Grade
from warmupd.daemon.diagnosis import look_at_fleet
from warmupd.store.database import Database

CLOCK = SystemClock()


async def grade(db: Database, config: Config) -> Grade:
    findings = [finding async for finding in look_at_fleet(db, config, CLOCK, mailbox=None)]
    return next(finding.grade for finding in findings if finding.check == "listen")


async def test_pooled_url_is_named_once_and_by_the_doctor(database_url: str, log: list[dict[str, Any]]) -> None:
    url = f"{database_url}&pgbouncer=true"
    config = Config.isolated({"database.url": url})
    async with await Database.open(url, pool_size=1, application_name="tests") as db:
        assert _listener(config, db, CLOCK) is None
        assert await grade(db, config) is Grade.WARN
    assert [(e["event"], e["why"]) for e in log] == [("database.not_listening", "database.url leads through a pooler")]


async def test_listen_url_leads_past_the_pooler(database_url: str, log: list[dict[str, Any]]) -> None:
    url = f"{database_url}&pgbouncer=true"
    config = Config.isolated({"database.url": url, "database.listen_url": database_url})
    async with await Database.open(url, pool_size=1, application_name="tests") as db:
        assert _listener(config, db, CLOCK) is not None
        assert await grade(db, config) is Grade.OK
    assert log == []


async def test_listen_url_that_leads_elsewhere_is_found_by_the_doctor(db: Database, postgres: str) -> None:
    config = Config.isolated({"database.listen_url": postgres})  # another database: nothing is ever heard there
    assert await grade(db, config) is Grade.WARN
