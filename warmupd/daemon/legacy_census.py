"""A first look at all old accounts: which addresses there are, whose days are whose, and which rows lead nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warmupd.core.legacy_account import is_gone
from warmupd.core.window import is_zone
from warmupd.daemon.legacy_report import Problem
from warmupd.errors import UsageError, WarmupdError
from warmupd.mail.header_text import mail_address
from warmupd.store.legacy_counts import Senders
from warmupd.store.mailboxes import zones_of_mailboxes
from warmupd.store.users import User

if TYPE_CHECKING:
    from warmupd.daemon.legacy_accounts import AccountTaker


FEW = 5  # passwords of which none can be said to look like the others
MOST = 0.9  # of all passwords: where so many look encrypted, all that do are


@dataclass(kw_only=True, slots=True)
class Census:
    """What is kept of every account while they are taken over: a few words each."""

    addresses: list[str] = field(default_factory=list)  # by place; of one address the first account's
    first: dict[str, int] = field(default_factory=dict)  # old id to place, of the first account of each address
    ids: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)  # by place: one address has one, whatever its other rows say
    passwords: int = 0
    doubtful: int = 0  # that look encrypted in one, and do not open

    @property
    def senders(self) -> Senders:
        """All of them, those with an address that another had before included: what they sent counts, too."""
        return Senders(ids=self.ids, places=self.places, zones=[self.zones[place] for place in self.places])


async def take_census(taker: "AccountTaker", owners: Mapping[str, User]) -> Census:
    """Read all accounts once, in the order in which they are taken over. Tells of rows that are passed over."""
    census, known = Census(), await zones_of_mailboxes(taker.db)
    there = await taker.source.zones()
    place_of: dict[str, int] = {}  # by address in lower case
    first: list[str] = []  # ids by place
    async for row in taker.source.rows(taker.layout.tables["accounts"], order=("user", "id")):
        cells = {word: (cell or "").strip() for word, cell in row.items()}
        old_id = row["id"] or ""
        try:
            address = mail_address(cells["email"])
            if is_gone(cells):
                raise UsageError("it was deleted in the old system")
        except WarmupdError as error:
            gone = is_gone(cells)
            taker.report.mailboxes["left_out" if gone else "rejected"] += 1
            taker.report.problems.append(Problem.of("accounts", old_id, cells["email"], error))
            continue
        key = address.lower()
        place = place_of.setdefault(key, len(census.addresses))
        if place == len(census.addresses):
            census.addresses.append(address)
            census.first[old_id] = place
            first.append(old_id)
            if secret := cells.get("smtp_password"):
                census.passwords += 1
                census.doubtful += taker.old_key.doubt(secret)
            owner = owners.get(cells.get("user", ""), taker.heir)
            own = [known.get(key), cells.get("timezone"), owner and owner.timezone, taker.config.window.timezone]
            census.zones.append(next((zone for zone in own if zone and is_zone(zone) and zone in there), "UTC"))
        else:
            taker.report.mailboxes["duplicate"] += 1
            told = UsageError(
                f"its address stands in another row already ({first[place]})",
                remedy="what both have sent counts for the one mailbox",
            )
            taker.report.problems.append(Problem.of("accounts", old_id, address, told))
        census.ids.append(old_id)
        census.places.append(place)
    _judge_passwords(taker, census)
    return census


def _judge_passwords(taker: "AccountTaker", census: Census) -> None:
    """One password of 40 letters and digits may be one. Where nearly all are, they are encrypted, and were their
    ciphertext taken for them, it would go to the mail hosts.
    """
    if taker.plain or census.passwords < FEW or census.doubtful < MOST * census.passwords:
        return
    taker.old_key.in_one = True
    key = "the key that was given opens none" if taker.old_key.text else "no key was given"
    taker.report.notes.append(
        f"{census.doubtful:,} of {census.passwords:,} passwords look encrypted, and {key}: they need --old-key-file;"
        " with --plain-passwords they are taken as they stand"
    )
