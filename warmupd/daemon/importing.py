"""Importing: the rows of a sheet looked at, tried in parallel, told one by one, and the good ones saved in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from uuid import UUID

from warmupd.core.application import Application, Secrets
from warmupd.core.sheet import Sheet, SheetRow, fused
from warmupd.core.sheet_application import Given, address_of, read_application
from warmupd.core.sheet_columns import SECRETS, Columns, find_columns, in_columns
from warmupd.daemon.enrolling import Candidate, Enroller, find_servers
from warmupd.daemon.provider_search import ProviderSearch
from warmupd.errors import DatabaseUnavailable, WarmupdError
from warmupd.mail.header_text import mail_address
from warmupd.store.database import Database
from warmupd.store.enrolment import Known, known_addresses, room_in_plan, taken
from warmupd.store.removals import find_removals, undoable

BATCH = 200  # rows that are saved in one transaction

OnProgress = Callable[[int, int], None]  # done, of how many


class RowState(StrEnum):
    """What has become of a row, in the words of `mailbox import --json`."""

    GOOD = "good"  # could be saved
    ENROLLED = "enrolled"
    ALREADY = "already enrolled"  # by the same user, with the same servers: left as it is
    REJECTED = "rejected"


@dataclass(kw_only=True, slots=True)
class Row:
    """A row of the sheet and what is known of it."""

    row: SheetRow
    address: str  # "" when what stands in its column is none
    state: RowState = RowState.GOOD
    reason: str = ""
    remedy: str = ""
    application: Application | None = None
    secrets: Secrets = field(default_factory=Secrets)
    candidate: Candidate | None = None
    trimmed: bool = False  # there were spaces around a password, outside of quotes
    mailbox_id: int | None = None

    @property
    def is_token_new(self) -> bool:
        """Whether its provider has given another refresh token in place of the sheet's, which is worth nothing now."""
        tokens = self.candidate.tokens if self.candidate else None
        return tokens is not None and tokens.refresh != self.secrets.refresh_token

    @property
    def told(self) -> str:
        """The reason, and what to do."""
        return f"{self.reason} ({self.remedy})" if self.remedy else self.reason

    def reject(self, error: WarmupdError) -> None:
        self.state = RowState.REJECTED
        self.reason, self.remedy = in_columns(Exception.__str__(error)), in_columns(error.remedy)


class Import:
    """One import. `read` it, `check` it, `save` it; `rows` tell at any time what has become of them."""

    def __init__(self, sheet: Sheet, given: Given) -> None:
        """Raises UsageError when the sheet lacks a column, or has one twice."""
        self.columns: Columns = find_columns(sheet.header)
        self.rows: list[Row] = []
        self._others: set[str] = set()  # addresses in lower case that somebody else has enrolled
        self._room: int | None = None  # in the plan; None: without a limit
        self._too_many = WarmupdError("")
        for row in map(fused, sheet.rows) if self.columns.defused else sheet.rows:
            one = Row(row=row, address=address_of(row, self.columns, mail_address), trimmed=self._is_trimmed(row))
            try:
                one.application, one.secrets = read_application(row, self.columns, given, mail_address)
                one.address = one.application.address
            except WarmupdError as error:
                one.reject(error)
            self.rows.append(one)
        self._reject_repeated()

    def cells(self, row: Row) -> list[str]:
        """As they stood in the sheet, read; only a refresh token is the one that counts now."""
        texts = [cell.text for cell in row.row.cells]
        if row.is_token_new and row.candidate is not None and row.candidate.tokens is not None:
            texts[self.columns.fields["refresh_token"]] = row.candidate.tokens.refresh
        return texts

    def abandon(self) -> None:
        """Give up what is not saved yet."""
        for row in self.good:
            row.reject(WarmupdError("it was not saved: the import ended before", remedy="import it again"))

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row.state is RowState.GOOD]

    def counts(self) -> Mapping[str, int]:
        """How many rows are in which state, by its word."""
        return {state.value: sum(row.state is state for row in self.rows) for state in RowState}

    async def compare(
        self,
        db: Database,
        user_id: UUID,
        enroller: Enroller,
        search: ProviderSearch,
        *,
        anew: bool = False,
        by_admin: bool = False,
    ) -> None:
        """What can be said without bothering a mail server: servers, pool, who is enrolled already, the plan's room.

        Who could be brought back is rejected, since its ramp would be lost, unless `anew`. Only an admin
        may set more than a provider takes.
        """
        await _for_each(self.good, lambda row: _find(row, enroller, search, by_admin=by_admin), _silent)
        known = await known_addresses(db, [row.address for row in self.good])
        for row in self.good:
            if there := known.get(row.address.lower()):
                if there.user_id == user_id:
                    _compare(row, there)
                else:
                    self._others.add(row.address.lower())
        if not anew:
            removed = {one.address.lower(): one for one in await find_removals(db, user=str(user_id))}
            for row in self.good:
                if removal := removed.get(row.address.lower()):
                    row.reject(undoable(removal))
        self._room, self._too_many = await room_in_plan(db, user_id)

    async def check(self, enroller: Enroller, on_progress: OnProgress, *, dry: bool = False) -> None:
        """Have every good row's hosts, token and logins tried, of as many as there is room for in the plan.

        The room that one leaves another gets. Only who is let in is told that somebody else has enrolled the address.
        `dry`: no refresh token is shown to anybody, since many providers give another one at each use, and nobody would
        keep it.
        """
        waiting, before = self.good, 0
        of = len(waiting)
        room = of if self._room is None else max(0, self._room)
        while waiting and room > 0:
            turn, waiting = waiting[:room], waiting[room:]
            await self._try(turn, enroller, partial(_onward, on_progress, before, of), dry=dry)
            before += len(turn)
            room -= sum(row.state is RowState.GOOD for row in turn)
        for row in waiting:
            row.reject(self._too_many)

    async def _try(self, rows: Sequence[Row], enroller: Enroller, on_progress: OnProgress, *, dry: bool) -> None:
        await _for_each(rows, lambda row: _admit(row, enroller, dry=dry), on_progress)
        for row in rows:
            if row.state is RowState.GOOD and row.address.lower() in self._others:
                row.reject(taken(row.address))

    async def save(self, enroller: Enroller, on_progress: OnProgress) -> None:
        """Enrol the good rows, batch by batch. Cancelled, it ends with the batch that is under way.

        Raises DatabaseUnavailable: what is not known to be enrolled stays GOOD, and may be imported again.
        """
        good = self.good
        for begin in range(0, len(good), BATCH):
            batch = good[begin : begin + BATCH]
            saving = asyncio.create_task(_save(batch, enroller), name="import-batch")
            try:
                await asyncio.shield(saving)
            except asyncio.CancelledError:
                await saving
                raise
            on_progress(begin + len(batch), len(good))

    def _is_trimmed(self, row: SheetRow) -> bool:
        places = [self.columns.fields[name] for name in SECRETS if name in self.columns.fields]
        return any(row.cells[place].trimmed for place in places if place < len(row.cells))

    def _reject_repeated(self) -> None:
        """The first row with an address counts, whether it is good or not."""
        first: dict[str, int] = {}
        for row in self.rows:
            if not row.address:
                continue
            before = first.setdefault(row.address.lower(), row.row.number)
            if before != row.row.number:
                row.reject(WarmupdError(f"its address stands in row {before} already", remedy="keep one of the two"))


