"""`warmupd mailbox import`: enrols the mailboxes of a CSV file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli import mailbox_options as options
from warmupd.cli.mailbox_add import AlreadyWarm, Anew, Guess, Labels, Owner
from warmupd.cli.options import AsJson, ConfigPath
from warmupd.core import entries

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.core.sheet import Sheet
    from warmupd.daemon.enrolling import Enroller
    from warmupd.daemon.importing import Import

EXAMPLE = "Example: warmupd mailbox import mailboxes.csv --user owner@example.com --label client-a"

File = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file, its first row the header.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Save without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and tell, and save nothing; no refresh token is used.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell of every row, the good ones too.")]


def import_file(  # noqa: PLR0913, PLR0917  one parameter an option
    file: File,
    user: Owner,
    config: ConfigPath = None,
    label: Labels = None,
    pool: options.Pool = None,
    create_pool: options.CreatePool = False,
    already_warm: AlreadyWarm = False,
    guess: Guess = False,
    check: options.Check = True,
    anew: Anew = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Enrol the mailboxes of a CSV file; ends 1 if a row is rejected.

    Reads what other tools export: columns such as email, from_name, smtp_host, smtp_port, imap_host, password, or
    Email, First Name, Last Name, SMTP Password, IMAP Password; comma, semicolon or tab between them. Known providers
    need an address and a password only. Tries SMTP and IMAP of every row in parallel, tells the result row by row,
    asks at a terminal, and saves the good ones. Rejected rows go to FILE.rejected.csv with their reasons: correct them
    there and import it. Rows that are enrolled already are left as they are; those that were removed within 7 days are
    rejected, since they can be brought back, unless --anew is given.

    Warmup Limit is the daily target, Warmup Increment the ramp's step, Daily Limit the owner's own messages a day. A
    row whose Warmup Enabled is false is enrolled PAUSED. Also read: timezone, labels, pool, provider, junk_folder,
    language, weekdays_only, start_hour, end_hour, ramp_start, minimum, already_warm, provider_limit, oauth and
    refresh_token.
    """
    given = dict(locals())
    from warmupd.cli.session import work

    given["label"] = tuple(entries.label(word) for word in label or ())
    sheet, importing = _read(given)
    raise typer.Exit(work(config, lambda session: _import(session, sheet, importing, given), name="mailbox import"))


def _read(given: Mapping[str, Any]) -> "tuple[Sheet, Import]":
    """The file, before anything else is opened. Raises UsageError."""
    from warmupd.core.sheet import read_sheet
    from warmupd.core.sheet_application import Given
    from warmupd.daemon.importing import Import
    from warmupd.errors import UsageError

    file: Path = given["file"]
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", remedy="name a CSV file") from None
    sheet = read_sheet(content)
    defaults = Given(
        labels=given["label"], pool=given["pool"], already_warm=given["already_warm"], guess=given["guess"]
    )
    return sheet, Import(sheet, defaults)


async def _import(session: "Session", sheet: "Sheet", importing: "Import", given: Mapping[str, Any]) -> int:
    from warmupd.cli.import_result import print_notes, print_rows, print_sums, untried_passwords
    from warmupd.cli.rejected_file import check_folder
    from warmupd.daemon.import_report import notes_on
    from warmupd.daemon.keyring import keyring_of
    from warmupd.daemon.provider_search import ProviderSearch, records_of
    from warmupd.store.users import find_user

    owner = await find_user(session.db, given["user"])
    if not given["dry_run"]:
        check_folder(given["file"])
    notes = notes_on(sheet, importing)
    print_notes(notes)
    async with keyring_of(session.config, session.db, session.clock) as keyring:
        enroller = _enroller(session, owner, keyring, given)
        search = ProviderSearch(records_of(session.config))
        await importing.compare(session.db, owner.id, enroller, search, anew=given["anew"], by_admin=True)
        if not given["check"]:
            print_notes(untried := untried_passwords(importing))
            notes += untried
        saves = False
        try:
            await _check(importing, enroller, dry=given["dry_run"])
            if not given["as_json"]:
                print_rows(importing.rows, verbose=given["verbose"])
                print_sums(importing)
            saves = not given["dry_run"] and _confirmed(len(importing.good), given)
        finally:  # declined, or broken off
            if not saves:
                _keep_tokens(sheet, importing, given)
        if saves:
            await _save(sheet, importing, enroller, given)
    await _tell_end(session, sheet, importing, notes, given, saved=saves)
    return int(bool(importing.counts()["rejected"] or (importing.good and not given["dry_run"])))


