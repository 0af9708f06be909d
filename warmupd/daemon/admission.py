"""Admission: one mailbox from what was entered to its row, each thing that is looked at told as soon as it is known."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.application import Application, Secrets
from warmupd.core.finding import Finding, Grade
from warmupd.core.provider import OTHER
from warmupd.core.provider_match import provider_of
from warmupd.daemon.domain_check import domain_check_of
from warmupd.daemon.enrolling import Candidate, Enroller, find_servers
from warmupd.daemon.keyring import Keyring, demand_client
from warmupd.daemon.login_check import PROTOCOLS, LoginCheck, Refusal
from warmupd.daemon.provider_search import ProviderSearch, records_of
from warmupd.mail.account import Account
from warmupd.mail.oauth import Tokens
from warmupd.store.database import Database
from warmupd.store.enrolment import known_addresses, room_in_plan, taken
from warmupd.store.removals import find_removals, undoable
from warmupd.store.users import User

LONGEST = 60.0  # real seconds that the logins of one mailbox may take while somebody waits for the answer
DNS_LONGEST = 20.0  # real seconds for the records of its domain

Tell = Callable[[Finding], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a mailbox is to be enrolled."""

    check: bool = True  # try its logins
    by_admin: bool = False  # who may set more than its provider takes
    anew: bool = False  # although its removal could be undone
    dns: bool = False  # look at its domain's records, too
    save: bool = True  # False: look at it, and leave it at that


class Admission:
    """Enrols mailboxes of one user one by one, for somebody who watches."""

    def __init__(
        self,
        config: Config,
        db: Database,
        clock: Clock,
        *,
        user: User,
        keyring: Keyring,
        actor: str,
        tell: Tell,
        manner: Manner,
    ) -> None:
        """`tell` hears of each finding."""
        self._config = config
        self._db = db
        self._user = user
        self._tell = tell
        self._manner = manner
        self._login = LoginCheck(config) if manner.check else None
        self._enroller = Enroller(
            config, db, clock, user=user, keyring=keyring, login=self._log_in if manner.check else None, actor=actor
        )
        self._search = ProviderSearch(records_of(config))

    async def enrol(self, application: Application, secrets: Secrets, tokens: Tokens | None = None) -> int | None:
        """Its id; None where it was not to be saved. `tokens` are what its refresh token has been worth just now.

        Raises Conflict, UsageError, NotFound, NotAllowed, ForbiddenHost, OAuthError, or the error of `refused`; none
        shows a secret. That somebody else has enrolled the address is told only to who is let in.
        """
        if secrets.issuer:
            demand_client(self._config, secrets.issuer)
        await self._check_free(application.address)
        servers = await find_servers(application, self._search)
        admit = self._enroller.candidate if self._manner.by_admin else self._enroller.owners_candidate
        candidate = await admit(application, servers, secrets)
        self._tell(_of_servers(candidate))
        looking = asyncio.create_task(self._look_at_domain(candidate), name="domain") if self._manner.dns else None
        try:
            candidate = replace(candidate, tokens=tokens) if tokens else await self._enroller.with_tokens(candidate)
            await self._enroller.admit(candidate)
        finally:
            if looking is not None:
                await _ended(looking)
        if not self._manner.save:
            return None
        (answer,) = await self._enroller.save([candidate])
        if not isinstance(answer, int):
            raise answer
        return answer

    async def _check_free(self, address: str) -> None:
        """What can be said without bothering a server."""
        there = (await known_addresses(self._db, [address])).get(address.lower())
        if there is not None and there.user_id == self._user.id:
            raise taken(address)
        if not self._manner.anew:
            for removal in await find_removals(self._db, address=address, user=str(self._user.id)):
                raise undoable(removal)
        room, too_many = await room_in_plan(self._db, self._user.id)
        if room is not None and room < 1:
            raise too_many

    async def _log_in(self, account: Account) -> Sequence[Refusal]:
        """Both logins, told one by one, and ended when they last too long."""
        refusals: list[Refusal] = []
        silent = dict.fromkeys(PROTOCOLS, account)

        def on_answer(protocol: str, refusal: Refusal | None) -> None:
            silent.pop(protocol)
            refusals.extend([refusal] if refusal else [])
            self._tell(of_login(account, protocol, refusal))

        if self._login is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    return await self._login.check(account, on_answer)
        for protocol in list(silent):
            on_answer(protocol, _silence(account, protocol))
        return refusals

    async def _look_at_domain(self, candidate: Candidate) -> None:
        new = candidate.new
        domain = new.address.rpartition("@")[2]
        try:
            async with asyncio.timeout(DNS_LONGEST):
                found = await domain_check_of(self._config).check(domain, provider_of(new.provider))
        except TimeoutError:
            text = f"the records of {domain} could not be had within {DNS_LONGEST:g} s"
            found = [Finding(grade=Grade.WARN, check="dns", text=text, remedy="check the mailbox again later")]
        for finding in found:
            self._tell(finding)


def of_login(account: Account, protocol: str, refusal: Refusal | None) -> Finding:
    """How a login went."""
    endpoint = account.smtp if protocol == "SMTP" else account.imap
    where = f"{endpoint.host}:{endpoint.port}"
    if refusal is None:
        return Finding(grade=Grade.OK, check=protocol.lower(), text=f"{where} let us in")
    return Finding(grade=Grade.FAIL, check=protocol.lower(), text=f"{where}: {refusal.message}", remedy=refusal.remedy)


def _of_servers(candidate: Candidate) -> Finding:
    """Who runs the mailbox; and what speaks against a password there."""
    new, advice = candidate.new, candidate.advice
    provider = provider_of(new.provider)
    servers = f"SMTP {new.smtp_host}:{new.smtp_port}, IMAP {new.imap_host}:{new.imap_port}"
    name = "" if provider.word == OTHER else f"{provider.name}: "
    if advice is not None:
        return Finding(grade=Grade.WARN, check="provider", text=f"{name}{advice.text}", remedy=advice.remedy)
    return Finding(grade=Grade.OK, check="servers", text=f"{name}{servers}")


def _silence(account: Account, protocol: str) -> Refusal:
    endpoint = account.smtp if protocol == "SMTP" else account.imap
    return Refusal(
        protocol=protocol,
        host=endpoint.host,
        port=endpoint.port,
        message=f"no end of the login within {LONGEST:g} s",
        remedy="try again later",
        reached=False,
    )


async def _ended(task: "asyncio.Task[None]") -> None:
    """It ends by itself; with whoever waits for it, if they are told to go."""
    try:
        await task
    finally:
        task.cancel()