async def _find(row: Row, enroller: Enroller, search: ProviderSearch, *, by_admin: bool) -> None:
    if row.application is not None:
        servers = await find_servers(row.application, search)
        candidate = enroller.candidate if by_admin else enroller.owners_candidate
        row.candidate = await candidate(row.application, servers, row.secrets)


async def _admit(row: Row, enroller: Enroller, *, dry: bool) -> None:
    if row.candidate is None:
        return
    if dry and row.secrets.issuer and enroller.tries_logins:
        await enroller.admit_hosts(row.candidate)
        row.reason = "its login was not tried: that might use up its refresh token"
        return
    async with enroller.turns if row.secrets.issuer else nullcontext():
        row.candidate = await enroller.with_tokens(row.candidate)
        await enroller.admit(row.candidate)


async def _save(batch: Sequence[Row], enroller: Enroller) -> None:
    answers = await enroller.save([row.candidate for row in batch if row.candidate])
    for row, answer in zip(batch, answers, strict=True):
        if isinstance(answer, int):
            row.state, row.mailbox_id = RowState.ENROLLED, answer
        else:
            row.reject(answer)


def _compare(row: Row, there: Known) -> None:
    """One's own with the same servers is all right as it is."""
    new = row.candidate.new if row.candidate else None
    if new is None:
        row.reject(taken(row.address))
    elif (_server(new.smtp_host, new.smtp_port), _server(new.imap_host, new.imap_port)) == (
        _server(*there.smtp),
        _server(*there.imap),
    ):
        row.state, row.reason = RowState.ALREADY, "left as it is; `warmupd mailbox set` changes it"
    else:
        error = WarmupdError(
            f"{row.address} is enrolled already, with other servers", remedy="`warmupd mailbox set` changes them"
        )
        row.reject(error)


def _server(host: str, port: int) -> tuple[str, int]:
    return host.lower().rstrip("."), port


async def _for_each(rows: Sequence[Row], do: Callable[[Row], Awaitable[None]], on_progress: OnProgress) -> None:
    """`do` for all rows at once: what they ask of others is bounded there. A row whose turn ends badly is rejected."""
    done = 0

    async def one(row: Row) -> None:
        nonlocal done
        try:
            await do(row)
        except DatabaseUnavailable:
            raise
        except WarmupdError as error:
            row.reject(error)
        done += 1
        on_progress(done, len(rows))

    tasks = [asyncio.create_task(one(row)) for row in rows]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _onward(on_progress: OnProgress, before: int, of: int, done: int, _: int) -> None:
    on_progress(before + done, of)


def _silent(_done: int, _all: int) -> None:
    return None