async def _check(importing: "Import", enroller: "Enroller", *, dry: bool) -> None:
    from warmupd.cli.import_result import progress

    try:
        with progress("checking") as on_progress:
            await importing.check(enroller, on_progress, dry=dry)
    except BaseException:
        print("the import ended early; nothing was saved", file=sys.stderr)
        raise


def _keep_tokens(sheet: "Sheet", importing: "Import", given: Mapping[str, Any]) -> None:
    """What providers gave in place of tokens in the file is the owner's, though nothing is saved here."""
    from warmupd.cli.rejected_file import write_renewed

    if kept := write_renewed(given["file"], sheet, importing):
        print(
            f"note: a provider has replaced refresh tokens of the file, which are worth nothing any more: {kept} holds"
            " those rows with the new ones",
            file=sys.stderr,
        )


async def _save(sheet: "Sheet", importing: "Import", enroller: "Enroller", given: Mapping[str, Any]) -> None:
    """Whoever interrupts it, or takes the database away, learns what was saved, and finds the rest in a file."""
    from warmupd.cli.import_result import print_sums, progress

    try:
        with progress("saving") as on_progress:
            await importing.save(enroller, on_progress)
    except BaseException:
        importing.abandon()
        print_sums(importing, to=sys.stderr)
        rest = _write_rejected(given["file"], sheet, importing)
        print(f"the import ended early; {f'the rest is in {rest}' if rest else 'nothing is left'}", file=sys.stderr)
        raise


def _write_rejected(file: Path, sheet: "Sheet", importing: "Import") -> Path | None:
    """A disk that is full hides nothing of the result."""
    from warmupd.cli.rejected_file import write_rejected

    try:
        return write_rejected(file, sheet, importing)
    except OSError as error:
        print(f"the rejected rows could not be written to a file: {error.strerror}", file=sys.stderr)
        return None


async def _tell_end(
    session: "Session", sheet: "Sheet", importing: "Import", notes: list[str], given: Mapping[str, Any], *, saved: bool
) -> None:
    """What was saved, what cannot carry it, and where the rejected rows are: the file first, it is all that lasts."""
    from warmupd.cli.import_result import print_capacity, print_result, print_sums
    from warmupd.daemon.prospect import capacity_now_and_ramped
    from warmupd.errors import DatabaseUnavailable

    rejected = _write_rejected(given["file"], sheet, importing) if saved else None
    enrolled = bool(importing.counts()["enrolled"])
    capacity: Any = ([], [])
    if enrolled:
        try:
            capacity = await capacity_now_and_ramped(session.db, session.config, at=session.clock.now())
        except DatabaseUnavailable as error:
            capacity = (None, None)
            print(f"whether the mailboxes can carry their quotas is not known: {error}", file=sys.stderr)
    if given["as_json"]:
        print_result(importing, file=given["file"], notes=notes, capacity=capacity, rejected=rejected)
        return
    if not saved:
        print("nothing was saved")
    elif enrolled:
        print_sums(importing)
    print_capacity(*capacity)
    if rejected:
        print(f"the rejected rows are in {rejected}, with their passwords: correct them, and import that file")


def _enroller(session: "Session", owner: Any, keyring: Any, given: Mapping[str, Any]) -> "Enroller":
    from warmupd.daemon.enrolling import Enroller
    from warmupd.daemon.login_check import LoginCheck
    from warmupd.daemon.login_lanes import LoginLanes

    login = LoginLanes(session.config, LoginCheck(session.config), session.clock).check if given["check"] else None
    return Enroller(
        session.config,
        session.db,
        session.clock,
        user=owner,
        keyring=keyring,
        login=login,
        actor="cli",
        create_pools=given["create_pool"],
    )


def _confirmed(number: int, given: Mapping[str, Any]) -> bool:
    """Asked at a terminal only: a script has said what it wants."""
    from warmupd.cli.output import count

    if not number or given["yes"] or given["as_json"] or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return typer.confirm(f"Save {count(number, 'mailbox')}?", default=True)
