"""What a configuration says of itself, before any database is asked: what `doctor` tells first."""

from warmupd.config import Config
from warmupd.config.pending import set_in_vain
from warmupd.core.finding import Finding, Grade
from warmupd.daemon import open_files
from warmupd.daemon.permits import files_short
from warmupd.errors import WarmupdError
from warmupd.mail.connection import check_source
from warmupd.mail.content import Library
from warmupd.mail.vault import Vault


def check_config(config: Config) -> list[Finding]:
    """What can be told without a database."""
    where = str(config.file) if config.file else "no file: defaults and variables alone"
    found = [ok("config", where)]
    try:
        Vault([key.get_secret_value() for key in config.secrets.keys])
    except WarmupdError as error:
        found.append(failed("keys", error))
    else:
        found.append(ok("keys", f"{len(config.secrets.keys)} in secrets.keys"))
    if source := config.sending.source_address:
        try:
            check_source(source)
        except WarmupdError as error:
            found.append(failed("source", error))
        else:
            found.append(ok("source", f"connections to mail servers leave from {source}"))
    found += _files(config)
    if pending := set_in_vain(config):
        text = f"without effect in this version: {', '.join(pending)}"
        found.append(Finding(grade=Grade.WARN, check="keys set", text=text, remedy="take them out, or wait"))
    found += _site(config)
    try:
        Library.load(config.content.templates_dir, config.content.language)
    except WarmupdError as error:
        found.append(failed("templates", error))
    else:
        found.append(ok("templates", f"load, language {config.content.language}"))
    return found


def _site(config: Config) -> list[Finding]:
    """What the pages and the mails that lead to them need."""
    found = []
    if not config.auth.secret.get_secret_value():
        remedy = "set auth.secret; `openssl rand -hex 32` makes one"
        found.append(Finding(grade=Grade.WARN, check="auth", text="auth.secret is not set", remedy=remedy))
    if config.notifications.smtp_host and not config.http.public_url:
        text, remedy = f"in mails they lead to http://{config.http.listen}", "set http.public_url"
        found.append(Finding(grade=Grade.WARN, check="links", text=text, remedy=remedy))
    return found


def _files(config: Config) -> list[Finding]:
    short = files_short(open_files.raise_limit(), config.sending.max_concurrent)
    return [Finding(grade=Grade.WARN, check="files", text=f"here {short}", remedy=open_files.REMEDY)] if short else []


def ok(check: str, text: str) -> Finding:
    """All is well with it."""
    return Finding(grade=Grade.OK, check=check, text=text)


def failed(check: str, error: WarmupdError) -> Finding:
    """It cannot work so."""
    return Finding(grade=Grade.FAIL, check=check, text=Exception.__str__(error), remedy=error.remedy)
