"""Old accounts as mailboxes: enrolled with their secrets sealed anew, their days and their ramp, or told why not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.application import Secrets
from warmupd.core.legacy_account import OldAccount
from warmupd.core.legacy_days import OldDay
from warmupd.core.legacy_layout import Layout
from warmupd.daemon.enrolling import Candidate, Enroller, Login, find_servers
from warmupd.daemon.host_check import Server, check_hosts
from warmupd.daemon.keyring import Keyring
from warmupd.daemon.legacy_history import Carrier, Old
from warmupd.daemon.legacy_people import ACTOR
from warmupd.daemon.legacy_report import Problem, Report
from warmupd.daemon.provider_search import ProviderSearch
from warmupd.errors import Conflict, DatabaseBusy, DatabaseUnavailable, SecretsError, WarmupdError
from warmupd.mail.legacy_secret import OldKey
from warmupd.store.database import Connection, Database
from warmupd.store.enrolment import Known, known_addresses, taken
from warmupd.store.legacy_source import LegacySource, layout_told
from warmupd.store.removals import removed_by_hand
from warmupd.store.users import User

TRIES = 5  # of a transaction that lost against workers
LOOKS = 5  # host names that are resolved at once: each takes a thread
OLD_KEY = "`--old-key-file` opens it, before it is enrolled; `--plain-passwords` if it is none that is encrypted"
NEW_LOGIN = "`warmupd mailbox set {} --password` gives it the mailbox's password"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An account, and what was counted of it."""

    account: OldAccount
    days: Sequence[OldDay]
    zone: str  # that the days are of

    @property
    def address(self) -> str:
        return self.account.application.address


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """An account that was not taken over, for the file of those."""

    account: OldAccount
    owner: str  # address; "" when nobody is known
    secrets: Secrets = field(repr=False)
    error: WarmupdError


