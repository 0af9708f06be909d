"""`warmupd plan`: what users may take."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.store.plans import Plan

app = typer.Typer(help="What users may take: priority, mailboxes, caps.", no_args_is_help=True, rich_markup_mode=None)

NONE = "none"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The plan; a new one is created.", show_default=False)]
Priority = Annotated[
    int | None, typer.Option("--priority", metavar="N", help="Higher is served first.", show_default=False)
]
MailboxLimit = Annotated[
    str | None, typer.Option("--mailbox-limit", metavar="N", help="Of a user; or none.", show_default=False)
]
PerHour = Annotated[
    str | None, typer.Option("--per-hour", metavar="N", help="Sends of a user; or none.", show_default=False)
]
PerMinute = Annotated[
    str | None, typer.Option("--per-minute", metavar="N", help="Sends of a user; or none.", show_default=False)
]
SendsPerDay = Annotated[
    str | None,
    typer.Option("--sends-per-day", metavar="N", help="Most sends of a mailbox; or none.", show_default=False),
]


@app.command("list", epilog="Example: warmupd plan list --json")
def list_all(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """All plans, the highest priority first."""
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.store.plans import list_plans

    async def task(session: "Session") -> None:
        plans = await list_plans(session.db)
        if as_json:
            print_json(plans)
            return
        limits = session.config.limits
        _print(plans, {"per_hour": limits.user_per_hour, "per_minute": limits.user_per_minute})

    work(config, task, name="plan list")


@app.command("set", epilog="Example: warmupd plan set large --mailbox-limit 1000 --per-hour 600 --sends-per-day none")
def change(  # noqa: PLR0917  one parameter an option
    name: Name,
    config: ConfigPath = None,
    priority: Priority = None,
    mailbox_limit: MailboxLimit = None,
    per_hour: PerHour = None,
    per_minute: PerMinute = None,
    sends_per_day: SendsPerDay = None,
    as_json: AsJson = False,
) -> None:
    """Make or change a plan. What is not named stays as it is; "none" takes a limit away.

    Caps and the mailbox limit hold at once, the most sends a day from each mailbox's next day on. A limit below what is
    enrolled removes nothing: no other mailbox is taken until there is room.
    """
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.store.plans import set_plan

    limits = {
        "mailbox_limit": mailbox_limit,
        "per_hour": per_hour,
        "per_minute": per_minute,
        "sends_per_day": sends_per_day,
    }
    changes = {what: _number(what, text) for what, text in limits.items() if text is not None}
    if priority is not None:
        changes["priority"] = priority

    async def task(session: "Session") -> None:
        plan, new = await set_plan(session.db, name, changes, actor="cli", at=session.clock.now())
        if as_json:
            print_json(plan)
            return
        print(f"{'added' if new else 'set'} {plan.name}: {_told(plan)}")
        await _warn(session, plan)

    work(config, task, name="plan set")


def _number(what: str, text: str) -> int | None:
    if text.lower() == NONE:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        option = f"--{what.replace('_', '-')}"
        raise UsageError(f"{text!r} is not a number", remedy=f"give {option} a whole number, or none")
    return int(text)


def _told(plan: "Plan") -> str:
    named = (
        ("mailboxes", plan.mailbox_limit),
        ("sends an hour", plan.per_hour),
        ("a minute", plan.per_minute),
        ("a day and mailbox", plan.sends_per_day),
    )
    limits = ", ".join(f"{value:,} {what}" for what, value in named if value is not None)
    return f"priority {plan.priority}, {limits or 'no limits of its own'}"


def _print(plans: "list[Plan]", configured: Mapping[str, int]) -> None:
    from warmupd.cli.output import print_table

    def cell(plan: "Plan", what: str) -> str:
        value = getattr(plan, what)
        if value is not None:
            return f"{value:,}"
        return f"{configured[what]:,} (configured)" if what in configured else "no limit"

    columns = ["plan", "priority", "mailboxes of a user", "per hour", "per minute", "a day", "users", "mailboxes"]
    print_table(
        columns,
        [
            [
                plan.name,
                plan.priority,
                *(cell(plan, what) for what in ("mailbox_limit", "per_hour", "per_minute", "sends_per_day")),
                plan.users,
                plan.mailboxes,
            ]
            for plan in plans
        ],
        right=columns[1:],
    )


async def _warn(session: "Session", plan: "Plan") -> None:
    from warmupd.cli.output import count, print_wrapped
    from warmupd.store.plans import over_limit

    beyond = [one for one in await over_limit(session.db) if one.plan == plan.name]
    for one in beyond[:5]:
        print_wrapped(f"{one.email} has {count(one.mailboxes, 'mailbox')}: they stay, and no other can be enrolled.")
    if len(beyond) > 5:
        print_wrapped(f"So have {count(len(beyond) - 5, 'user')} more.")
