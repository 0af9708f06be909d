"""`warmupd doctor`: looks at everything that must be right, one line each."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import WarmupdError

if TYPE_CHECKING:
    from warmupd.config import Config
    from warmupd.daemon.diagnosis import Finding

EXAMPLE = "Example: warmupd doctor --mailbox anna@example.com"

Mailbox = Annotated[
    str | None,
    typer.Option(
        "--mailbox",
        metavar="ADDRESS",
        help="Whose login to try. (default: the one with the last error, or the longest unvisited)",
        show_default=False,
    ),
]


def doctor(config: ConfigPath = None, mailbox: Mailbox = None, as_json: AsJson = False) -> None:
    """Check everything that must be right, a mail login too.

    Configuration, keys, database, schema, clocks, workers, limits, capacity: one line each with ok, warn or fail, and
    what to do. Ends 1 if one fails.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import configuration
    from warmupd.daemon.diagnosis import Grade

    findings = asyncio.run(_examine(configuration(config), mailbox, quiet=as_json))
    if as_json:
        print_json(findings)
    raise typer.Exit(int(any(finding.grade is Grade.FAIL for finding in findings)))


async def _examine(config: "Config", mailbox: str | None, *, quiet: bool) -> "list[Finding]":
    """Each finding is shown as soon as it is there."""
    findings = []
    async for finding in _findings(config, mailbox):
        findings.append(finding)
        if not quiet:
            _print(finding)
    return findings


async def _findings(config: "Config", mailbox: str | None) -> "AsyncIterator[Finding]":
    from warmupd.cli.session import open_database
    from warmupd.clock import SystemClock
    from warmupd.daemon.diagnosis import Finding, Grade, look_at_config, look_at_fleet

    for finding in look_at_config(config):
        yield finding
    try:
        async with open_database(config, name="doctor") as db:
            async for finding in look_at_fleet(db, config, SystemClock(), mailbox=mailbox):
                yield finding
    except WarmupdError as error:
        text = Exception.__str__(error)
        yield Finding(grade=Grade.FAIL, check="database", text=text, remedy=error.remedy)


def _print(finding: "Finding") -> None:
    from warmupd.cli.output import print_wrapped

    print_wrapped(finding.text, first=f"{finding.grade.value:<5} {finding.check:<12} ")
    if finding.remedy:
        print_wrapped(finding.remedy, first=" " * 19)
