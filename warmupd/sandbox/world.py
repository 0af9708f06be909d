"""A made-up world to run in: users with mailboxes on the sandbox server, enrolled in one shared pool."""

import datetime as dt
from dataclasses import dataclass
from functools import partial
from secrets import token_urlsafe
from uuid import UUID

from warmupd.mail.vault import Vault
from warmupd.store import enrolment
from warmupd.store.accounts import NewMailbox
from warmupd.store.database import Database
from warmupd.store.enrolment import Sealed, Wish
from warmupd.store.users import Role, add_user, shared_pool

ZONES = ("Europe/London", "Europe/Berlin", "Europe/Athens")  # a user's mailboxes live in one of them
PER_USER = 16
FIRST = (
    "Ada",
    "Ben",
    "Clara",
    "David",
    "Elena",
    "Felix",
    "Greta",
    "Hugo",
    "Iris",
    "Jonas",
    "Klara",
    "Leo",
    "Mara",
    "Nils",
)
LAST = ("Abbott", "Brandt", "Costa", "Dahl", "Ellis", "Fischer", "Grant", "Holm", "Ivers", "Jensen", "Keller")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inhabitant:
    """One mailbox-to-be: its address, its password at the server, and whose it is."""

    address: str
    password: str
    name: str
    user: int

    @property
    def zone(self) -> str:
        """Where its user lives."""
        return ZONES[self.user % len(ZONES)]


def inhabitants(count: int) -> list[Inhabitant]:
    """`count` accounts, spread over users of up to 16 mailboxes, each user with a domain of their own."""
    people = []
    for index in range(count):
        first, last = FIRST[index % len(FIRST)], LAST[(index // len(FIRST)) % len(LAST)]
        user = index // PER_USER
        people.append(
            Inhabitant(
                address=f"{first}.{last}{index}@agency{user}.test".lower(),
                password=token_urlsafe(18),
                name=f"{first} {last}",
                user=user,
            )
        )
    return people


async def enrol(
    db: Database,
    people: list[Inhabitant],
    vault: Vault,
    *,
    host: str,
    smtp_port: int,
    imap_port: int,
    at: dt.datetime,
) -> dict[str, tuple[int, int]]:
    """Enrol everybody in one shared pool; address to (mailbox, pool)."""
    pool_id = await shared_pool(db, "sandbox", create=True)
    users: dict[int, UUID] = {}
    owners: dict[str, tuple[int, int]] = {}
    for person in people:
        if person.user not in users:
            zone = person.zone
            users[person.user] = await add_user(
                db, email=f"owner@agency{person.user}.test", role=Role.USER, actor="sandbox", at=at, timezone=zone
            )
        new = NewMailbox(
            user_id=users[person.user],
            address=person.address,
            display_name=person.name,
            pool_id=pool_id,
            smtp_host=host,
            smtp_port=smtp_port,
            smtp_security="STARTTLS",
            smtp_username=person.address,
            imap_host=host,
            imap_port=imap_port,
            imap_security="TLS",
            imap_username=person.address,
        )
        wish = Wish(new=new, seal=partial(_sealed, vault, person.password))
        (mailbox_id,) = await enrolment.enrol(db, new.user_id, [wish], actor="sandbox", at=at)
        if not isinstance(mailbox_id, int):
            raise mailbox_id
        owners[person.address] = (mailbox_id, pool_id)
    return owners


def _sealed(vault: Vault, password: str, mailbox_id: int) -> Sealed:
    return Sealed(
        smtp=vault.seal(password, mailbox_id=mailbox_id, purpose="smtp"),
        imap=vault.seal(password, mailbox_id=mailbox_id, purpose="imap"),
    )
