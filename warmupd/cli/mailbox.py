"""`warmupd mailbox`: enrolling, changing and looking at mailboxes."""

import typer

from warmupd.cli import (
    mailbox_add,
    mailbox_check,
    mailbox_import,
    mailbox_list,
    mailbox_remove,
    mailbox_set,
    mailbox_show,
    mailbox_state,
)

app = typer.Typer(help="The mailboxes that are warmed up.", no_args_is_help=True, rich_markup_mode=None)
app.command("add", epilog=mailbox_add.EXAMPLE)(mailbox_add.add)
app.command("import", epilog=mailbox_import.EXAMPLE)(mailbox_import.import_file)
app.command("set", epilog=mailbox_set.EXAMPLE)(mailbox_set.change)
app.command("list", epilog=mailbox_list.EXAMPLE)(mailbox_list.list_all)
app.command("show", epilog=mailbox_show.EXAMPLE)(mailbox_show.show)
app.command("check", epilog=mailbox_check.EXAMPLE)(mailbox_check.check)
app.command("pause", epilog=mailbox_state.PAUSE_EXAMPLE)(mailbox_state.pause)
app.command("stop", epilog=mailbox_state.STOP_EXAMPLE)(mailbox_state.stop)
app.command("resume", epilog=mailbox_state.RESUME_EXAMPLE)(mailbox_state.resume)
app.command("remove", epilog=mailbox_remove.EXAMPLE)(mailbox_remove.remove)
