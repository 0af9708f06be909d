"""Options that several commands share, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PATH",
        help="Configuration file. (default: ./config.toml, then /etc/warmupd/config.toml)",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]

Addresses = Annotated[
    list[str] | None, typer.Argument(metavar="ADDRESS", help="Mailboxes, by address.", show_default=False)
]
OfUser = Annotated[str | None, typer.Option("--user", metavar="EMAIL", help="All mailboxes of this user.")]
OfLabel = Annotated[str | None, typer.Option("--label", metavar="WORD", help="All mailboxes with this label.")]
OfDomain = Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="All mailboxes of this domain.")]
