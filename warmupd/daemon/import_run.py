"""Imports that go on while nobody waits: run by one worker, seen by all, their sheets sealed until they are over."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core import entries
from warmupd.core.sheet import Sheet, read_sheet
from warmupd.core.sheet_application import Given
from warmupd.daemon.enrolling import Enroller
from warmupd.daemon.import_report import notes_on, rejected_csv, rows_of
from warmupd.daemon.importing import Import
from warmupd.daemon.keyring import Keyring, keyring_of
from warmupd.daemon.login_check import LoginCheck
from warmupd.daemon.login_lanes import LoginLanes
from warmupd.daemon.provider_search import ProviderSearch, records_of
from warmupd.errors import Conflict, DatabaseUnavailable, NotFound, UsageError, WarmupdError
from warmupd.mail.vault import Vault
from warmupd.store import imports
from warmupd.store.database import Database
from warmupd.store.imports import ImportState, Result, Run
from warmupd.store.users import User, user_by_id

MOST_ROWS = 20_000  # of one sheet
AT_ONCE = 2  # imports of a worker that try logins; others wait
BEAT = 2.0  # real seconds between signs of life, which tell how far it is

_log = structlog.get_logger()


@dataclass(kw_only=True, slots=True)
class _Progress:
    state: ImportState
    done: int = 0
    of: int = 0

    def note(self, done: int, of: int) -> None:
        self.done, self.of = done, of


class Imports:
    """The imports that this worker runs."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def begin(
        self, config: Config, content: bytes, *, user_id: UUID, begun_by: UUID, name: str, options: Mapping[str, Any]
    ) -> UUID:
        """Take a file in, and begin to compare it with what is enrolled; the import's id.

        Raises UsageError for a file that is no sheet of mailboxes, Conflict while another import of this user runs.
        """
        sheet, importing = await asyncio.to_thread(parsed, content, options)
        run = Run(id=uuid4(), run=uuid4(), user_id=user_id, options=options, sheet=b"")
        sealed = await asyncio.to_thread(_sealed, config, run.id, "sheet", content)
        run = Run(id=run.id, run=run.run, user_id=user_id, options=options, sheet=sealed)
        if not await imports.add_import(self._db, run, begun_by=begun_by, name=name):
            raise Conflict("an import is under way", remedy="wait until it has ended")
        self._start(run, _Progress(state=ImportState.READING), self._read(config, run, sheet, importing))
        return run.id

    async def go(self, config: Config, import_id: UUID, *, begun_by: UUID, actor: str) -> None:
        """Try the logins of the good rows, and enrol who is let in. Raises NotFound, Conflict."""
        run = await imports.start_import(self._db, import_id, uuid4(), begun_by=begun_by)
        if run is None:
            if await imports.import_progress(self._db, import_id, begun_by=begun_by) is None:
                raise NotFound("there is no such import, or not any more", remedy="choose the file again")
            raise Conflict("the import is under way, or has ended")
        progress = _Progress(state=ImportState.CHECKING)
        self._start(run, progress, self._in_turn(self._import(config, run, progress, actor)))

    async def idle(self) -> None:
        """Wait until nothing runs here."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what runs here: what is not saved yet can be imported again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._turns:
            await work

    def _start(self, run: Run, progress: _Progress, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._run(run, progress, work), name=f"import {run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, run: Run, progress: _Progress, work: Coroutine[Any, Any, None]) -> None:
        """The work, with a sign of life now and then; whatever ends it is written down."""
        working = asyncio.ensure_future(work)
        beating = asyncio.create_task(self._beat(run, progress, working))
        try:
            await working
        except asyncio.CancelledError:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self._fail(
                run, "the worker that ran it was stopped", "start it again: rows that are enrolled stay so"
            )
            raise
        except WarmupdError as error:
            await self._fail(run, Exception.__str__(error), error.remedy)
        except Exception as error:  # noqa: BLE001  nobody waits for this task: what is odd must not end in silence
            _log.error("import.failed", error=type(error).__name__, exc_info=error)
            await self._fail(run, "something went wrong here; the log tells more", "start it again")
        finally:
            beating.cancel()

    async def _fail(self, run: Run, error: str, remedy: str) -> None:
        with suppress(DatabaseUnavailable):  # then its runner counts as lost
            await imports.note_result(self._db, run, ImportState.FAILED, error=error, remedy=remedy)

    async def _beat(self, run: Run, progress: _Progress, working: "asyncio.Future[None]") -> None:
        while True:
            with suppress(DatabaseUnavailable):
                ours = await imports.note_progress(self._db, run, progress.state, done=progress.done, of=progress.of)
                if not ours:
                    working.cancel()  # another worker runs it now, or its owner is gone
                    return
            await self._clock.pause(BEAT)

    async def _read(self, config: Config, run: Run, sheet: Sheet, importing: Import) -> None:
        user = await user_by_id(self._db, run.user_id)
        async with keyring_of(config, self._db, self._clock) as keyring:
            enroller = enroller_of(config, self._db, self._clock, user=user, keyring=keyring, actor="", check=False)
            await _compared(config, self._db, importing, user, enroller, run.options)
        await self._note(config, run, ImportState.READY, sheet, importing)

    async def _import(self, config: Config, run: Run, progress: _Progress, actor: str) -> None:
        content = await asyncio.to_thread(_opened, config, run.id, "sheet", run.sheet)
        sheet, importing = await asyncio.to_thread(parsed, content, run.options)
        progress.of = len(importing.good)
        user = await user_by_id(self._db, run.user_id)
        check = bool(run.options.get("check", True))
        async with keyring_of(config, self._db, self._clock) as keyring:
            enroller = enroller_of(config, self._db, self._clock, user=user, keyring=keyring, actor=actor, check=check)
            await _compared(config, self._db, importing, user, enroller, run.options)
            try:
                await importing.check(enroller, progress.note)
                progress.state, progress.done, progress.of = ImportState.SAVING, 0, len(importing.good)
                await importing.save(enroller, progress.note)
            except BaseException:
                importing.abandon()
                with suppress(DatabaseUnavailable):
                    await asyncio.shield(self._note(config, run, ImportState.FAILED, sheet, importing))
                raise
        await self._note(config, run, ImportState.DONE, sheet, importing)

    async def _note(self, config: Config, run: Run, state: ImportState, sheet: Sheet, importing: Import) -> None:
        rejected = await asyncio.to_thread(rejected_csv, sheet, importing)
        sealed = await asyncio.to_thread(_sealed, config, run.id, "rejected", rejected.encode()) if rejected else b""
        result = Result(rows=rows_of(importing), notes=notes_on(sheet, importing), rejected=sealed)
        await imports.note_result(self._db, run, state, result=result)


def parsed(content: bytes, options: Mapping[str, Any]) -> tuple[Sheet, Import]:
    """The file, and every row read. Raises UsageError. It takes long for many rows: not to be called in the loop."""
    sheet = read_sheet(content)
    if len(sheet.rows) > MOST_ROWS:
        raise UsageError(f"the file has more than {MOST_ROWS:,} rows", remedy="import it in parts")
    pool = options.get("pool")
    if pool is not None and not pool.isprintable():
        raise UsageError("that is no pool's name")
    given = Given(
        labels=tuple(entries.label(word) for word in options.get("label") or ()),
        pool=pool,
        already_warm=bool(options.get("already_warm")),
        guess=bool(options.get("guess")),
    )
    return sheet, Import(sheet, given)


def enroller_of(
    config: Config, db: Database, clock: Clock, *, user: User, keyring: Keyring, actor: str, check: bool
) -> Enroller:
    """What enrols many: logins in lanes, or none without `check`."""
    login = LoginLanes(config, LoginCheck(config), clock).check if check else None
    return Enroller(config, db, clock, user=user, keyring=keyring, login=login, actor=actor)


async def import_now(
    config: Config, db: Database, clock: Clock, content: bytes, *, user: User, options: Mapping[str, Any], actor: str
) -> tuple[Import, list[str]]:
    """An import that somebody waits for; it, and notes on the file. With the option `dry_run` nothing is saved."""
    sheet, importing = await asyncio.to_thread(parsed, content, options)
    dry, check = bool(options.get("dry_run")), bool(options.get("check", True))
    async with keyring_of(config, db, clock) as keyring:
        enroller = enroller_of(config, db, clock, user=user, keyring=keyring, actor=actor, check=check)
        await _compared(config, db, importing, user, enroller, options)
        await importing.check(enroller, _silent, dry=dry)
        notes = notes_on(sheet, importing)
        if not dry:
            await importing.save(enroller, _silent)
    return importing, notes


def open_rejected(config: Config, import_id: UUID, sealed: bytes) -> bytes:
    """The file of the rejected rows. Raises SecretsError."""
    return _opened(config, import_id, "rejected", sealed)


async def _compared(
    config: Config, db: Database, importing: Import, user: User, enroller: Enroller, options: Mapping[str, Any]
) -> None:
    search = ProviderSearch(records_of(config))
    await importing.compare(
        db, user.id, enroller, search, anew=bool(options.get("anew")), by_admin=bool(options.get("by_admin"))
    )


def _vault(config: Config) -> Vault:
    return Vault([key.get_secret_value() for key in config.secrets.keys])


def _sealed(config: Config, import_id: UUID, what: str, content: bytes) -> bytes:
    return _vault(config).seal(content.decode("latin-1"), mailbox_id=0, purpose=f"import {import_id} {what}")


def _opened(config: Config, import_id: UUID, what: str, sealed: bytes) -> bytes:
    return _vault(config).unseal(sealed, mailbox_id=0, purpose=f"import {import_id} {what}").encode("latin-1")


def _silent(_done: int, _of: int) -> None:
    return None
