"""Everything that must be right for the daemon to work, looked at once: what `doctor` tells after `check_config`."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.condition import LONG_UNKNOWN
from warmupd.core.finding import Finding, Grade
from warmupd.core.provider_match import provider_of
from warmupd.daemon.capacity import shortfalls
from warmupd.daemon.config_check import failed, ok
from warmupd.daemon.domain_check import domain_check_of
from warmupd.daemon.fleet_report import disagreements
from warmupd.daemon.keyring import keyring_of, registrations_of
from warmupd.daemon.keys_check import demand_keys
from warmupd.daemon.lingering import partition_troubles
from warmupd.daemon.login_check import LoginCheck
from warmupd.daemon.options import limits_of, retention_of
from warmupd.daemon.snapshot import Snapshot, take_snapshot
from warmupd.errors import WarmupdError
from warmupd.mail.vault import Vault
from warmupd.store import diagnosis, migrate, unknowns
from warmupd.store.accounts import find_mailbox, load_accounts
from warmupd.store.database import Database
from warmupd.store.listening import check_hearing

SLOW_TRIP = 0.02  # seconds to the database and back, a hundred times what it takes on one machine
TRIPS = 5  # that are timed
MOST_SKEW = 1.0  # seconds between this machine's clock and the database's that are worth a word
VISITED = frozenset({"ACTIVE", "RECEIVE_ONLY", "PAUSED"})  # states in which a mailbox is visited
MOST_DOMAINS = 10  # whose records are looked at, those with the most mailboxes first
MOST_HOLDERS = 5  # mailboxes named that hold lost outcomes open
SAMPLE = 20  # mailboxes at each end whose credentials are opened


async def look_at_fleet(db: Database, config: Config, clock: Clock, *, mailbox: str | None) -> AsyncIterator[Finding]:
    """Database, schema, workers, capacity, credentials and one login, in order; ends early without a schema."""
    yield await _server(db, clock)
    yield await _room(db)
    yield await _skew(db, clock)
    yield await _listening(db, config)
    schema = await migrate.check(db)
    if schema.kind is not migrate.SchemaKind.UP_TO_DATE:
        yield Finding(grade=Grade.FAIL, check="schema", text=schema.message, remedy=schema.remedy)
        return
    yield ok("schema", f"up to date ({schema.version})")
    snapshot = await take_snapshot(db, config, at=clock.now())
    yield _slots(snapshot)
    yield _limits(snapshot, config, clock)
    for finding in await _partitions(db, config, clock):
        yield finding
    yield await _unknowns(db, clock)
    for finding in _capacity(snapshot, config):
        yield finding
    yield await _credentials(db, config)
    for finding in await _clients(db, config):
        yield finding
    yield await _login(db, config, clock, mailbox)
    async for finding in _domains(db, config, mailbox):
        yield finding


async def _server(db: Database, clock: Clock) -> Finding:
    server = await diagnosis.ask_server(db)
    took = await _round_trip(db, clock)
    text = f"PostgreSQL {server.version}, {server.connections} of {server.most_connections} connections in use"
    text += f", a round trip takes {took * 1000:.1f} ms (slow is more than {SLOW_TRIP * 1000:.0f} ms)"
    if server.standbys and server.synchronous_commit in {"off", "local"}:
        remedy = "set synchronous_commit = on: a failover that forgets the last commits forgets reservations"
        return Finding(grade=Grade.WARN, check="database", text=f"{text}, asynchronous standbys", remedy=remedy)
    if took > SLOW_TRIP:
        remedy = "look at its load and the way to it: each send waits for some round trips; workers belong close by"
        return Finding(grade=Grade.WARN, check="database", text=text, remedy=remedy)
    return ok("database", text)


async def _round_trip(db: Database, clock: Clock) -> float:
    """Seconds; the shortest of some, which is no accident."""
    trips = []
    for _ in range(TRIPS):
        began = clock.boottime()
        await diagnosis.ask_nothing(db)
        trips.append(clock.boottime() - began)
    return min(trips)


async def _room(db: Database) -> Finding:
    """Whether it can still write."""
    try:
        tried = await diagnosis.try_writing(db)
    except WarmupdError as error:
        return failed("disk", error)
    return ok("disk", "the database has room to write" if tried else "not tried: no temporary tables may be made")


async def _skew(db: Database, clock: Clock) -> Finding:
    before = clock.now()
    theirs = (await diagnosis.ask_server(db)).now
    after = clock.now()
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if skew > MOST_SKEW:
        remedy = "have both machines' clocks set by NTP; sends go by the database's"
        text = f"this machine's differs from the database's by {skew:.1f} s"
        return Finding(grade=Grade.WARN, check="clock", text=text, remedy=remedy)
    return ok("clock", "agrees with the database's")


async def _listening(db: Database, config: Config) -> Finding:
    """Whether workers are told of changes, or must look for them."""
    url = config.database.listen_url.get_secret_value()
    name = "database.listen_url" if url else "database.url"
    remedy = "set database.listen_url to the server itself, past poolers; until then workers look every two seconds"
    if db.beside(url, application_name="").pooled:
        text = f"changes are not told at once: {name} leads through a pooler"
        return Finding(grade=Grade.WARN, check="listen", text=text, remedy=remedy)
    try:
        await check_hearing(db, url=url)
    except WarmupdError as error:
        text = f"changes are not told at once: {Exception.__str__(error)}"
        return Finding(grade=Grade.WARN, check="listen", text=text, remedy=remedy)
    return ok("listen", "changes are told at once")


def _slots(snapshot: Snapshot) -> Finding:
    settings, workers = snapshot.settings, len(snapshot.workers)
    if settings.moved:
        text = "this database was closed by `warmupd backup --move`: another one goes on in its place"
        remedy = "start the workers there; if the move was given up, `warmupd fleet start --anyway`"
        return Finding(grade=Grade.WARN, check="workers", text=text, remedy=remedy)
    text = f"{workers} alive, {settings.slots_held} of {settings.slots} slots held"
    if not workers:
        return Finding(grade=Grade.WARN, check="workers", text="none is alive", remedy="start one with `warmupd run`")
    if settings.slots_held < settings.slots:
        remedy = "slots of dead workers move within worker.lease_seconds; start more workers if they stay free"
        return Finding(grade=Grade.WARN, check="workers", text=text, remedy=remedy)
    if settings.sending_stopped:
        return Finding(
            grade=Grade.WARN, check="workers", text="sending is stopped", remedy="`warmupd fleet start` ends that"
        )
    return ok("workers", text)


def _limits(snapshot: Snapshot, config: Config, clock: Clock) -> Finding:
    """Whether all workers, and the file at hand, want the limits that are in force."""
    in_force = snapshot.settings.limits
    others = [(worker.name, disagreements(worker.name, worker.limits, in_force)) for worker in snapshot.workers]
    differ = [f"{name} has other {', '.join(one.limit for one in found)}" for name, found in others if found]
    if snapshot.workers and (found := disagreements("", limits_of(config, clock), in_force)):
        differ.append(f"this configuration has other {', '.join(one.limit for one in found)}")
    if differ:
        remedy = "give all workers the same configuration, and reload them with SIGHUP"
        return Finding(grade=Grade.WARN, check="limits", text="; ".join(differ), remedy=remedy)
    return ok("limits", "the same everywhere")


async def _partitions(db: Database, config: Config, clock: Clock) -> list[Finding]:
    troubles = await partition_troubles(db, retention_of(config), at=clock.now())
    found = [Finding(grade=Grade.WARN, check="partitions", text=one.text, remedy=one.remedy) for one in troubles]
    return found or [ok("partitions", "made for today and tomorrow, and old ones have gone")]


async def _unknowns(db: Database, clock: Clock) -> Finding:
    """Whether lost outcomes become truth in time, and if not, which mailboxes cannot be looked into."""
    lost = await unknowns.open_unknowns(db, at=clock.now())
    if lost.oldest_seconds is None:
        return ok("unknown", "no outcome is lost")
    text = f"lost outcomes that are looked for: {lost.open}, the oldest for {lost.oldest_seconds / 3600:.0f} h"
    if lost.oldest_seconds <= LONG_UNKNOWN:
        return ok("unknown", text)
    overdue = dt.timedelta(seconds=LONG_UNKNOWN)
    held = await unknowns.holders(db, older_than=overdue, at=clock.now(), limit=MOST_HOLDERS)
    text += f"; not looked into since: {'; '.join(_holder(one) for one in held)}"
    remedy = "have visits to these succeed (`warmupd mailbox check`); after six days they end as unverified"
    return Finding(grade=Grade.WARN, check="unknown", text=text, remedy=remedy)


def _holder(one: unknowns.Holder) -> str:
    if one.state not in VISITED:
        return f"{one.address}, which is {one.state} and not visited"
    if one.failures:
        return f"{one.address}, whose last visits failed ({one.failures} in a row): {one.last_error}"
    return f"{one.address}, which has had no complete visit"


def _capacity(snapshot: Snapshot, config: Config) -> list[Finding]:
    found = [
        Finding(grade=Grade.WARN, check="capacity", text=short.text, remedy=short.remedy)
        for short in shortfalls(snapshot, max_concurrent=config.sending.max_concurrent)
    ]
    return found or [ok("capacity", "enough for the quotas of today")]


async def _credentials(db: Database, config: Config) -> Finding:
    try:
        vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        await demand_keys(db, vault)
        sample = await diagnosis.sample_sealed(db, limit=SAMPLE)
        for sealed in sample:
            vault.unseal(sealed.secret, mailbox_id=sealed.mailbox_id, purpose=sealed.purpose)
    except WarmupdError as error:
        return failed("credentials", error)
    return ok("credentials", f"{len(sample)} stored secrets tried, all open" if sample else "none is stored yet")


async def _clients(db: Database, config: Config) -> list[Finding]:
    """Whether this installation is registered with the providers whose mailboxes log in by OAuth."""
    found, known = [], registrations_of(config)
    for provider, mailboxes in (await diagnosis.count_grants(db)).items():
        name = provider.lower()
        text = f"mailboxes that log in by OAuth of {name}: {mailboxes}"
        if known[provider].client_id:
            found.append(ok("oauth", text))
        else:
            text = f"{text}; but no client of it is configured, so their tokens cannot be renewed"
            remedy = f"set oauth.{name}.client_id and oauth.{name}.client_secret, and reload with SIGHUP"
            found.append(Finding(grade=Grade.FAIL, check="oauth", text=text, remedy=remedy))
    return found


async def _login(db: Database, config: Config, clock: Clock, address: str | None) -> Finding:
    try:
        mailbox_id = await find_mailbox(db, address) if address else await diagnosis.mailbox_to_try(db)
        if mailbox_id is None:
            return Finding(
                grade=Grade.WARN,
                check="login",
                text="no mailbox is enrolled",
                remedy="enrol at least two with `warmupd mailbox add`",
            )
        async with keyring_of(config, db, clock) as keyring:
            account = await keyring.open((await load_accounts(db, [mailbox_id]))[mailbox_id])
        refusals = await LoginCheck(config).check(account)
    except WarmupdError as error:
        return failed("login", error)
    if not refusals:
        return ok("login", f"SMTP and IMAP let {account.address} in")
    text = "; ".join(f"{one.protocol} of {account.address}: {one.message}" for one in refusals)
    remedy = "; ".join(dict.fromkeys(one.remedy for one in refusals if one.remedy))
    return Finding(grade=Grade.FAIL, check="login", text=text, remedy=remedy)


async def _domains(db: Database, config: Config, address: str | None) -> AsyncIterator[Finding]:
    """What is wrong with the DNS records of the fleet's greatest domains, or of that mailbox's."""
    checking = domain_check_of(config)
    domains = await diagnosis.domains_to_try(db, address=address, limit=MOST_DOMAINS)
    found = await asyncio.gather(*(checking.check(one.domain, provider_of(one.provider)) for one in domains))
    pairs = [(one.domain, finding) for one, findings in zip(domains, found, strict=True) for finding in findings]
    troubles = [(domain, finding) for domain, finding in pairs if finding.grade is not Grade.OK]
    for domain, finding in troubles:
        yield replace(finding, check="domain", text=f"{domain} {finding.check}: {finding.text}")
    looked = [one.domain for one, findings in zip(domains, found, strict=True) if findings[0].check != "domain"]
    if looked and not troubles:
        yield ok("domain", f"the DNS records of {', '.join(looked)} are as they should be")
