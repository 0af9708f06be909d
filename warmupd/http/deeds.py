"""What a request does to several mailboxes, told row by row: some may succeed where others do not."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from warmupd.core import entries
from warmupd.daemon import acting, changing
from warmupd.daemon.acting import Deed
from warmupd.daemon.checking import Checked, check_logins
from warmupd.errors import UsageError
from warmupd.http.identity import Identity
from warmupd.http.problem import Problem
from warmupd.http.site import Site
from warmupd.http.trials import OF_USER
from warmupd.http.wording import on_page
from warmupd.http.words import STATES
from warmupd.store.mailbox_report import MailboxReport

MOST_CHECKED = 25  # logins at once: each takes some seconds
USUAL = "default"  # what is entered for a setting that is to go back to its usual value
NUMBERS = ("target_daily", "ramp_step", "start_hour", "end_hour")
UNWISE = frozenset({"AUTH_FAILED", "SUSPENDED", "PAUSED"})  # states that a login that is fine does not end by itself

_STATE = re.compile(rf"\b({'|'.join(STATES)})\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A row of the result."""

    mailbox_id: int
    address: str
    tone: str  # good: done; soft: nothing had to be done; bad: it could not
    text: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is to be done, by whom, and what was entered beside it."""

    site: Site
    identity: Identity
    entered: Mapping[str, str]
    turn: Callable[[], AbstractAsyncContextManager[None]]  # to try logins; raises Problem 429


async def do(action: str, task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    """One of ACTIONS, to mailboxes that are the asker's. Raises UsageError when what was entered cannot be."""
    return await ACTIONS[action](task, chosen)


async def _pause(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    why = acting.reason_of(chosen, task.entered.get("reason", ""), by=task.identity.user_id)
    site = task.site
    return _rows(
        await acting.pause(site.db, chosen, actor=task.identity.email, reason=why, at=site.clock.now()),
    )


async def _resume(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    site = task.site
    return _rows(await acting.resume(site.db, chosen, actor=task.identity.email, at=site.clock.now()))


async def _remove(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    site, clean = task.site, task.entered.get("clean") == "yes"
    why = acting.reason_of(chosen, "", by=task.identity.user_id)
    at = site.clock.now()
    return _rows(
        await acting.remove(site.db, chosen, actor=task.identity.email, reason=why, clean=clean, at=at),
    )


async def _check(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    if len(chosen) > MOST_CHECKED:
        raise UsageError(
            f"{len(chosen):,} logins are too many to be tried while you wait",
            remedy=f"choose {MOST_CHECKED} or fewer; workers try all of them several times a day anyway",
        )
    few = asyncio.Semaphore(OF_USER)
    told = await asyncio.gather(*(_check_one(task, mailbox, few) for mailbox in chosen))
    return [row for row in told if row is not None]


async def _check_one(task: Task, mailbox: MailboxReport, few: asyncio.Semaphore) -> Told | None:
    """None: it was removed in this moment. Each takes its turn: whose limit is reached waits with the rest."""
    site = task.site
    async with few:
        try:
            async with task.turn():
                checked = await check_logins(site.db, site.config, site.clock, [mailbox])
        except Problem as busy:
            text = f"not tried: {busy.detail}"
            return Told(mailbox_id=mailbox.id, address=mailbox.address, tone="bad", text=text, remedy="Try it later.")
    return _checked(checked[0]) if checked else None


async def _label(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    word = entries.label(task.entered.get("word", "").strip())
    return await _change(task, chosen, changing.Change(add_labels=[word]))


async def _unlabel(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    word = entries.label(task.entered.get("word", "").strip())
    return await _change(task, chosen, changing.Change(remove_labels=[word]))


async def _set(task: Task, chosen: Sequence[MailboxReport]) -> list[Told]:
    columns = {name: _value(name, text) for name in (*NUMBERS, "timezone") if (text := task.entered.get(name, ""))}
    if not columns:
        raise UsageError("no setting was entered", remedy="fill in at least one of the fields")
    complete = await changing.completed(
        task.site.db, task.site.config, chosen, entries.columns(columns), by_admin=task.identity.is_admin
    )
    return await _change(task, chosen, changing.Change(columns=complete))


async def _change(task: Task, chosen: Sequence[MailboxReport], change: changing.Change) -> list[Told]:
    site = task.site
    await changing.write(site.db, site.config, site.clock, chosen, change, actor=task.identity.email)
    words = ", ".join(changing.told(change, pool=None))
    return [Told(mailbox_id=one.id, address=one.address, tone="good", text=words) for one in chosen]


def _value(name: str, text: str) -> Any:
    text = text.strip()
    if text.lower() == USUAL:
        return entries.DEFAULTS[name]
    if name not in NUMBERS:
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise UsageError(f"{text!r} is not a number", remedy="give a whole number, or leave the field empty")
    return int(text)


def _rows(deeds: Sequence[Deed]) -> list[Told]:
    return [row_of(deed) for deed in deeds]


def row_of(deed: Deed) -> Told:
    """A deed as a row of the result."""
    tone = "bad" if deed.failed else "good" if deed.done else "soft"
    text = _STATE.sub(lambda found: STATES[found[0]][0], deed.text).replace("->", "→")
    return Told(mailbox_id=deed.mailbox_id, address=deed.address, tone=tone, text=text)


def _checked(one: Checked) -> Told:
    box = one.mailbox
    if one.ok:
        remedy = f"It is {STATES[box.state][0].lower()} still: Resume ends that." if box.state in UNWISE else ""
        text = "SMTP and IMAP let us in"
        return Told(mailbox_id=box.id, address=box.address, tone="good", text=text, remedy=remedy)
    text = "; ".join(f"{bad.protocol} ({bad.host}:{bad.port}): {bad.message}" for bad in one.refusals)
    remedies = dict.fromkeys(on_page(bad.remedy) for bad in one.refusals if bad.remedy)
    return Told(mailbox_id=box.id, address=box.address, tone="bad", text=text, remedy=" ".join(remedies))


Action = Callable[[Task, Sequence[MailboxReport]], Coroutine[Any, Any, list[Told]]]
ACTIONS: Mapping[str, Action] = {
    "pause": _pause,
    "resume": _resume,
    "check": _check,
    "label": _label,
    "unlabel": _unlabel,
    "set": _set,
    "remove": _remove,
}
