"""The simulated world: who there is, spread over users, time zones and providers by number alone."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from warmupd.mail.vault import Vault
from warmupd.sandbox.simulation.climate import house_of
from warmupd.sandbox.simulation.options import SimulationOptions
from warmupd.sandbox.world import FIRST, LAST
from warmupd.store.database import Database
from warmupd.store.population import Newcomer, enrol_mailboxes, enrol_users

PASSWORD = "a simulated mailbox's password"  # noqa: S105  of nobody: it is sealed and opened as a real one


async def populate(db: Database, options: SimulationOptions, vault: Vault) -> None:
    """Enter users and mailboxes. Mailboxes that will never be visited have proven their addresses before."""
    zones = [options.zones[number % len(options.zones)] for number in range(options.user_count)]
    users = await enrol_users(db, zones, private=options.pools == "private")
    newcomers = _newcomers(options, users, vault)
    await enrol_mailboxes(db, newcomers, at=options.midnight, proven=not options.visits_a_day)


def _newcomers(options: SimulationOptions, users: Sequence[tuple[UUID, int]], vault: Vault) -> Iterator[Newcomer]:
    for mailbox_id in range(1, options.mailboxes + 1):
        user = mailbox_id % len(users)
        user_id, pool_id = users[user]
        house = house_of(mailbox_id)
        yield Newcomer(
            mailbox_id=mailbox_id,
            user_id=user_id,
            pool_id=pool_id,
            address=f"m{mailbox_id}@agency{user}.test",
            display_name=f"{FIRST[mailbox_id % len(FIRST)]} {LAST[mailbox_id // len(FIRST) % len(LAST)]}",
            provider=house.provider,
            smtp_host=house.smtp,
            imap_host=house.imap,
            smtp_secret=vault.seal(PASSWORD, mailbox_id=mailbox_id, purpose="smtp"),
            imap_secret=vault.seal(PASSWORD, mailbox_id=mailbox_id, purpose="imap"),
        )