@dataclass(kw_only=True, slots=True)
class AccountTaker:
    """Takes over batches of accounts. With `dry` nothing is written; `report` and `refused` fill up meanwhile."""

    config: Config
    db: Database
    clock: Clock
    source: LegacySource
    layout: Layout
    keyring: Keyring
    old_key: OldKey
    search: ProviderSearch
    login: Login | None  # tries both servers of an account; None: nobody is asked
    heir: User | None  # gets the accounts whose owner is not known
    dry: bool
    plain: bool = False  # what looks encrypted, and does not open, are passwords all the same
    report: Report = field(init=False)
    refused: list[Refused] = field(default_factory=list)
    _carrier: Carrier = field(init=False)
    _hosts: dict[Server, asyncio.Task[None]] = field(default_factory=dict)
    _looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKS))
    _rooms: dict[str, int] = field(default_factory=dict)  # of a dry run: what the plans of its users have left

    def __post_init__(self) -> None:
        self.report = Report(dry_run=self.dry, source=layout_told(self.layout), notes=list(self.layout.notes))
        self._carrier = Carrier(self.config, self.clock, self.report)

    async def take(self, owner: User | None, batch: Sequence[Entry]) -> None:
        """Enrol these accounts of one owner, and add to those that are enrolled what they have sent since."""
        addresses = [one.address for one in batch]
        known = await known_addresses(self.db, addresses)
        removed = await removed_by_hand(self.db, addresses, enrolled_by=ACTOR)
        fresh, there = list[Entry](), list[Entry]()
        for one in batch:
            try:
                (there if _is_known(one, owner, known, removed) else fresh).append(one)
            except WarmupdError as error:
                self._refuse(one, owner, Secrets(), error)
        if owner is not None and fresh:
            await self._enrol(owner, fresh)
        if there:
            await self._add_to({known[one.address.lower()].mailbox_id: _old(one) for one in there})

    async def _enrol(self, owner: User, batch: Sequence[Entry]) -> None:
        enroller = Enroller(
            self.config, self.db, self.clock, user=owner, keyring=self.keyring, login=self.login, actor=ACTOR
        )
        tried = await asyncio.gather(*(self._candidate(one, owner, enroller) for one in batch))
        good = {
            candidate.new.address: (one, candidate) for one, candidate in zip(batch, tried, strict=True) if candidate
        }
        if self.dry:
            self._foresee(owner, good)
            return

        async def beside(connection: Connection, ids: Mapping[str, int]) -> None:
            await self._carrier.carry(connection, {new: _old(good[address][0]) for address, new in ids.items()})

        if not good:
            return
        answers = await _persist(lambda: enroller.save([one for _, one in good.values()], beside=beside))
        for (one, candidate), answer in zip(good.values(), answers, strict=True):
            if isinstance(answer, int):
                self._count(one, candidate)
            else:
                self._refuse(one, owner, candidate.secrets, answer)
        self._carrier.tell()

    async def _add_to(self, there: Mapping[int, Old]) -> None:
        """Of what is enrolled already only counts grow, and a ramp that was further in the old system."""

        async def add() -> set[int]:
            async with self.db.transaction() as connection:
                changed = await self._carrier.carry(connection, there, enrolled=True)
                if self.dry:
                    raise _NotMeant(changed)
                return changed

        try:
            changed = await _persist(add)
        except _NotMeant as dry:
            changed = dry.changed
        self.report.mailboxes["updated"] += len(changed)
        self.report.mailboxes["unchanged"] += len(there) - len(changed)
        self._carrier.tell()

    async def _candidate(self, one: Entry, owner: User, enroller: Enroller) -> Candidate | None:
        account, secrets = one.account, Secrets()
        try:
            secrets, trouble = self._secrets(account)
            servers = await find_servers(account.application, self.search)
            candidate = await enroller.candidate(account.application, servers, secrets)
            if self.login is None or trouble is not None or candidate.new.pause_reason:
                await self._check_hosts(candidate)
            else:
                await enroller.admit(candidate)
        except DatabaseUnavailable:
            raise
        except WarmupdError as error:
            self._refuse(one, owner, secrets, error)
            return None
        return replace(candidate, new=replace(candidate.new, login_trouble=trouble))

    def _secrets(self, account: OldAccount) -> tuple[Secrets, tuple[str, str] | None]:
        """Its passwords, and what keeps it from logging in: why, and what to do."""
        address = account.application.address
        remedy = NEW_LOGIN.format(address)
        if not account.smtp_secret:
            self.report.credentials["missing"] += 1
            return Secrets(), ("the old system has no password of it", remedy)
        try:
            smtp, kept = self.old_key.open(account.smtp_secret)
            imap, _ = self.old_key.open(account.imap_secret)
        except SecretsError as error:
            self.report.credentials["not_opened"] += 1
            before = f"{OLD_KEY}; once it is enrolled " if self.old_key.in_one else ""
            return Secrets(), (Exception.__str__(error), before + remedy)
        self.report.credentials[kept] += 1
        trouble = f"its login did not work in the old system, which says {account.broken!r}"
        return Secrets(smtp=smtp, imap=imap), (trouble, remedy) if account.broken else None

    async def _check_hosts(self, candidate: Candidate) -> None:
        """Each server is looked at once, however many mailboxes are there. Raises ForbiddenHost."""
        new = candidate.new
        for server in ((new.smtp_host, new.smtp_port), (new.imap_host, new.imap_port)):
            if server not in self._hosts:
                self._hosts[server] = asyncio.create_task(self._look_at(server), name=f"look at {server[0]}")
            await asyncio.shield(self._hosts[server])

    async def _look_at(self, server: Server) -> None:
        async with self._looks:
            await check_hosts(self.config, [server])

    def _foresee(self, owner: User, good: Mapping[str, tuple[Entry, Candidate]]) -> None:
        """What saving these would come to, as far as can be told without doing it."""
        limit = owner.mailbox_limit
        room = self._rooms.get(owner.email, len(good) if limit is None else max(0, limit - owner.mailboxes))
        for number, (one, candidate) in enumerate(good.values()):
            if number >= room and limit is not None:
                told = f"the plan {owner.plan} allows {limit} mailboxes"
                self._refuse(one, owner, candidate.secrets, Conflict(told, remedy="have the plan's limit raised"))
                continue
            self._count(one, candidate)
            self._carrier.foresee(_old(one), candidate.new.settings, owner)
        self._rooms[owner.email] = max(0, room - len(good))

    def _count(self, one: Entry, candidate: Candidate) -> None:
        new, mailboxes = candidate.new, self.report.mailboxes
        mailboxes["paused" if new.pause_reason else "auth_failed" if new.login_trouble else "enrolled"] += 1
        if new.login_trouble:
            reason, remedy = new.login_trouble
            self.report.problems.append(
                Problem(table="accounts", id=one.account.id, name=new.address, reason=reason, remedy=remedy)
            )
        for doubt in one.account.doubts:
            self.report.problems.append(
                Problem(table="accounts", id=one.account.id, name=new.address, reason=f"{doubt}: it was left out")
            )

    def _refuse(self, one: Entry, owner: User | None, secrets: Secrets, error: WarmupdError) -> None:
        self.report.mailboxes["rejected"] += 1
        self.report.problems.append(Problem.of("accounts", one.account.id, one.address, error))
        self.refused.append(
            Refused(account=one.account, owner=owner.email if owner else "", secrets=secrets, error=error)
        )


class _NotMeant(Exception):
    """Rolls a dry run's transaction back."""

    def __init__(self, changed: set[int]) -> None:
        self.changed = changed


def _is_known(one: Entry, owner: User | None, known: Mapping[str, Known], removed: set[str]) -> bool:
    """Whether it is enrolled already, by the same user. Raises Conflict when it cannot be taken over."""
    address = one.address.lower()
    if owner is None:
        raise Conflict("its owner is not known", remedy="--user EMAIL names who gets such mailboxes")
    if address in known and known[address].user_id != owner.id:
        raise taken(one.address)
    if address not in known and address in removed:
        raise Conflict("it was removed after it had been taken over", remedy="`warmupd mailbox add` enrols it anew")
    return address in known


def _old(one: Entry) -> Old:
    return Old(days=one.days, zone=one.zone, counter=one.account.warmup_day, since=one.account.warmup_since)


async def _persist(do: Callable[[], Awaitable[T]]) -> T:
    """Again when it lost against workers, who touch the same rows."""
    for _ in range(TRIES - 1):
        try:
            return await do()
        except DatabaseBusy:
            continue
    return await do()
