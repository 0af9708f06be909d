"""The program `warmupd`: its commands, and how errors leave it."""

import sys
from typing import Annotated

import typer

from warmupd import __version__
from warmupd.cli import (
    backup,
    bench,
    doctor,
    explain,
    fleet,
    import_legacy,
    init,
    key,
    lab,
    mailbox,
    migrate,
    notify,
    plan,
    probe,
    reload,
    run,
    simulation,
    status,
    supervise,
    user,
)
from warmupd.errors import WarmupdError

app = typer.Typer(
    name="warmupd",
    help="Warm up e-mail mailboxes: enrolled mailboxes write to each other, at a slowly rising daily rate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: the same in a terminal, a pipe and a mail
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=init.EXAMPLE)(init.init)
app.command(epilog=migrate.EXAMPLE)(migrate.migrate)
app.command(epilog=run.EXAMPLE)(run.run)
app.command(epilog=reload.EXAMPLE, hidden=True)(reload.reload)  # what warmupd@.service calls
app.command(epilog=supervise.EXAMPLE)(supervise.supervise)
app.command(epilog=status.EXAMPLE)(status.status)
app.command(epilog=explain.EXAMPLE)(explain.explain)
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)
app.command(epilog=probe.EXAMPLE)(probe.probe)
app.command(epilog=backup.BACKUP_EXAMPLE)(backup.backup)
app.command(epilog=backup.RESTORE_EXAMPLE)(backup.restore)
app.command(epilog=lab.EXAMPLE)(lab.demo)
app.command(epilog=simulation.EXAMPLE)(simulation.simulate)
app.command(epilog=bench.EXAMPLE)(bench.bench)
app.command("import-legacy", epilog=import_legacy.EXAMPLE)(import_legacy.import_legacy)
app.add_typer(mailbox.app, name="mailbox")
app.add_typer(user.app, name="user")
app.add_typer(plan.app, name="plan")
app.add_typer(fleet.app, name="fleet")
app.add_typer(key.app, name="key")
app.add_typer(notify.app, name="notify")


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"warmupd {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Say which version this is.")
    ] = False,
) -> None:
    """Take what is said before any command; what the program is for is said above, for --help."""


def main() -> None:
    """Run the command line. Expected errors leave as a line and its remedy on stderr, with their exit code."""
    try:
        app()
    except WarmupdError as error:
        tell(error)
        sys.exit(error.exit_code)


def tell(error: WarmupdError) -> None:
    """The error on stderr, and on a second line what to do."""
    from warmupd.cli.output import print_wrapped

    first, *more = Exception.__str__(error).splitlines() or [""]
    print_wrapped(first, first="error: ", to=sys.stderr)
    for line in (*more, *filter(None, [error.remedy])):
        print_wrapped(line, first="       ", to=sys.stderr)


if __name__ == "__main__":
    main()
