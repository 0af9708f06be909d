"""What an owner has, for walks along all routes: things of every kind, and how each route is asked about them."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from tests.browser import believable
from tests.http.conftest import OTHER, OWNER, House
from warmupd.http.bearer import PREFIX, new_token, token_hash
from warmupd.store.access import Access, access_by_email
from warmupd.store.database import Database
from warmupd.store.service_tokens import add_service_token
from warmupd.store.sessions import begin_session

# What no answer to anybody else may hold: of the owner's mailboxes domains, labels and names; their address, a token.
MARKS = ("brightpath", "client-of-bp", "Klara", OWNER, "owners-own-token")

# Rows that are the owner's, or everybody's to read and an admin's to change.
_ROWS = {
    "users": "id = $1",
    "mailboxes": "user_id = $1",
    "mailbox_days": "user_id = $1",
    "service_tokens": "user_id = $1",
    "browser_sessions": "user_id = $1",
    "user_settings": "user_id = $1",
    "notice_settings": "user_id = $1",
    "plans": "$1::uuid IS NOT NULL",
    "settings": "$1::uuid IS NOT NULL",
    "links": "$1::uuid IS NOT NULL",
    "removals": "$1::uuid IS NOT NULL",
    "imports": "user_id = $1",
}


@dataclass(kw_only=True)
class Belongings:
    """`ids` are the owner's, by name of the path's parameter; `nobodys_ids` are of the same kind, and nobody's."""

    db: Database
    owner: UUID
    ids: dict[str, str]
    nobodys_ids: dict[str, str]
    of_pages: dict[str, dict[str, str]]  # what a parameter stands for below these paths
    bodies: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(_BODIES))

    def address(self, path: str) -> str:
        """Of a page, about the owner's things; a parameter that nobody has thought of is an error of the test."""
        here = next((ids for start, ids in self.of_pages.items() if path.startswith(start)), {})
        return re.sub(r"{(\w+)(?::\w+)?}", lambda found: (self.ids | here)[found[1]], path)

    async def snapshot(self) -> dict[str, str | None]:
        """A digest of each table's rows that nobody but the owner, or an admin, may change."""
        return {
            table: await self.db.fetchval(
                "SELECT md5(string_agg((to_jsonb(t) - 'seen_at' - 'used_at')::text, '|' ORDER BY t::text))"
                f" FROM {table} t WHERE {mine}",
                self.owner,
            )
            for table, mine in _ROWS.items()
        }


async def settle_in(house: House) -> Belongings:
    """The owner's three weeks, and those of the other, who exchanges messages with them."""
    db, clock = house.site.db, house.site.clock
    owner, other = await access_by_email(db, OWNER), await access_by_email(db, OTHER)
    assert owner is not None
    assert other is not None
    await believable.fill(db, owner.user_id, other.user_id, clock)
    await db.execute("UPDATE mailboxes SET labels = '{client-of-bp}' WHERE user_id = $1", owner.user_id)
    token_id = await add_service_token(
        db,
        owner.user_id,
        name="owners-own-token",
        scopes=["read"],
        token_hash=token_hash(new_token(PREFIX)),
        actor=OWNER,
        at=clock.now(),
        expires_at=None,
    )
    mailbox_id = await db.fetchval("SELECT min(id) FROM mailboxes WHERE user_id = $1", owner.user_id)
    ids = {"mailbox_id": mailbox_id, "token_id": token_id, "user_id": owner.user_id, "email": OWNER, "name": "default"}
    nobodys = {"mailbox_id": 10**9, "token_id": 10**9, "user_id": uuid4(), "email": "nobody@x.test", "name": "nothing"}
    return Belongings(
        db=db,
        owner=owner.user_id,
        ids={name: str(value) for name, value in ids.items()},
        nobodys_ids={name: str(value) for name, value in nobodys.items()},
        of_pages={
            "/settings/": {"id": str(mailbox_id)},
            "/account/tokens/": {"id": str(token_id)},
            "/account/sessions/": {"id": str(await _session(house, owner))},
            "/add/import/": {"import_id": str(await _import(db, owner.user_id))},
            "/mailboxes/": {"action": "pause"},
            "/connect/": {"provider": "google"},
            **{f"/{kind}/": {"token": "nothing"} for kind in ("reset", "invite", "confirm")},
        },
    )


async def _session(house: House, owner: Access) -> int:
    """Of another browser of the owner's."""
    db, secret = house.site.db, token_hash(new_token())
    await begin_session(
        db, owner, token_hash=secret, csrf=new_token(), client="", agent="Klara", at=house.site.clock.now()
    )
    session_id: int = await db.fetchval("SELECT id FROM browser_sessions WHERE token_hash = $1", secret)
    return session_id


async def _import(db: Database, owner: UUID) -> UUID:
    """One that waits for its owner to look at it."""
    import_id: UUID = await db.fetchval(
        "INSERT INTO imports (user_id, begun_by, name, options, sheet, rejected, state, run, expires_at) VALUES"
        " ($1, $1, 'brightpath.csv', '{}', '', '', 'READY', gen_random_uuid(), now() + interval '1 hour') RETURNING id",
        owner,
    )
    return import_id


_SHEET = b"email,password,smtp_host,imap_host\nnobody@nowhere.test,secret,127.0.0.1,127.0.0.1\n"
_BOX = {"address": "new@nowhere.test", "password": "secret", "smtp_host": "127.0.0.1", "imap_host": "127.0.0.1"}
_BODIES: dict[str, dict[str, Any]] = {
    "POST /api/auth/tokens": {"json": {"name": "mine", "scopes": ["read"]}},
    "PATCH /api/account": {"json": {"name": "Somebody"}},
    "POST /api/users": {"json": {"email": "new@site.test"}},
    "PATCH /api/users/{user_id}": {"json": {"name": "Changed"}},
    "PUT /api/plans/{name}": {"json": {"priority": 9}},
    "PATCH /api/warmup/mailboxes/{mailbox_id}": {"json": {"target_daily": 7}},
    "POST /api/warmup/mailboxes": {"json": _BOX},
    "POST /api/warmup/mailboxes/import": {"content": _SHEET, "headers": {"content-type": "text/csv"}},
    "PATCH /api/warmup/settings": {"json": {"target_daily": 7}},
    "POST /api/warmup/control": {"json": {"action": "stop"}},
    "POST /api/warmup/fleet/resize": {"json": {"slots": 8}},
    "POST /api/invitations": {"json": {"email": "guest@site.test"}},
    "PUT /api/warmup/notifications": {"json": {}},
}
