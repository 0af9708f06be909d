"""Whether the keys at hand open what is sealed in the database, and what to do where they do not."""

from collections.abc import Collection, Mapping

import structlog

from warmupd.errors import SecretsError
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.mended import end_keyless_rests
from warmupd.store.sealed import count_by_key

REMEDY = (
    "put back the secrets.keys that config.toml had, and reload with SIGHUP; if they are lost, enter the passwords anew"
    " (`warmupd mailbox set ADDRESS --password`, or import the sheet again). Until then these mailboxes rest, and"
    " messages that were named with a lost key are not recognised any more: they stay where they lie"
)


async def demand_keys(db: Database, vault: Vault) -> None:
    """Raises SecretsError that tells how much no key of the vault opens, and the remedy."""
    async with db.acquire() as connection:
        sealed = await count_by_key(connection)
    if shut := shut_credentials(sealed, vault.key_ids):
        raise SecretsError(shut, remedy=REMEDY)


def shut_credentials(sealed: Mapping[str, int], held: Collection[str]) -> str:
    """How many credentials are sealed with keys that are not held, in words; "" for none. Both go by ids of keys."""
    shut = {key: count for key, count in sealed.items() if key not in held}
    if not shut:
        return ""
    of = f"{sum(shut.values()):,} of {sum(sealed.values()):,} stored credentials"
    return f"{of} are sealed with keys that are not in secrets.keys (ids {', '.join(shut)})"


async def look_at_keys(db: Database, vault: Vault) -> None:
    """At a start, or with other keys: who rested for want of a key tries again, and what stays shut is said once."""
    await end_keyless_rests(db)
    try:
        await demand_keys(db, vault)
    except SecretsError as error:
        structlog.get_logger().error("keys.missing", why=Exception.__str__(error), remedy=error.remedy)
