"""The safeguards of the coordination core by name, and how each is taken out of a campaign's database or workers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.ablation import take_out, without
from warmupd.daemon.sends import Sends
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Removal:
    """In a function, of the database by name or of a module, this text becomes that."""

    function: str | Callable[..., Any]
    safeguard: str
    nothing: str = ""


SAFEGUARDS: dict[str, tuple[Removal, ...]] = {
    "epoch": (
        Removal(
            function="reserve_sends",
            safeguard="AND s.epoch = p_epochs[array_position(p_slots, s.slot)]\n          AND s.owner = p_worker"
            " AND s.lease_until > instant(p_now)",
        ),
        Removal(function="hold_slot", safeguard="s.epoch = p_epoch", nothing="true"),
    ),
    "attempt-token": (Removal(function="settle_sends", safeguard=" AND o.attempt_token = t.token"),),
    "stored-answer": (Removal(function="reserve_sends", safeguard="worker.batch_id = p_batch", nothing="false"),),
    "spacing": (Removal(function="reserve_sends", safeguard="p.next_ok_at > v_now", nothing="false"),),
    "trust": (Removal(function=Sends._send, safeguard="self._leases.trusts(mailbox, epoch)", nothing="True"),),
    "cap-lock": (  # taken in the statement that counts, whose snapshot is older than the lock
        Removal(function="reserve_sends", safeguard="PERFORM pg_advisory_xact_lock(1463898733, 1);"),
        Removal(
            function="reserve_sends",
            safeguard="SELECT * INTO ring FROM cap_rings WHERE scope = 'GLOBAL' AND ref = nobody;",
            nothing="SELECT c.* INTO ring FROM (SELECT pg_advisory_xact_lock(1463898733, 1)) AS l, cap_rings c"
            " WHERE scope = 'GLOBAL' AND ref = nobody;",
        ),
    ),
    "database-clock": (),  # the worker's clock dictates: see FleetClock
    "proof": (
        Removal(
            function="reserve_sends",
            safeguard="THEN coalesce(f.unproven_sends, 3) END AS unproven_sends",
            nothing="THEN NULL::integer END AS unproven_sends",
        ),
    ),
}


async def take_out_of_database(db: Database, name: str) -> None:
    for removal in SAFEGUARDS[name]:
        if isinstance(removal.function, str):
            source = await db.fetchval("SELECT pg_get_functiondef($1::regproc)", removal.function)
            await db.execute(without(source, removal.safeguard, removal.nothing))


def take_out_of_worker(name: str) -> None:
    """In this process, for good."""
    for removal in SAFEGUARDS[name]:
        if not isinstance(removal.function, str):
            take_out(pytest.MonkeyPatch(), removal.function, removal.safeguard, removal.nothing)
