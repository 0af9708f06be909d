"""`warmupd run --init`: a container's first start makes its own secrets, and never over those of another database."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.config import Config

HEAD = """\
# Made at the first start, with fresh secrets: keep it readable for the daemon's user alone, and keep a copy apart from
# backups of the database. Every other key stands in config.toml.example; environment variables win over this file.
"""
BY_FILES = "WARMUP_SECRETS__KEYS_FILE and WARMUP_AUTH__SECRET_FILE"


def prepare_first_start(path: Path | None) -> None:
    """Write config.toml with fresh secrets, where no configuration is there: those that no variable or file gives.

    `path` is that of --config; None means the working directory. Raises UsageError when the file cannot be written, and
    when keys are missing while the database holds passwords that other keys have sealed.
    """
    import asyncio

    import structlog

    from warmupd.config import load
    from warmupd.mail.vault import Vault

    config = load(path if path and path.exists() else None)
    if config.secrets.keys and config.auth.secret.get_secret_value():
        return
    if config.file:
        raise UsageError(
            f"{config.file} is there, without secrets.keys or auth.secret",
            remedy=f"add what `warmupd init` wrote, or name files that hold them by {BY_FILES}",
        )
    place = (path or Path("config.toml")).absolute()
    _demand_room(place.parent)
    key = ""
    if not config.secrets.keys:
        key = Vault.new_key()
        asyncio.run(_demand_unsealed(config, Vault([key]).key_ids[0]))
    if _publish(place, _text(config, key)):
        remedy = "keep a copy: its keys open the passwords" if key else "keep it: its secret signs log-in tokens"
        structlog.get_logger().info("config.written", file=str(place), remedy=remedy)


def _demand_room(folder: Path) -> None:
    """Before anything is asked of the database: secrets that cannot be kept must not be used."""
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        why = f"user {os.geteuid()} may not write in" if folder.is_dir() else "there is no"
        raise UsageError(
            f"no secrets are configured, and fresh ones cannot be kept: {why} {folder}",
            remedy=f"mount a volume there that this user may write to, or name files of secrets by {BY_FILES}",
        )


async def _demand_unsealed(config: "Config", key_id: str) -> None:
    """That nothing in the database was sealed with other keys, and no worker is at it with any."""
    from warmupd.cli.session import open_database
    from warmupd.store.migrate import check, migrate
    from warmupd.store.sealed import sealed_after, workers_without

    async with open_database(config, name="init", create=True) as db:
        if config.database.auto_migrate:
            await migrate(db)
        else:
            (await check(db)).demand()
        sealed, others = await sealed_after(db, 0, limit=1), await workers_without(db, key_id)
    if sealed or others:
        raise UsageError(
            "this database holds passwords that were sealed with keys that are not here"
            if sealed
            else f"other workers are at this database with keys of their own: {', '.join(others)}",
            remedy=f"mount the volume that holds its config.toml, or name files of its secrets by {BY_FILES}",
        )


def _text(config: "Config", key: str) -> str:
    """What is missing: the file must not name what a variable gives, which may change there."""
    import secrets

    text = HEAD
    if not (config.auth.secret.get_secret_value() and config.auth.scrape_token.get_secret_value()):
        text += "\n[auth]\n"
    if not config.auth.secret.get_secret_value():
        text += f'# Signs log-in tokens.\nsecret = "{secrets.token_hex(32)}"\n'
    if not config.auth.scrape_token.get_secret_value():
        text += f'# What Prometheus shows as bearer token.\nscrape_token = "{secrets.token_hex(24)}"\n'
    if key:
        text += f'\n[secrets]\n# Without these keys no stored password opens again.\nkeys = ["{key}"]\n'
    return text


def _publish(place: Path, text: str) -> bool:
    """Whole, or not at all; False when another process of this volume was first: then its file counts."""
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, place)
    except FileExistsError:
        return False
    except OSError as error:
        raise UsageError(
            f"cannot write {place}: {error.strerror}", remedy=f"name files of secrets by {BY_FILES}"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return True
