"""Plans and users of the old system: made where there are none of that name, and never changed where there are."""

import re
from collections.abc import Mapping
from uuid import UUID

from warmupd.clock import Clock
from warmupd.core import entries
from warmupd.core.legacy_layout import Layout
from warmupd.daemon.legacy_report import Problem, Report
from warmupd.errors import NotFound, UsageError, WarmupdError
from warmupd.mail.header_text import mail_address
from warmupd.store.database import Database
from warmupd.store.legacy_source import LegacySource
from warmupd.store.plans import NUMBERS, check_plan, list_plans, set_plan
from warmupd.store.user_removals import removed_users
from warmupd.store.users import Role, User, add_user, list_users, user_by_id

ACTOR = "import-legacy"
NEW = UUID(int=0)  # the id of somebody whom a dry run does not create
DEFAULT = "default"
LEAST_PER_MINUTE = 5
_ADMINS = {"admin", "administrator", "superadmin", "super_admin"}
_YES = {"true", "t", "1", "yes"}
_ARGON2 = re.compile(r"\$argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


class People:
    """The old system's plans and users, as owners by their old ids."""

    def __init__(
        self, source: LegacySource, layout: Layout, db: Database, clock: Clock, report: Report, *, dry: bool
    ) -> None:
        self._source = source
        self._layout = layout
        self._db = db
        self._clock = clock
        self._report = report
        self._dry = dry
        self._plans: dict[str, str] = {}  # old id or name to the name here
        self._rooms: dict[str, int | None] = {}  # most mailboxes by the plan's name; None: no limit

    async def take(self) -> dict[str, User]:
        """Create whom there is none of; the owners by the old user's id, without those who were left out."""
        await self._take_plans()
        known = {user.email.lower(): user for user in await list_users(self._db)}
        owners: dict[str, User] = {}
        users = self._layout.tables.get("users")
        if users is None:
            return owners
        async for row in self._source.rows(users, order=("id",)):
            cells = {word: (cell or "").strip() for word, cell in row.items()}
            try:
                owners[cells["id"]] = await self._take_user(cells, known)
            except WarmupdError as error:
                self._report.users["left_out" if isinstance(error, NotFound) else "rejected"] += 1
                self._report.problems.append(Problem.of("users", cells["id"], cells["email"], error))
        return owners

    async def _take_plans(self) -> None:
        self._rooms = {plan.name: plan.mailbox_limit for plan in await list_plans(self._db)}
        self._plans |= {name: name for name in self._rooms}
        table = self._layout.tables.get("plans")
        if table is None:
            return
        async for row in self._source.rows(table, order=("id",)):
            cells = {word: (cell or "").strip() for word, cell in row.items()}
            name = cells["name"]
            try:
                await self._take_plan(name, cells)
            except WarmupdError as error:
                self._report.plans["rejected"] += 1
                self._report.problems.append(Problem.of("plans", cells["id"], name, error))
                name = DEFAULT
            self._plans |= {cells["id"]: name, cells["name"]: name}

    async def _take_plan(self, name: str, cells: Mapping[str, str]) -> None:
        if name in self._rooms:
            self._report.plans["known"] += 1
            return
        limits: dict[str, int | None] = {word: _limit(cells[word]) for word in NUMBERS if cells.get(word)}
        limits["priority"] = limits.get("priority") or 0
        if (per_hour := limits.get("per_hour")) and not limits.get("per_minute"):
            limits["per_minute"] = max(
                LEAST_PER_MINUTE, -(-per_hour // 40)
            )  # as the configuration's caps hang together
        check_plan(name, limits)
        if not self._dry:
            await set_plan(self._db, name, limits, actor=ACTOR, at=self._clock.now())
        self._rooms[name] = limits.get("mailbox_limit")
        self._report.plans["created"] += 1

    async def _take_user(self, cells: Mapping[str, str], known: dict[str, User]) -> User:
        email = mail_address(cells["email"])
        if there := known.get(email.lower()):
            self._report.users["known"] += 1
            return there
        if cells.get("deleted_at"):
            raise NotFound(f"{email} was deleted in the old system")
        if await removed_users(self._db, email):
            raise NotFound(f"{email} was removed from warmupd", remedy="`warmupd user remove --undo` brings them back")
        zone = self._zone(cells, email)
        password = cells.get("password", "")
        password_hash = password if _ARGON2.fullmatch(password) else None
        user = self._imagined(email, cells, zone) if self._dry else await self._add(email, cells, zone, password_hash)
        self._report.users["created"] += 1
        self._report.users["need_a_password"] += password_hash is None
        known[email.lower()] = user
        return user

    async def _add(self, email: str, cells: Mapping[str, str], zone: str | None, password_hash: str | None) -> User:
        is_admin = cells.get("role", "").lower() in _ADMINS or cells.get("is_admin", "").lower() in _YES
        user_id = await add_user(
            self._db,
            email=email,
            role=Role.ADMIN if is_admin else Role.USER,
            actor=ACTOR,
            at=self._clock.now(),
            name=" ".join(cells.get("name", "").split())[: entries.LONGEST],
            timezone=zone,
            password_hash=password_hash,
            plan=self._plan(cells, email),
        )
        return await user_by_id(self._db, user_id)

    def _imagined(self, email: str, cells: Mapping[str, str], zone: str | None) -> User:
        """Whom a dry run would have created."""
        plan = self._plan(cells, email)
        return User(
            id=NEW,
            email=email,
            name="",
            role=Role.USER,
            plan=plan,
            timezone=zone,
            mailboxes=0,
            mailbox_limit=self._rooms.get(plan),
            can_log_in=False,
            created_at=self._clock.now(),
            seen_at=None,
        )

    def _plan(self, cells: Mapping[str, str], email: str) -> str:
        said = cells.get("plan", "")
        if said and said not in self._plans:
            error = UsageError(f"there is no plan {said!r}: {email} has {DEFAULT}", remedy="`warmupd user set`")
            self._report.problems.append(Problem.of("users", cells["id"], email, error))
        return self._plans.get(said, DEFAULT)

    def _zone(self, cells: Mapping[str, str], email: str) -> str | None:
        try:
            return entries.time_zone(cells["timezone"]) if cells.get("timezone") else None
        except UsageError as error:
            self._report.problems.append(Problem.of("users", cells["id"], email, error))
            return None


def _limit(said: str) -> int | None:
    """A whole number; none, and what is below it (-1 stands for without a limit in places), is no limit."""
    whole = said.partition(".")[0]
    if not whole.removeprefix("-").isdigit():
        raise UsageError(f"{said[:30]!r} is not a number", remedy="correct it, and import again")
    return int(whole) if int(whole) > 0 else None
