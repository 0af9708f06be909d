"""`warmupd doctor`: looks at everything that must be right, one line each."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import ConfigError, WarmupdError

if TYPE_CHECKING:
    from warmupd.core.finding import Finding

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

    Configuration, keys, database, schema, clocks, workers, limits, capacity, the domains' DNS records: one line each
    with ok, warn or fail, and what to do. Ends 1 if one fails; 2 if it is the configuration, 3 if the database cannot
    be reached.
    """
    from warmupd.cli.output import print_json

    findings: list[Finding] = []
    code = asyncio.run(_examine(config, mailbox, findings, quiet=as_json))
    if as_json:
        print_json(findings)
    raise typer.Exit(code)


async def _examine(path: ConfigPath, mailbox: str | None, findings: "list[Finding]", *, quiet: bool) -> int:
    """Fills `findings`, each shown as soon as it is there; the exit code."""
    from warmupd.core.finding import Finding, Grade

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not quiet:
            _print(finding)

    try:
        async for finding in _findings(path, mailbox):
            tell(finding)
    except ConfigError as error:
        for problem in Exception.__str__(error).splitlines():
            tell(Finding(grade=Grade.FAIL, check="config", text=problem, remedy=error.remedy))
        return error.exit_code
    except WarmupdError as error:
        tell(Finding(grade=Grade.FAIL, check="database", text=Exception.__str__(error), remedy=error.remedy))
        return error.exit_code
    return int(any(finding.grade is Grade.FAIL for finding in findings))


async def _findings(path: ConfigPath, mailbox: str | None) -> "AsyncIterator[Finding]":
    from warmupd.cli.session import configuration, open_database
    from warmupd.clock import SystemClock
    from warmupd.daemon.config_check import check_config
    from warmupd.daemon.diagnosis import look_at_fleet

    config = configuration(path)
    for finding in check_config(config):
        yield finding
    async with open_database(config, name="doctor") as db:
        async for finding in look_at_fleet(db, config, SystemClock(), mailbox=mailbox):
            yield finding


def _print(finding: "Finding") -> None:
    from warmupd.cli.output import print_wrapped

    print_wrapped(finding.text, first=f"{finding.grade.value:<5} {finding.check:<12} ")
    if finding.remedy:
        print_wrapped(finding.remedy, first=" " * 19)
